// Package reconcile compares the log with what Stripe knows, in both directions, and makes good what never came.
//
// Stripe's list of events reaches 30 days back; what is older, or what no event was ever made of, is seen by the Checkout
// Sessions of our own quotes. What lacks is entered through ingress like any webhook, so that an event that Stripe delivers
// later is the same event again, and what makes a payment of it stays with the payments worker.
//
// It writes neither the log nor Redis, and decides nothing about quotes: whether Stripe knows more than we do is asked of
// the domain's own fold. quotectl, the console and the quotes service (Automatic) use it.
package reconcile

import (
	"context"
	"errors"
	"time"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/stripegate"
)

// DefaultGrace is how old an event must be before it counts as one that did not come: Stripe delivers within seconds.
const DefaultGrace = 2 * time.Minute

// defaultPause keeps us at 20 calls a second, a fifth of what Stripe allows in live mode (Stripe docs, "Rate limits").
const defaultPause = 50 * time.Millisecond

// Config is what a Reconciler works with.
type Config struct {
	Log    *natsstream.Log
	Reader *redisquote.Reader
	Stripe *stripegate.Client
	// Door is where what lacks is entered; Report does without.
	Door door.Door
	// Mode is test or live: events of the other one are none of ours.
	Mode string
	// Grace is DefaultGrace if not given; negative for none at all.
	Grace time.Duration
	// Pause is the least time between two calls to Stripe. Default 50 ms.
	Pause time.Duration
	Now   func() time.Time
}

// Reconciler compares and repairs. It may be used by one goroutine at a time.
type Reconciler struct {
	cfg    Config
	called time.Time // the last call to Stripe
}

// New returns a Reconciler.
func New(cfg Config) *Reconciler {
	switch {
	case cfg.Grace == 0:
		cfg.Grace = DefaultGrace
	case cfg.Grace < 0:
		cfg.Grace = 0
	}
	if cfg.Pause <= 0 {
		cfg.Pause = defaultPause
	}
	return &Reconciler{cfg: cfg}
}

// Class says what a Row is about.
type Class string

// The classes.
const (
	// AtStripe: an event that Stripe lists and the log lacks.
	AtStripe Class = "at_stripe"
	// Here: an event in the log, or a session that we opened, that Stripe does not know.
	Here Class = "here"
	// Differing: one event id, two events.
	Differing Class = "differing"
	// Beyond: Stripe's objects say more than our facts, and no event tells it: it is out of Stripe's list, or was never made.
	Beyond Class = "beyond"
)

// Classes lists them all.
var Classes = []Class{AtStripe, Here, Differing, Beyond}

// Row is one difference.
type Row struct {
	Class   Class  `json:"class"`
	Account string `json:"account"`
	// Event and Type are the event's; of class Beyond the synthetic ones that make it good, joined by commas.
	Event string `json:"event,omitempty"`
	Type  string `json:"type,omitempty"`
	// Object is the Stripe object that it is about, Quote the quote that the object belongs to.
	Object  string    `json:"object,omitempty"`
	Quote   string    `json:"quote,omitempty"`
	Created time.Time `json:"created"`
	// Sequence is where it lies on stream STRIPE; 0 where it does not.
	Sequence uint64 `json:"sequence,omitempty"`
	Detail   string `json:"detail"`
	// Next is the command to type.
	Next string `json:"next"`

	// Repairable reports whether Repair can make it good.
	Repairable bool `json:"repairable"`

	bodies [][]byte // what makes it good, oldest first
}

// Account is what was compared of one account.
type Account struct {
	ID string `json:"account"`
	// Listed are Stripe's events, Stored those of the log in the same time.
	Listed int `json:"listed"`
	Stored int `json:"stored"`
	// Note says why the account could not be compared; empty if it was.
	Note string `json:"note,omitempty"`
}

// Report is the outcome of a comparison.
type Report struct {
	// Since is from when on; Until is when the comparison began.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Accounts are those that were compared.
	Accounts []Account `json:"accounts"`
	// Matched events are on both sides; Renderings of them in another form.
	Matched    int `json:"matched"`
	Renderings int `json:"other_renderings"`
	// NotOurs are at Stripe and not here, and no business of ours; InFlight are too young to be missed.
	NotOurs  int `json:"not_ours"`
	InFlight int `json:"in_flight"`
	// Refused are listed by Stripe and never entered: of another mode or account than was asked for, or unreadable.
	Refused int `json:"refused"`
	// Made are events of the log that we made ourselves: simulated, or entered by an earlier repair from an object.
	Made int `json:"made"`
	// Sessions are the Checkout Sessions that were looked up.
	Sessions int `json:"sessions"`
	// Rows are the differences: by class, then the oldest first.
	Rows []Row `json:"rows"`
	// Gaps are how many there are of each class, Repairable how many of all Repair can make good.
	Gaps       map[Class]int `json:"gaps"`
	Repairable int           `json:"repairable"`
}

// Differences is how many there are, of all classes.
func (r *Report) Differences() int {
	n := 0
	for _, c := range Classes {
		n += r.Gaps[c]
	}
	return n
}

// cut is the report with at most n rows; the counts stay.
func (r *Report) cut(n int) *Report {
	short := *r
	short.Rows = r.Rows[:min(len(r.Rows), n)]
	return &short
}

// Options say what to compare.
type Options struct {
	// Since is from when on. What is more than 30 days ago is compared by session alone.
	Since time.Time
	// Account narrows it to one; empty for all.
	Account string
	// EndedOnly looks up only sessions whose time is over: the others may be paid yet, and there may be many.
	EndedOnly bool
	// Parked are changes that wait for a link since a time in this span; each is looked up. Zero for none.
	ParkedFrom, ParkedUntil time.Time
	// Progress, if not nil, is told what is being done.
	Progress func(text string)
}

func (o Options) progress(text string) {
	if o.Progress != nil {
		o.Progress(text)
	}
}

// ErrIncomplete means that Redis does not hold the whole projection now: payments is folding the log again.
var ErrIncomplete = errors.New("redis does not hold the whole projection now")

func (c *comparison) complete(ctx context.Context) error {
	complete, err := c.cfg.Reader.Complete(ctx)
	if err == nil && !complete {
		err = ErrIncomplete
	}
	return err
}

// Report compares. It changes nothing. An account that gives no access any more is noted; any other trouble is an error,
// since half a comparison would look like none was missing.
func (r *Reconciler) Report(ctx context.Context, o Options) (*Report, error) {
	now := r.cfg.Now()
	run := &comparison{Reconciler: r, o: o, now: now, report: &Report{Since: o.Since.UTC(), Until: now.UTC(), Rows: []Row{}, Gaps: map[Class]int{AtStripe: 0, Here: 0, Differing: 0, Beyond: 0}}}
	run.listedFrom = o.Since
	if oldest := now.Add(-stripegate.EventsKept); oldest.After(o.Since) {
		run.listedFrom = oldest
	}
	// What belongs to a quote, and what its facts are, is asked of Redis: before, and once more after, since it may be lost
	// meanwhile.
	for _, step := range []func(context.Context) error{run.complete, run.events, run.sessions, run.parked, run.complete} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	run.count()
	return run.report, nil
}

// Explained is an error of Report with what to do about it.
func Explained(err error) error {
	refused, ok := errors.AsType[*stripegate.RefusedError](err)
	switch {
	case errors.Is(err, ErrIncomplete):
		return advice.New("wait until payments is ready, and compare again", "%w: payments is folding the log again", err)
	case stripegate.Unauthorized(err):
		return advice.New("compare STRIPE_API_KEY (the console uses that of quotes) with the one in Stripe's dashboard", "Stripe does not know the key: %w", err)
	case ok && refused.AccountDetached:
		return advice.New("look at the account's connection (quotectl sellers show <seller>), or compare the account platform alone", "%w", err)
	}
	return advice.New("compare again; a later since or one account asks Stripe for less", "%w", err)
}
