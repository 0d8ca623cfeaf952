package replay

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
)

// The keys of a plan in the bucket are <id>.plan, <id>.seq.<n>, <id>.quotes.<n> and <id>.run. A value must fit into one NATS
// message (1 MiB by default), so that long lists lie in several, compressed.
const (
	sequencesPerValue = 100_000
	quotesPerValue    = 2_000
	maxInflated       = 64 << 20
)

// header is a plan as it is stored: the lists lie beside it.
type header struct {
	Plan
	SequenceValues int `json:"sequence_values"`
	QuoteValues    int `json:"quote_values"`
}

var (
	idForm   = regexp.MustCompile(`^rp_[a-z0-9]{12}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
)

// ValidName reports whether a plan may have that name.
func ValidName(name string) bool {
	return nameForm.MatchString(name) && !strings.HasPrefix(name, "rp_")
}

func newID() string { return "rp_" + strings.ToLower(rand.Text())[:12] }

// Store keeps plans and how far each was carried out.
type Store struct {
	bucket jetstream.KeyValue
	log    *natsstream.Log
}

const (
	bucketStream  = "KV_" + event.BucketReplays
	bucketSubject = "$KV." + event.BucketReplays + "."
	// listPage is how many values are read at a time; one may have up to 1 MiB.
	listPage = 25
	// headerKV marks an entry that was deleted.
	headerKV = "KV-Operation"
)

// OpenStore looks the bucket up.
func OpenStore(ctx context.Context, log *natsstream.Log) (*Store, error) {
	bucket, err := log.JetStream().KeyValue(ctx, event.BucketReplays)
	if err != nil {
		return nil, advice.New("quotectl declare", "look up bucket %s: %w", event.BucketReplays, err)
	}
	return &Store{bucket, log}, nil
}

// save stores a plan. The part that makes it visible goes last.
func (s *Store) save(ctx context.Context, p *Plan) error {
	h := header{Plan: *p}
	h.Quotes, h.Selection.Sequences = nil, nil
	for part := range slices.Chunk(p.Selection.Sequences, sequencesPerValue) {
		if err := s.put(ctx, fmt.Sprintf("%s.seq.%d", p.ID, h.SequenceValues), part); err != nil {
			return err
		}
		h.SequenceValues++
	}
	for part := range slices.Chunk(p.Quotes, quotesPerValue) {
		if err := s.put(ctx, fmt.Sprintf("%s.quotes.%d", p.ID, h.QuoteValues), part); err != nil {
			return err
		}
		h.QuoteValues++
	}
	return s.put(ctx, p.ID+".plan", h)
}

func (s *Store) put(ctx context.Context, key string, value any) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(value); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", key, err)
	}
	if _, err := s.bucket.Create(ctx, key, b.Bytes()); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return nil
}

func (s *Store) get(ctx context.Context, key string, into any) error {
	e, err := s.bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return inflate(key, e.Value(), into)
}

func inflate(key string, value []byte, into any) error {
	z, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("decompress %s: %w", key, err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxInflated))
	if err != nil {
		return fmt.Errorf("decompress %s: %w", key, err)
	}
	if err := json.Unmarshal(plain, into); err != nil {
		return fmt.Errorf("decode %s: %w", key, err)
	}
	return nil
}

// Find returns the plan with that id, or the newest with that name.
func (s *Store) Find(ctx context.Context, id string) (*Plan, error) {
	if !idForm.MatchString(id) {
		all, err := s.List(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(e Entry) bool { return e.Plan.Name == id })
		if i < 0 {
			return nil, advice.Missing("quotectl replay list", "there is no replay plan %q", id)
		}
		id = all[i].Plan.ID
	}
	var h header
	err := s.get(ctx, id+".plan", &h)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, advice.Missing("quotectl replay list", "there is no replay plan %q", id)
	}
	if err != nil {
		return nil, err
	}
	if h.Version != Version {
		return nil, advice.New("use quotectl of the version that made it", "plan %s has layout %d, this version knows %d", id, h.Version, Version)
	}
	h.Selection.Sequences, h.Quotes = []uint64{}, []Quote{}
	for n := range h.SequenceValues {
		var part []uint64
		if err := s.get(ctx, fmt.Sprintf("%s.seq.%d", id, n), &part); err != nil {
			return nil, err
		}
		h.Selection.Sequences = append(h.Selection.Sequences, part...)
	}
	for n := range h.QuoteValues {
		var part []Quote
		if err := s.get(ctx, fmt.Sprintf("%s.quotes.%d", id, n), &part); err != nil {
			return nil, err
		}
		h.Quotes = append(h.Quotes, part...)
	}
	if err := h.Selection.Check(); err != nil {
		return nil, fmt.Errorf("plan %s: %w", id, err)
	}
	return &h.Plan, nil
}

// Entry is a plan of a list, without its sequences and quotes, and its run.
type Entry struct {
	Plan Plan `json:"plan"`
	Run  Run  `json:"run"`
}

// List returns all plans, the newest first. It reads by direct gets: to watch the bucket would need the right to create
// consumers.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	plans, runs := []Entry{}, map[string]Run{}
	for next := uint64(1); ; {
		records, err := s.log.Scan(ctx, bucketStream, next, listPage) // the bucket keeps one value of a key
		if err != nil {
			return nil, fmt.Errorf("list replay plans: %w", err)
		}
		for _, r := range records {
			next = r.Sequence + 1
			if r.Header.Get(headerKV) != "" {
				continue // deleted
			}
			key := strings.TrimPrefix(r.Subject, bucketSubject)
			id, kind, _ := strings.Cut(key, ".")
			switch kind {
			case "plan":
				var h header
				if err := inflate(key, r.Data, &h); err != nil {
					return nil, err
				}
				h.Selection.Sequences, h.Quotes = []uint64{}, []Quote{}
				plans = append(plans, Entry{Plan: h.Plan})
			case "run":
				var run Run
				if err := json.Unmarshal(r.Data, &run); err != nil {
					return nil, fmt.Errorf("decode %s: %w", key, err)
				}
				runs[id] = run
			}
		}
		if len(records) < listPage {
			break
		}
	}
	for i := range plans {
		if plans[i].Run = runs[plans[i].Plan.ID]; plans[i].Run.State == "" {
			plans[i].Run.State = Planned
		}
	}
	slices.SortFunc(plans, func(a, b Entry) int {
		return cmp.Or(b.Plan.At.Compare(a.Plan.At), cmp.Compare(a.Plan.ID, b.Plan.ID))
	})
	return plans, nil
}

// The states of a run.
const (
	Planned     = "planned"
	Running     = "running"
	Cancelled   = "cancelled"   // by an operator; run again to go on
	Interrupted = "interrupted" // by trouble; run again to go on
	Done        = "done"        // as planned
	Differs     = "differs"     // done, and something is not as planned
)

// Run is how far a plan was carried out.
type Run struct {
	State  string `json:"state"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Began is when it was first run, Ended when it came to its end; Beat when the one at work last said so, who is Owner.
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	Beat  time.Time `json:"beat,omitzero"`
	Owner string    `json:"owner,omitempty"`
	// Starts counts how often it was begun or resumed.
	Starts int `json:"starts,omitempty"`
	// Done is the cursor: so many of the plan's messages, and Mailed so many of its mails, are done.
	Done   int `json:"done"`
	Mailed int `json:"mailed"`
	// Outcomes counts what the worker made of the messages, Stored the facts that it published, by event.
	Outcomes map[string]int `json:"outcomes,omitempty"`
	Stored   map[string]int `json:"stored,omitempty"`
	// Trouble is why it was interrupted. Differences are what is not as planned, at most maxDifferences; MovedOn are quotes of
	// which more has become known since.
	Trouble     string   `json:"trouble,omitempty"`
	Differences []string `json:"differences,omitempty"`
	More        int      `json:"more_differences,omitempty"`
	MovedOn     int      `json:"moved_on,omitempty"`

	revision uint64
}

// Over reports whether nothing is left to do.
func (r Run) Over() bool { return r.State == Done || r.State == Differs }

// Run returns how far a plan was carried out.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	e, err := s.bucket.Get(ctx, id+".run")
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Run{State: Planned}, nil
	}
	if err != nil {
		return Run{}, fmt.Errorf("read run of %s: %w", id, err)
	}
	var r Run
	if err := json.Unmarshal(e.Value(), &r); err != nil {
		return Run{}, fmt.Errorf("decode run of %s: %w", id, err)
	}
	r.revision = e.Revision()
	return r, nil
}

// errTaken means that somebody else has changed the run since it was read.
var errTaken = errors.New("the run was cancelled, or is somebody else's now")

// putRun stores a run if nobody has changed it since it was read.
func (s *Store) putRun(ctx context.Context, id string, r *Run) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode run of %s: %w", id, err)
	}
	var revision uint64
	if r.revision == 0 {
		revision, err = s.bucket.Create(ctx, id+".run", encoded)
	} else {
		revision, err = s.bucket.Update(ctx, id+".run", encoded, r.revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return errTaken
	}
	if err != nil {
		return fmt.Errorf("store run of %s: %w", id, err)
	}
	r.revision = revision
	return nil
}

// emptySelection says that nothing is to be replayed.
func emptySelection(z selection.Frozen) error {
	if len(z.Sequences) == 0 {
		return advice.Missing("quotectl events list "+z.Query, "nothing matches, so there is nothing to replay")
	}
	if len(z.Sequences) > MaxMessages {
		return advice.Of(advice.Budget, "split it with --seq a..b", "%d messages are selected; one plan holds at most %d", len(z.Sequences), MaxMessages)
	}
	return nil
}
