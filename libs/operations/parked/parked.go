// Package parked is what operators do with what waits: Stripe messages without a link to a quote, and payments of quotes that
// are not known. They see what waits for what, and have a message folded again or given up.
//
// It changes nothing by itself: the payments worker is asked. quotectl and the console call it.
package parked

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// askTimeout bounds one answer; the worker gives up after 20 s.
const askTimeout = 25 * time.Second

// The kinds of what waits.
const (
	// KindLink is a Stripe message that waits for an object that links it to a quote.
	KindLink = "link"
	// KindQuote are payment facts that wait for the publication of their quote.
	KindQuote = "quote"
)

// Waiting is one thing that waits.
type Waiting struct {
	Kind string `json:"kind"`
	// Place and EventID are of the message; of facts there may be several.
	Place   string `json:"place,omitempty"`
	EventID string `json:"event_id,omitempty"`
	Type    string `json:"type,omitempty"`
	Account string `json:"account"`
	// WaitsFor is what would end the wait: any of these objects of Stripe's, or the publication of this quote.
	WaitsFor []string  `json:"waits_for"`
	Since    time.Time `json:"since"`
	AgeS     float64   `json:"age_seconds"`

	sequence uint64
}

// Age is how long it has waited.
func (w Waiting) Age() time.Duration { return time.Duration(w.AgeS * float64(time.Second)) }

// Filter selects what waits. The zero value selects all.
type Filter struct {
	OlderThan time.Duration
	// Type may hold * and ?.
	Type, Account string
}

func (f Filter) takes(w Waiting) bool {
	fits, err := path.Match(f.Type, w.Type)
	return w.AgeS >= f.OlderThan.Seconds() && (f.Type == "" || err == nil && fits) && (f.Account == "" || f.Account == w.Account)
}

// Desk is where it is dealt with. Reader is nil where Redis is not configured; then nothing is known.
type Desk struct {
	Log    *natsstream.Log
	NATS   *nats.Conn
	Reader *redisquote.Reader
	Now    func() time.Time
}

// List returns what waits, the oldest first. There is no bound to how much.
func (d Desk) List(ctx context.Context, f Filter) ([]Waiting, error) {
	if d.Reader == nil {
		return nil, advice.New("export REDIS_URL=redis://127.0.0.1:6379/0", "what waits is not known without Redis")
	}
	messages, err := d.Reader.ParkedMessages(ctx)
	if err != nil {
		return nil, err
	}
	unknown, err := d.Reader.UnknownQuotes(ctx)
	if err != nil {
		return nil, err
	}
	all := []Waiting{}
	now := d.Now()
	for _, p := range messages {
		all = append(all, Waiting{
			Kind: KindLink, Place: event.StreamStripe + ":" + strconv.FormatUint(p.Sequence, 10), EventID: p.EventID, Type: p.Type, Account: p.Account,
			WaitsFor: p.Objects, Since: p.Since, AgeS: now.Sub(p.Since).Seconds(), sequence: p.Sequence,
		})
	}
	for _, u := range unknown {
		all = append(all, Waiting{Kind: KindQuote, Account: u.Account, WaitsFor: []string{u.Quote}, Since: u.Since, AgeS: now.Sub(u.Since).Seconds()})
	}
	all = slices.DeleteFunc(all, func(w Waiting) bool { return !f.takes(w) })
	slices.SortStableFunc(all, func(x, y Waiting) int { return x.Since.Compare(y.Since) })
	return all, nil
}

// Messages keeps the messages that are named by place or event id, or, without names, all messages: those alone can be
// released.
func Messages(all []Waiting, refs []string) ([]Waiting, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(w Waiting) bool { return w.Kind != KindLink })
	if len(refs) == 0 {
		if len(all) == 0 {
			return nil, advice.Missing("quotectl parked list", "no parked messages match")
		}
		return all, nil
	}
	var found []Waiting
	for _, ref := range refs {
		i := slices.IndexFunc(all, func(w Waiting) bool { return w.Place == ref || w.EventID == ref })
		if i < 0 {
			return nil, advice.Missing("quotectl explain "+ref, "%s is not parked", ref)
		}
		found = append(found, all[i])
	}
	return found, nil
}

// Order is what to do about messages, for whom and why.
type Order struct {
	// GiveUp ends the wait instead of folding once more.
	GiveUp   bool
	Who, Why string
}

// Result is what came of one message.
type Result struct {
	Place   string `json:"place"`
	EventID string `json:"event_id,omitempty"`
	natsstream.ParkedAnswer
}

// Release asks the payments worker about the messages, one after the other, tells each result, and records all. It ends early when ctx does,
// between two messages, and when no worker answers; the results are those until then.
func (d Desk) Release(ctx context.Context, all []Waiting, o Order, told func(Result)) ([]Result, error) {
	results := []Result{}
	entry := journal.Entry{Action: "parked_release", Who: o.Who, Reason: o.Why, Target: all[0].Place}
	if o.GiveUp {
		entry.Action = "parked_give_up"
	}
	if len(all) > 1 {
		entry.Target = fmt.Sprintf("%d messages", len(all))
	}
	err := journal.New(d.Log, d.Now).Around(ctx, entry, func(e *journal.Entry) error {
		var err error
		for _, w := range all {
			if err = ctx.Err(); err != nil {
				break
			}
			var answer natsstream.ParkedAnswer
			answer, err = d.ask(ctx, natsstream.ParkedRequest{Sequence: w.sequence, GiveUp: o.GiveUp, Who: o.Who, Why: o.Why})
			if err != nil {
				break
			}
			results = append(results, Result{w.Place, w.EventID, answer})
			told(results[len(results)-1])
		}
		counts := map[string]int{}
		for _, r := range results {
			outcome := r.Outcome
			if r.Error != "" {
				outcome = "error"
			}
			counts[outcome]++
		}
		e.Detail = map[string]any{"selected": len(all), "outcomes": counts}
		if len(all) == 1 && len(results) == 1 {
			e.Before, e.After = results[0].Before, results[0].Outcome
		}
		return err
	})
	return results, err
}

func (d Desk) ask(ctx context.Context, request natsstream.ParkedRequest) (natsstream.ParkedAnswer, error) {
	// The message in hand is waited for even when the operator interrupts: what came of it belongs in the journal.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	var answer natsstream.ParkedAnswer
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	msg, err := d.NATS.RequestWithContext(ctx, natsstream.ParkedSubject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return answer, advice.New("start the payments worker, or look at its /readyz", "no payments worker listens")
	}
	if err != nil {
		return answer, advice.New("look at the payments worker's /readyz and log", "no answer of the payments worker: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("decode the payments worker's answer: %w", err)
	}
	return answer, nil
}
