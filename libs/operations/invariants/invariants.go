package invariants

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/natsstream"
)

// Checker judges. It may be used while everything runs.
type Checker struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	Now   func() time.Time
	// Progress is told how far the reading is, and may be nil.
	Progress func(rebuild.Progress)
	// TempDir and SettleFor are those of a rebuild.Verifier.
	TempDir   string
	SettleFor time.Duration
	// Acked are the webhooks that were answered 2xx; nil where nobody has written them down.
	Acked Acked
	// Mails are how often a mail server accepted each Message-ID (without angle brackets); nil where nobody has counted.
	Mails map[string]int
}

// Violation is a promise that was broken.
type Violation struct {
	Invariant string `json:"invariant"` // I1 to I9
	What      string `json:"what"`
	Next      string `json:"next"` // the command that shows more, or repairs it
}

// Line is what became of one invariant.
type Line struct {
	Invariant string `json:"invariant"`
	Promise   string `json:"promise"`
	// Looked is at how many of what.
	Looked     int    `json:"looked"`
	Of         string `json:"of"`
	Violations int    `json:"violations"`
	// InFlight is how many could not be judged because they are on their way.
	InFlight int `json:"in_flight"`
	// NotChecked says why it was not looked at, or not at all of it.
	NotChecked string `json:"not_checked,omitempty"`
}

// Report is what Check found.
type Report struct {
	Lines      []Line      `json:"invariants"`
	Violations []Violation `json:"violations"`
	LogRoot    string      `json:"log_root"`
	RedisRoot  string      `json:"redis_root"`
	TookMS     int64       `json:"took_ms"`
}

// Held reports whether no promise is broken. What is in flight breaks none.
func (r *Report) Held() bool { return len(r.Violations) == 0 }

// InFlight is how many things could not be judged because they are on their way.
func (r *Report) InFlight() int {
	n := 0
	for _, l := range r.Lines {
		n += l.InFlight
	}
	return n
}

var promises = []Line{
	{Invariant: "I1", Promise: "no acknowledged webhook is lost", Of: "acknowledged webhooks"},
	{Invariant: "I2", Promise: "no event is in the log twice", Of: "events"},
	{Invariant: "I3", Promise: "the status of a quote is the pure fold's", Of: "quotes"},
	{Invariant: "I4", Promise: "one quote.paid for a paid revision", Of: "paid revisions"},
	{Invariant: "I5", Promise: "no quote.paid without a payment", Of: "quote.paid"},
	{Invariant: "I6", Promise: "one mail for a quote.paid", Of: "quote.paid"},
	{Invariant: "I7", Promise: "the facts in Redis are the pure fold's", Of: "quotes"},
	{Invariant: "I8", Promise: "Redis is what a rebuild would make", Of: "quotes"},
	{Invariant: "I9", Promise: "no message is dropped silently", Of: "messages"},
}

// run is one Check.
type run struct {
	*Checker
	report *Report
}

func (r *run) line(invariant string) *Line {
	i := slices.IndexFunc(r.report.Lines, func(l Line) bool { return l.Invariant == invariant })
	return &r.report.Lines[i]
}

func (r *run) fail(invariant, next, format string, args ...any) {
	r.line(invariant).Violations++
	r.report.Violations = append(r.report.Violations, Violation{invariant, fmt.Sprintf(format, args...), next})
}

// Check reads everything once and judges. What looks broken is looked at again before it is told: an acknowledged webhook that
// the reading did not find is asked for by its subject, and what payments has not come to is waited for.
func (c *Checker) Check(ctx context.Context) (*Report, error) {
	began := c.Now()
	r := &run{Checker: c, report: &Report{Lines: slices.Clone(promises), Violations: []Violation{}}}
	events, paid := newEvents(c.Acked), newPaidFacts()
	verifier := rebuild.Verifier{
		Log: c.Log, Redis: c.Redis, Now: c.Now, Progress: c.Progress, TempDir: c.TempDir, SettleFor: c.SettleFor,
		Read: func(m natsstream.Record) { events.read(m); paid.read(m.Subject, m.Sequence, m.Data) }, Part: paid.part,
	}
	verified, err := verifier.Verify(ctx)
	if err != nil {
		return nil, err
	}
	r.projection(verified)
	for _, judge := range []func(context.Context) error{
		func(ctx context.Context) error { return r.events(ctx, events) },
		func(ctx context.Context) error { return r.paid(ctx, paid) },
		func(ctx context.Context) error { return r.mails(ctx, paid) },
		r.outcomes,
	} {
		if err := judge(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(r.report.Violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Invariant, b.Invariant), cmp.Compare(a.What, b.What))
	})
	r.report.TookMS = c.Now().Sub(began).Milliseconds()
	return r.report, nil
}

// projection judges I3, I7 and I8 by the comparison of every quote.
func (r *run) projection(v *rebuild.Report) {
	r.report.LogRoot, r.report.RedisRoot = v.LogRoot, v.RedisRoot
	for _, i := range []string{"I3", "I7", "I8"} {
		r.line(i).Looked = v.Quotes
	}
	r.line("I7").InFlight = v.InFlight
	for _, d := range v.Differences {
		log, redis := d.Log, d.Redis
		switch {
		case log == nil:
			r.fail("I7", d.Next, "quote %s on %s is in Redis, and the log knows nothing of it", d.Quote, d.Account)
		case redis == nil:
			r.fail("I3", d.Next, "quote %s on %s is not in Redis, by the log it is %s %s", d.Quote, d.Account, log.Status, log.Flags)
		case log.Status != redis.Status || log.Flags != redis.Flags:
			r.fail("I3", d.Next, "quote %s on %s is %s %s, by the log %s %s", d.Quote, d.Account, redis.Status, redis.Flags, log.Status, log.Flags)
		default:
			r.fail("I7", d.Next, "the facts of quote %s on %s differ from the log's (%s)", d.Quote, d.Account, d.Kind)
		}
	}
	if v.LogRoot != v.RedisRoot && v.InFlight == 0 {
		r.fail("I8", `quotectl rebuild --verify`, "the root of Redis is %s, that of the log %s", v.RedisRoot, v.LogRoot)
	}
}

// outcomes judges I9.
func (r *run) outcomes(ctx context.Context) error {
	accounts, err := check.Books{Log: r.Log, Redis: r.Redis}.Conservation(ctx)
	if err != nil {
		return err
	}
	line := r.line("I9")
	for _, a := range accounts {
		line.Looked += int(a.Messages)   //nolint:gosec // far below 2^63
		line.InFlight += int(a.InFlight) //nolint:gosec // far below 2^63
		for _, gap := range a.Unaccounted {
			r.fail("I9", fmt.Sprintf("quotectl replay %s:%d --reason \"not accounted for\"", a.Stream, gap.From),
				"messages %s of %s are acknowledged and have no outcome", gap, a.Stream)
		}
		for _, extra := range a.Extra {
			r.fail("I9", `quotectl rebuild --switch --reason "outcomes without messages"`, "outcomes %s of %s are of no message", extra, a.Stream)
		}
		for _, sequence := range a.Dead {
			if err := r.deadLetter(ctx, a.Stream, sequence); err != nil {
				return err
			}
		}
	}
	return nil
}

// deadLetter holds a dead message against its dead letter.
func (r *run) deadLetter(ctx context.Context, stream string, sequence uint64) error {
	original, err := r.Log.ReadSequence(ctx, stream, sequence)
	if err != nil {
		return err
	}
	letter, err := r.Log.Read(ctx, event.StreamDead, event.DeadSubject(natsstream.DurablePayments, stream, sequence, 1))
	next := fmt.Sprintf("quotectl replay %s:%d --reason \"its dead letter is lost\"", stream, sequence)
	switch {
	case isNotFound(err):
		r.fail("I9", next, "dead message %d of %s has no dead letter", sequence, stream)
	case err != nil:
		return err
	case string(letter.Data) != string(original.Data):
		r.fail("I9", next, "the dead letter of message %d of %s has other bytes", sequence, stream)
	}
	return nil
}
