package operator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/operator/scenario"
)

// pollEvery is how often the witness looks.
const pollEvery = 100 * time.Millisecond

// sight is one thing that is compared.
type sight struct {
	Name     string `json:"check"`
	Expected string `json:"expected"`
	Got      string `json:"got"`
	OK       bool   `json:"ok"`
	// final says that more time cannot mend it: what is counted only grows.
	final bool
}

// witness looks at a quote from outside: through the API and the log always, through the projection and the mail catcher
// where there are any.
type witness struct {
	api       *api
	published event.Published // the quote's newest revision
	log       *natsstream.Log
	reader    *redisquote.Reader
	mailbox   *mailbox

	nc        *nats.Conn
	redis     redis.UniversalClient
	sequences map[string]uint64 // of the burst's events in STRIPE, by event id
	outcomes  map[string]string // payments' decisions about them, by event id
}

// openWitness connects to everything that is configured and reads the quote's newest publication. It comes from the log: the
// API does not tell on which Stripe account a quote is sold.
func (a *app) openWitness(ctx context.Context, c Config, quoteID string) (_ *witness, err error) {
	w := &witness{api: newAPI(c), sequences: map[string]uint64{}, outcomes: map[string]string{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if c.MailboxURL != "" {
		w.mailbox = newMailbox(c.MailboxURL)
	}
	if w.nc, w.log, err = a.openLog(ctx, c); err != nil {
		return nil, err
	}
	if c.Redis != nil {
		if w.redis, err = openRedis(ctx, c); err != nil {
			return nil, err
		}
		if w.reader, err = newReader(ctx, w.log, w.redis); err != nil {
			return nil, err
		}
	}
	w.published, err = newestPublication(ctx, w.log, quoteID)
	return w, err
}

// newestPublication reads the newest published revision of a quote; its error says whether there is no such quote at all.
func newestPublication(ctx context.Context, log *natsstream.Log, quoteID string) (event.Published, error) {
	records, err := log.ReadAll(ctx, event.StreamQuotes, "quote.published.*."+quoteID+".*")
	if err != nil {
		return event.Published{}, err
	}
	var newest event.Published
	for _, r := range records {
		envelope, err := event.Decode(r.Data)
		if err != nil {
			return event.Published{}, fmt.Errorf("decode %s: %w", story.Reference(r), err)
		}
		p, err := event.Data[event.Published](envelope)
		if err != nil {
			return event.Published{}, fmt.Errorf("decode %s: %w", story.Reference(r), err)
		}
		if p.Revision > newest.Revision {
			newest = p
		}
	}
	if newest.Revision > 0 {
		return newest, nil
	}
	_, err = log.Read(ctx, event.StreamQuotes, "quote.*.*."+quoteID+".*")
	if errors.Is(err, natsstream.ErrNotFound) {
		return event.Published{}, notFound("quotectl quotes list", "there is no quote %s", quoteID)
	}
	if err != nil {
		return event.Published{}, err
	}
	return event.Published{}, advise("publish the quote first: POST /v1/quotes/"+quoteID+"/publish", "quote %s is not published", quoteID)
}

// payable refuses quotes that must not or cannot be paid.
func (w *witness) payable(ctx context.Context, live bool) error {
	id := w.published.QuoteID
	q, _, err := w.api.quote(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case q.Status == "draft" || q.Status == "recalled" || q.Status == "expired":
		return advise("publish a new revision first: POST /v1/quotes/"+id+"/publish", "quote %s is %s and cannot be paid", id, q.Status)
	case w.published.Mode == event.ModeLive && !live:
		return advice.Of(advice.Usage, "use a test deployment, or add --live if that is what you want", "quote %s is in live mode: a simulated payment would mark it paid for everybody", id)
	}
	return nil
}

func (w *witness) close() {
	if w.nc != nil {
		w.nc.Close()
	}
	if w.redis != nil {
		_ = w.redis.Close() // nothing was written
	}
}

// await looks until everything is as the burst demands and has been so for the settle time, or until ctx ends, or until a
// difference is there to stay. It returns the last look.
func (w *witness) await(ctx context.Context, settle time.Duration, b scenario.Burst) (checks []sight, ok bool, err error) {
	var since time.Time
	for {
		seen, err := w.look(ctx, b)
		if err != nil {
			if ctx.Err() != nil && checks != nil {
				return checks, false, nil // the look was cut short by the timeout: the one before it is the result
			}
			return nil, false, err
		}
		checks = seen
		good, final := verdict(checks)
		now := time.Now() //nolint:forbidigo // a monotonic clock for how long the end has lasted
		switch {
		case final:
			return checks, false, nil
		case !good:
			since = time.Time{}
		case since.IsZero():
			since = now
		}
		if good && now.Sub(since) >= settle {
			return checks, true, nil
		}
		select {
		case <-ctx.Done():
			// A good end that had no time to last is reported as good: the time was the caller's choice.
			return checks, good, nil
		case <-time.After(pollEvery):
		}
	}
}

func verdict(checks []sight) (good, final bool) {
	good = true
	for _, c := range checks {
		good = good && c.OK
		final = final || c.final
	}
	return good, final
}

// look compares once.
func (w *witness) look(ctx context.Context, b scenario.Burst) ([]sight, error) {
	card, _, err := w.api.card(ctx, w.published.QuoteID)
	if err != nil {
		return nil, err
	}
	more, err := w.logChecks(ctx, b)
	if err != nil {
		return nil, err
	}
	checks := append(cardChecks(card, b), more...)
	if w.mailbox != nil {
		n, err := w.mailbox.count(ctx, w.published.QuoteID)
		if err != nil {
			return nil, err
		}
		checks = append(checks, counted("mails", b.Expect.Mails, n))
	}
	return checks, nil
}

// unpaid is the payment status of a quote on which nothing happened.
const unpaid = "pending"

// shownAs reports whether a card of status shown is that of the payment status. While nothing was paid the card shows the
// state of the quote itself.
func shownAs(status, shown string) bool {
	return shown == status || status == unpaid && shown == "published"
}

func cardChecks(card apiCard, b scenario.Burst) []sight {
	status := equal("status", b.Expect.Status, card.Status)
	status.OK = shownAs(b.Expect.Status, card.Status)
	checks := []sight{
		status,
		equal("flags", flagsText(b.Expect.Flags), flagsText(card.Flags)),
	}
	if prefix := b.Expect.CardText; prefix != "" {
		c := equal("card", prefix+"…", card.Text)
		c.OK = strings.HasPrefix(card.Text, prefix)
		checks = append(checks, c)
	}
	if !b.PaidFrom.IsZero() {
		checks = append(checks, sight{
			Name: "paid at", Expected: stamp(b.PaidFrom) + " to " + stamp(b.PaidTo), Got: stamp(card.PaidAt),
			OK: !card.PaidAt.Before(b.PaidFrom) && !card.PaidAt.After(b.PaidTo),
		})
	}
	return checks
}

// logChecks counts what the log holds of the burst: its events, the decisions about them, and quote.paid.
func (w *witness) logChecks(ctx context.Context, b scenario.Burst) ([]sight, error) {
	for _, e := range b.Events {
		if err := w.follow(ctx, e); err != nil {
			return nil, err
		}
	}
	checks := []sight{counted("events in the log", len(b.Events), len(w.sequences))}
	if w.reader != nil {
		checks = append(checks, counted("events decided", len(b.Events), len(w.outcomes)), counted("events refused or dead", 0, w.rejected()))
	}
	subject := event.QuoteSubject{
		Event: event.NamePaid, Seller: w.published.Seller, Quote: w.published.QuoteID, N: strconv.Itoa(w.published.Revision),
	}
	paid, err := w.log.ReadAll(ctx, event.StreamQuotes, subject.String())
	if err != nil {
		return nil, err
	}
	checks = append(checks, counted("quote.paid", b.Expect.PaidFacts, len(paid)))
	for _, r := range paid {
		checks = append(checks, w.paidCheck(r))
	}
	return checks, nil
}

// follow looks up where an event lies and whether payments has decided about it; what is known is not asked again.
func (w *witness) follow(ctx context.Context, e scenario.Event) error {
	seq, ok := w.sequences[e.ID]
	if !ok {
		subject := event.StripeSubject{Mode: event.Mode(w.published.Mode == event.ModeLive), Account: w.published.Account, EventID: e.ID, Type: e.Type}
		r, err := w.log.Read(ctx, event.StreamStripe, subject.String())
		if errors.Is(err, natsstream.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		seq, w.sequences[e.ID] = r.Sequence, r.Sequence
	}
	if w.reader == nil || w.outcomes[e.ID] != "" {
		return nil
	}
	o, err := w.reader.Outcome(ctx, event.StreamStripe, seq)
	if errors.Is(err, redisquote.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	w.outcomes[e.ID] = o.Outcome
	return nil
}

// rejected counts the events that payments would not fold.
func (w *witness) rejected() int {
	n := 0
	for _, o := range w.outcomes {
		if o == "refused" || o == "dead" {
			n++
		}
	}
	return n
}

// paidCheck compares what a quote.paid says with the quote.
func (w *witness) paidCheck(r natsstream.Record) sight {
	want := money(w.published.Amount, w.published.Currency)
	envelope, err := event.Decode(r.Data)
	if err != nil {
		return sight{Name: "quote.paid amount", Expected: want, Got: err.Error(), final: true}
	}
	data, err := event.Data[event.Paid](envelope)
	if err != nil {
		return sight{Name: "quote.paid amount", Expected: want, Got: err.Error(), final: true}
	}
	c := equal("quote.paid amount", want, money(data.Amount, data.Currency))
	c.final = !c.OK
	return c
}

func equal(name, want, got string) sight {
	return sight{Name: name, Expected: want, Got: got, OK: want == got}
}

// counted compares numbers that only grow: too many is there to stay.
func counted(name string, want, got int) sight {
	return sight{Name: name, Expected: number(want), Got: number(got), OK: want == got, final: got > want}
}

// stamp is a time in checks and JSON: UTC, whole seconds, as Stripe counts.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// newReader reads the generation that is in use now.
func newReader(ctx context.Context, log *natsstream.Log, client redis.UniversalClient) (*redisquote.Reader, error) {
	g, err := log.Generation(ctx)
	if err != nil {
		return nil, advise("quotectl declare", "which generation of Redis is in use: %w", err)
	}
	return redisquote.NewReader(client, redisquote.NewKeys(g.Read)), nil
}
