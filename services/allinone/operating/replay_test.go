package operating_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/services/operator"
)

// R67: what a plan foretells is what the run then does, quote by quote, fact by fact, over random histories: with messages that
// nobody folded, quotes and links that Redis lost, changes that wait for their link, facts that were never published.
func TestAPlanForetellsWhatItsRunDoes(t *testing.T) {
	r := newRig(t)
	for seed := range 12 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 5))
		name := "seed " + strconv.Itoa(seed)
		from, to := 16*seed, 16*seed+16
		stop := r.worker()
		r.offer(from, to)
		events := r.events(from, to)
		cut := rnd.IntN(len(events))
		for _, e := range events[:cut] {
			r.deliver(e)
		}
		r.settled()
		stop()
		r.unseen(events[cut:])
		r.damage(rnd, to)
		r.nats.Stop() // the server remembers the ids of what was erased until it has read its files again
		r.nats.Restart()
		r.eventually("the log is back", func() error { _, err := r.log.Rules(t.Context()); return err })
		stop = r.worker() // without a memory of what it has published
		r.settled()
		args := r.someSelection(rnd)
		before, facts := r.shown(), r.facts()
		p := r.plan(args...)
		run := r.runPlan(0, p, "--max-quotes", "10000", "--max-mails", "10000")
		if run.State != replay.Done || run.Done != p.Totals.Messages || run.MovedOn > 0 {
			t.Errorf("%s: run = %+v", name, run)
		}
		r.asPlanned(p, before, facts, fmt.Sprint(name, " ", args))
		t.Logf("%s: %v: %d messages, %d quotes, %d changed, facts %v", name, args, p.Totals.Messages, p.Totals.Quotes, p.Totals.Changed, p.Totals.Facts)
		stop()
	}
}

// damage takes keys away from Redis and facts from the log, at random.
func (r *rig) damage(rnd *rand.Rand, count int) {
	r.t.Helper()
	ctx, keys := r.t.Context(), r.keys()
	del := func(key string) {
		if err := r.cache.Del(ctx, key).Err(); err != nil {
			r.t.Fatal(err)
		}
	}
	for i := range count {
		id := fmt.Sprintf("q_%d", i)
		switch rnd.IntN(6) {
		case 0:
			del(keys.Pay(event.Platform, id))
		case 1:
			del(keys.Pay(event.Platform, id))
			del(keys.PayEvents(event.Platform, id))
			del(keys.Quote(id))
		case 2: // what was published is forgotten, or gone from the log
			names, err := r.cache.HKeys(ctx, keys.Pay(event.Platform, id)).Result()
			if err != nil {
				r.t.Fatal(err)
			}
			for _, name := range names {
				mark, ok := strings.CutPrefix(name, "m:")
				if !ok {
					continue
				}
				if err := r.cache.HDel(ctx, keys.Pay(event.Platform, id), name).Err(); err != nil {
					r.t.Fatal(err)
				}
				fact, n, _ := strings.Cut(mark, ".")
				if rnd.IntN(2) == 0 {
					r.erase(event.QuoteSubject{Event: fact, Seller: "main", Quote: id, N: n}.String())
				}
			}
		}
	}
	links, err := r.cache.Keys(ctx, keys.Link(event.Platform, "*")).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(links)
	for _, key := range links {
		if rnd.IntN(12) == 0 {
			del(key)
		}
	}
}

func (r *rig) erase(subject string) {
	r.t.Helper()
	s, err := r.log.JetStream().Stream(r.t.Context(), event.StreamQuotes)
	if err != nil {
		r.t.Fatal(err)
	}
	found, err := s.GetLastMsgForSubject(r.t.Context(), subject)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.DeleteMsg(r.t.Context(), found.Sequence); err != nil {
		r.t.Fatal(err)
	}
}

// someSelection is one of the ways to say which events.
func (r *rig) someSelection(rnd *rand.Rand) []string {
	r.t.Helper()
	stream := []string{event.StreamStripe, event.StreamStripe, event.StreamStripe, event.StreamQuotes}[rnd.IntN(4)]
	s, err := r.log.JetStream().Stream(r.t.Context(), stream)
	if err != nil {
		r.t.Fatal(err)
	}
	state := s.CachedInfo().State
	last := state.LastSeq
	switch rnd.IntN(4) {
	case 0:
		a, b := 1+rnd.Uint64N(last), 1+rnd.Uint64N(last)
		return []string{"--stream", stream, "--seq", fmt.Sprintf("%d..%d", min(a, b), max(a, b))}
	case 1:
		return []string{"--stream", event.StreamStripe, "--type", []string{"charge.*", "checkout.*", "payment_intent.*"}[rnd.IntN(3)]}
	case 2:
		return []string{"--stream", stream, "--all"}
	}
	var places []string
	for seq := uint64(1); seq <= last; seq++ {
		if _, err := r.log.ReadSequence(r.t.Context(), event.StreamStripe, seq); err == nil && rnd.IntN(3) == 0 {
			places = append(places, fmt.Sprintf("%s:%d", event.StreamStripe, seq))
		}
	}
	return places
}

// R67 R68: the whole log, replayed, changes nothing and mails nobody; a plan knows that beforehand.
func TestReplayingEverythingChangesNothingAndMailsNobody(t *testing.T) {
	r := newRig(t)
	r.worker()
	post := r.post()
	r.offer(0, 40)
	for _, e := range r.events(0, 40) {
		r.deliver(e)
	}
	r.settled()
	paid := r.mailed()
	before, facts, ledger := r.shown(), r.facts(), r.ledger()
	if paid < 25 || post.count() != paid {
		t.Fatalf("%d mails for %d quotes", post.count(), paid)
	}
	for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
		p := r.plan("--all", "--stream", stream)
		if p.Totals.Changed != 0 || p.Totals.Mails != 0 || len(p.Totals.Facts) != 0 || p.Totals.Quotes != 40 || p.Totals.Held[replay.HeldSent] != paid {
			t.Errorf("plan of all of %s = %+v", stream, p.Totals)
		}
		run := r.runPlan(0, p)
		if run.State != replay.Done || run.Done != p.Totals.Messages || len(run.Stored) != 0 || run.Outcomes["applied"] > 0 && stream == event.StreamStripe {
			t.Errorf("run over all of %s = %+v", stream, run)
		}
	}
	r.settled()
	if after := r.shown(); !maps.Equal(before, after) {
		t.Errorf("quotes changed:\n%v\n%v", before, after)
	}
	if !maps.Equal(facts, r.facts()) || !maps.Equal(ledger, r.ledger()) || post.count() != paid {
		t.Errorf("facts, mails or the ledger changed: %d mails, want %d", post.count(), paid)
	}
	r.quotectl("rebuild", "--verify").want(t, 0)
	r.quotectl("check", "conservation").want(t, 0)
}

// broken is a rig with quotes of which Redis has never seen a payment, and a worker.
func broken(t *testing.T, count int) (r *rig, stop func()) {
	t.Helper()
	r = newRig(t)
	stop = r.worker()
	r.offer(0, count)
	r.settled()
	stop()
	r.unseen(r.events(0, count))
	stop = r.worker()
	r.settled()
	return r, stop
}

func TestARunRefusesWhatIsBeyondItsBudgets(t *testing.T) {
	r, _ := broken(t, 16)
	p := r.plan("--all", "--name", "incident-4711")
	before := r.shown()
	if p.Totals.Changed != 16 || p.Totals.Mails == 0 {
		t.Fatalf("plan = %+v", p.Totals)
	}
	refuse := func(text string, args ...string) {
		t.Helper()
		r.quotectl(append([]string{"replay", "run", "incident-4711", "--reason", "x"}, args...)...).want(t, 4, text)
		if !maps.Equal(before, r.shown()) {
			t.Error("a refused run changed something")
		}
	}
	refuse(fmt.Sprintf("would send %d mails, and 0 are allowed", p.Totals.Mails))
	refuse("would change 16 quotes, and 15 are allowed", "--max-quotes", "15", "--max-mails", "100")
	refuse(fmt.Sprintf("and %d are allowed", p.Totals.Mails-1), "--max-mails", strconv.Itoa(p.Totals.Mails-1))
	r.quotectl("replay", "status", p.ID).want(t, 0, "planned")
	r.quotectl("replay", "run", p.ID, "--reason", "x", "--max-mails", strconv.Itoa(p.Totals.Mails), "--rate", "0").want(t, 0, "as planned")
	r.quotectl("journal", "list", "--action", "replay_*").want(t, 0, "replay_start", "replay_end", p.ID)
}

// Reality moves between plan and run.
func TestARunRefusesAPlanThatDoesNotHoldAnyMore(t *testing.T) {
	r, _ := broken(t, 12)
	p := r.plan("--all")
	var first string
	for _, q := range p.Quotes {
		if len(q.Facts) > 0 {
			first = q.Quote
		}
	}
	r.quotectl("replay", "run", r.plan("--all").ID, "--reason", "another operator", "--max-mails", "99", "--rate", "0").want(t, 0)
	r.quotectl("replay", "run", p.ID, "--reason", "x", "--max-mails", "99").want(t, 4, "does not hold any more", "replay plan --like "+p.ID)
	r.quotectl("replay", "status", p.ID).want(t, 0, "planned")
	if r.shown()[event.Platform+"/"+first].Status == "" {
		t.Errorf("quote %s has no status", first)
	}
	again := r.plan("--like", p.ID)
	if again.Selection.Hash != p.Selection.Hash || again.Totals.Changed != 0 {
		t.Errorf("plan like the first = %+v", again.Totals)
	}
}

func TestAFrozenSelectionDoesNotGrow(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.offer(0, 8)
	events := r.events(0, 8)
	for _, e := range events[:10] {
		r.deliver(e)
	}
	r.settled()
	p := r.plan("--since", "1h")
	stop()
	r.unseen(events[10:])
	r.worker()
	r.settled()
	before := r.shown()
	if run := r.runPlan(0, p); p.Totals.Messages != 10 || run.Done != 10 || !maps.Equal(before, r.shown()) {
		t.Errorf("plan of %d messages, run of %d", p.Totals.Messages, run.Done)
	}
	if p := r.plan("--since", "1h"); p.Totals.Messages != len(events) {
		t.Errorf("a new plan has %d messages, want %d", p.Totals.Messages, len(events))
	}
	r.quotectl("replay", "plan", "--type", "nothing.*").want(t, 5, "nothing matches")
	r.quotectl("replay", "plan").want(t, 2, "say which events")
	r.quotectl("replay", "plan", "--all", "evt_1").want(t, 2, "only one of these")
	r.quotectl("replay", "show", "rp_000000000000").want(t, 5, "there is no replay plan")
}

// However a run is stopped, it goes on where it was and comes to the same end.
func TestACancelledRunGoesOnAndEndsTheSame(t *testing.T) {
	for name, cancel := range map[string]func(r *rig, p *replay.Plan, interrupt func()){
		"Ctrl-C": func(_ *rig, _ *replay.Plan, interrupt func()) { interrupt() },
		"replay cancel": func(r *rig, p *replay.Plan, _ func()) {
			r.quotectl("replay", "cancel", p.ID, "--reason", "load").want(r.t, 0, "cancelled")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := broken(t, 24)
			before, facts := r.shown(), r.facts()
			p := r.plan("--all")
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var out, errs bytes.Buffer
			code := make(chan int, 1)
			lookup := r.lookup()
			go func() {
				code <- operator.Run(ctx, []string{"replay", "run", p.ID, "--reason", "x", "--max-mails", "99", "--rate", "12"}, lookup, &out, &errs)
			}()
			store, err := replay.OpenStore(t.Context(), r.log)
			if err != nil {
				t.Fatal(err)
			}
			r.eventually("something is done", func() error {
				run, err := store.Run(t.Context(), p.ID)
				if err == nil && run.Done == 0 {
					err = fmt.Errorf("run = %+v", run)
				}
				return err
			})
			cancel(r, p, interrupt)
			if got := <-code; got != 1 {
				t.Fatalf("exit code %d, want 1\n%s%s", got, out.String(), errs.String())
			}
			run, err := store.Run(t.Context(), p.ID)
			if err != nil || run.State != replay.Cancelled || run.Done == 0 || run.Done >= p.Totals.Messages {
				t.Fatalf("run = %+v, %v", run, err)
			}
			if end := r.runPlan(0, p, "--max-mails", "99"); end.State != replay.Done || end.Starts != 2 || end.Done != p.Totals.Messages {
				t.Errorf("resumed run = %+v", end)
			}
			r.asPlanned(p, before, facts, name)
			r.quotectl("journal", "list", "--target", p.ID).want(t, 0, "replay_start", "replay_cancel", "replay_end")
			r.quotectl("journal", "verify").want(t, 0)
		})
	}
}

// R68: --resend-email sends one mail more about each paid quote, under an entry of its own; the same plan never two.
func TestResendEmailSendsExactlyOneMailMore(t *testing.T) {
	r := newRig(t)
	r.worker()
	post := r.post()
	r.offer(0, 8)
	for _, e := range r.events(0, 8) {
		r.deliver(e)
	}
	r.settled()
	paid := r.mailed()
	p := r.plan("--all", "--resend-email")
	if p.Totals.Mails != paid || p.Totals.Changed != 0 || post.count() != paid {
		t.Fatalf("plan = %+v with %d of %d mails", p.Totals, post.count(), paid)
	}
	r.quotectl("replay", "run", p.ID, "--reason", "x", "--max-mails", "1").want(t, 4, "and 1 are allowed")
	if run := r.runPlan(0, p); run.Mailed != paid || run.State != replay.Done {
		t.Errorf("run = %+v", run)
	}
	check := func(when string) {
		t.Helper()
		if n := post.count(); n != 2*paid {
			t.Errorf("%s: %d mails, want %d", when, n, 2*paid)
		}
		n := 0
		for key, state := range r.ledger() {
			if strings.HasSuffix(key, ".paid.1") && state == "sent" {
				n++
			}
		}
		if n != paid || len(r.ledger()) != 2*paid {
			t.Errorf("%s: %d entries of their own, %d in all", when, n, len(r.ledger()))
		}
	}
	check("after the run")
	r.quotectl("replay", "run", p.ID, "--reason", "x").want(t, 0)
	check("after the run was asked for again")

	// It was cut off before it could note what it had sent.
	bucket, err := r.log.JetStream().KeyValue(t.Context(), event.BucketReplays)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(replay.Run{State: replay.Interrupted, Starts: 1, Done: p.Totals.Messages, Outcomes: map[string]int{}, Stored: map[string]int{}, Began: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), p.ID+".run", encoded); err != nil {
		t.Fatal(err)
	}
	r.runPlan(0, p)
	check("after it went on")
}

// R70: every start, end and cancel is in the journal, with who, why and counts.
func TestReplaysAreInTheJournal(t *testing.T) {
	r, _ := broken(t, 4)
	p := r.plan("--all")
	for _, args := range [][]string{{"show", p.ID}, {"status", p.ID}, {"cancel", p.ID, "--reason", "not today"}} {
		var document map[string]any
		r.quotectl(append(append([]string{"replay"}, args...), "-o", "json")...).want(t, 0).decode(t, &document)
		if document["id"] != p.ID && document["plan"] != p.ID {
			t.Errorf("replay %v -o json = %v", args, document)
		}
	}
	r.runPlan(0, p, "--max-mails", "9")
	entries, err := journal.New(r.log, time.Now).List(t.Context(), journal.Filter{Target: p.ID})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range entries {
		actions = append(actions, e.Action+" "+e.Reason)
		if e.Who == "" || e.Detail == nil {
			t.Errorf("entry = %+v", e)
		}
	}
	if want := []string{"replay_end test", "replay_start test", "replay_cancel not today"}; !slices.Equal(actions, want) {
		t.Errorf("actions = %v, want %v", actions, want)
	}
}
