package sandbox

import (
	"cmp"
	"crypto/sha512"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// sim is the whole state. mu guards everything below it; every handler and every task runs under it, so that what they
// do is one step.
type sim struct {
	cfg    Config
	log    *zap.Logger
	client *http.Client
	wake   chan struct{}

	mu         sync.Mutex
	seq        int64
	random     *rand.Rand
	offset     time.Duration
	playing    time.Time // the due time of the task that runs, else zero
	tasks      []task
	taskSeq    int64
	worlds     map[worldKey]*world
	accounts   []*account
	codes      map[string]*grant
	tokens     map[string]worldKey
	endpoints  []*endpoint
	deliveries []*delivery // all that ever were
	open       []*delivery // those that may still be sent
	faults     []*fault
	healed     chan struct{} // closed when the faults are taken back
	knobs      knobs
	request    origin
	held       []*delivery // of the request in hand: released when it is answered
	kept       []byte      // the content of Config.AccountsFile
}

// origin is the API request that causes events; zero for what happens by itself.
type origin struct{ id, key string }

type task struct {
	due time.Time
	seq int64
	run func()
}

type worldKey struct {
	account string
	live    bool
}

// world is what one account has in one mode; nothing is shared between worlds.
type world struct {
	sim     *sim
	account *account
	live    bool
	objects map[string]object
	order   map[string][]string // ids by kind, oldest first
	events  []*event
	answers map[string]*answer // by idempotency key
}

func newSim(cfg Config, log *zap.Logger) *sim {
	sum := sha512.Sum512([]byte(cfg.Seed))
	s := &sim{
		cfg: cfg, log: log, offset: cfg.ClockOffset, wake: make(chan struct{}, 1), healed: make(chan struct{}),
		client: &http.Client{
			Timeout: 10 * time.Second,
			// A redirect counts as a failed delivery.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		random: rand.New(rand.NewChaCha8([32]byte(sum[:32]))), //nolint:gosec // repeatable on purpose
		worlds: map[worldKey]*world{}, codes: map[string]*grant{}, tokens: map[string]worldKey{},
		knobs: knobs{DebitAfter: duration(2 * time.Minute)},
	}
	s.accounts = append(s.accounts, &account{id: PlatformAccount, name: "Sandbox platform", country: "PL", activated: true})
	for _, a := range cfg.Accounts {
		s.accounts = append(s.accounts, &account{id: a.ID, name: a.Name, country: a.Country, activated: a.Activated, connectedTest: a.Connected})
	}
	return s
}

// now is the time on the sandbox's clock.
func (s *sim) now() time.Time {
	if !s.playing.IsZero() {
		return s.playing
	}
	return s.cfg.Now().Add(s.offset).UTC()
}

// at plans run for a time on the sandbox's clock.
func (s *sim) at(due time.Time, run func()) {
	s.taskSeq++
	next := task{due, s.taskSeq, run}
	i, _ := slices.BinarySearchFunc(s.tasks, next, func(a, b task) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.seq, b.seq)) })
	s.tasks = slices.Insert(s.tasks, i, next)
	s.stir()
}

// settle plays what has fallen due, each at its own time. A task may plan further ones.
func (s *sim) settle() {
	now := s.now()
	for len(s.tasks) > 0 && !s.tasks[0].due.After(now) {
		next := s.tasks[0]
		s.tasks = s.tasks[1:]
		s.playing = next.due
		next.run()
	}
	s.playing = time.Time{}
}

// stir makes the deliverer look again.
func (s *sim) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// id makes an identifier of n letters and digits after prefix. It depends on the seed and on how many were made before.
func (s *sim) id(prefix string, n int) string {
	s.seq++
	sum := sha512.Sum512([]byte(s.cfg.Seed + "\x00" + strconv.FormatInt(s.seq, 10)))
	letters := make([]byte, n)
	for i := range letters {
		letters[i] = alphabet[int(sum[i%len(sum)])%len(alphabet)]
	}
	return prefix + string(letters)
}

func (s *sim) account(id string) *account {
	for _, a := range s.accounts {
		if a.id == id {
			return a
		}
	}
	return nil
}

// world is the account's world in a mode; it exists as soon as it is asked for. The account must exist.
func (s *sim) world(id string, live bool) *world {
	key := worldKey{id, live}
	w := s.worlds[key]
	if w == nil {
		w = &world{
			sim: s, account: s.account(id), live: live,
			objects: map[string]object{}, order: map[string][]string{}, answers: map[string]*answer{},
		}
		s.worlds[key] = w
	}
	return w
}

func (w *world) now() int64 { return w.sim.now().Unix() }

// modeID makes an id that tells its mode, as those of sessions do.
func (w *world) modeID(prefix string, n int) string {
	mode := "test_"
	if w.live {
		mode = "live_"
	}
	return w.sim.id(prefix+mode, n)
}

// add stores a new object; created and livemode are set here.
func (w *world) add(o object) object {
	id, kind := o.str("id"), o.str("object")
	o["livemode"] = w.live
	if !o.has("created") {
		o["created"] = w.now()
	}
	w.objects[id] = o
	w.order[kind] = append(w.order[kind], id)
	return o
}

// get returns the object of a kind; nil if there is none.
func (w *world) get(kind, id string) object {
	o := w.objects[id]
	if o.str("object") != kind {
		return nil
	}
	return o
}

// find is get with Stripe's refusal; param as in missing.
func (w *world) find(kind, id, param string) (object, error) {
	if o := w.get(kind, id); o != nil {
		return o, nil
	}
	return nil, missing(kind, id, param)
}

// all returns the objects of a kind that keep accepts, newest first.
func (w *world) all(kind string, keep func(object) bool) []object {
	var found []object
	for _, id := range slices.Backward(w.order[kind]) {
		if o := w.objects[id]; o != nil && (keep == nil || keep(o)) {
			found = append(found, o)
		}
	}
	return found
}

// change applies f to o and tells of it by the event typ, with the earlier values of what changed.
func (w *world) change(o object, typ string, f func()) {
	before := o.clone()
	f()
	w.emitChanged(typ, o, o.changed(before))
}
