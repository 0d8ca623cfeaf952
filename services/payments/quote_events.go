package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// quoteEvent is a decoded message of the stream QUOTES.
type quoteEvent struct {
	it       *item
	subject  event.QuoteSubject
	envelope event.Envelope
}

// readQuoteEvents takes the quote's own events of the batch in: documents and revisions are written to the quote's hash,
// stored emissions are marked, and whatever bears on payments becomes facts for the quote's accounts.
func (b *batch) readQuoteEvents(ctx context.Context) error {
	var events []quoteEvent
	for _, it := range b.items {
		if it.record.Stream != event.StreamQuotes {
			continue
		}
		subject, ok := event.ParseQuoteSubject(it.record.Subject)
		if !ok {
			it.decide(outcomeDead, "subject of an unknown form")
			continue
		}
		envelope, err := event.Decode(it.record.Data)
		if err != nil {
			it.decide(outcomeDead, err.Error())
			continue
		}
		it.out.EventID, it.out.Type, it.out.Quote = envelope.ID, envelope.Type, subject.Quote
		events = append(events, quoteEvent{it, subject, envelope})
	}
	if len(events) == 0 {
		return nil
	}
	if err := b.writeQuoteEvents(ctx, events); err != nil {
		return err
	}
	return b.revisionFacts(ctx, events)
}

// writeQuoteEvents writes each event's own trace to Redis. Every write is harmless to repeat and to reorder.
func (b *batch) writeQuoteEvents(ctx context.Context, events []quoteEvent) error {
	pipe := b.w.redis.Pipeline()
	var drafts []event.Drafted
	for _, e := range events {
		var err error
		mark := false
		switch e.subject.Event {
		case "drafted":
			var d event.Drafted
			if d, err = event.Data[event.Drafted](e.envelope); err == nil {
				drafts = append(drafts, d)
				b.indexDraft(ctx, pipe, d)
				e.it.decide(outcomeApplied, "")
			}
		case "published":
			err = b.writePublished(ctx, pipe, e)
		case "recalled":
			pipe.HSet(ctx, b.w.keys.Quote(e.subject.Quote), redisquote.FieldRecalled+e.subject.N, e.envelope.Time.Unix())
		case "expired":
			pipe.HSet(ctx, b.w.keys.Quote(e.subject.Quote), redisquote.FieldExpired+e.subject.N, e.envelope.Time.Unix())
		default:
			mark = true
			err = b.writeMark(ctx, pipe, e)
		}
		if err != nil {
			e.it.decide(outcomeDead, err.Error())
			continue
		}
		if !mark { // a mark changes no status: what it records was committed before it was published
			b.touched[e.subject.Quote] = true
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("write quote events: %w", err)
		}
	}
	return b.writeDrafts(ctx, drafts)
}

func (b *batch) indexDraft(ctx context.Context, pipe redis.Pipeliner, d event.Drafted) {
	if d.Version != 1 {
		return
	}
	pipe.ZAdd(ctx, b.w.keys.IndexSeller(d.Seller), redis.Z{Score: float64(d.DraftedAt.UnixMilli()), Member: d.QuoteID})
	pipe.HSet(ctx, b.w.keys.Quote(d.QuoteID), redisquote.FieldCreated, d.DraftedAt.UnixMilli())
}

func (b *batch) writeDrafts(ctx context.Context, drafts []event.Drafted) error {
	if len(drafts) == 0 {
		return nil
	}
	docs := make([][]byte, len(drafts))
	for i, d := range drafts {
		var err error
		if docs[i], err = json.Marshal(d); err != nil {
			return fmt.Errorf("encode document of %s: %w", d.QuoteID, err)
		}
	}
	_, err := b.w.runScripts(ctx, b.w.draftScript, len(drafts), func(i int) ([]string, []any) {
		return []string{b.w.keys.Quote(drafts[i].QuoteID)}, []any{strconv.Itoa(drafts[i].Version), docs[i]}
	})
	if err != nil {
		return fmt.Errorf("write documents: %w", err)
	}
	return nil
}

func (b *batch) writePublished(ctx context.Context, pipe redis.Pipeliner, e quoteEvent) error {
	p, err := event.Data[event.Published](e.envelope)
	if err != nil {
		return err
	}
	p.Document = quote.Document{Deal: p.Document.Deal}
	rev, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode revision: %w", err)
	}
	pipe.HSet(ctx, b.w.keys.Quote(p.QuoteID), redisquote.FieldRevision+strconv.Itoa(p.Revision), rev)
	if p.URLToken != "" {
		pipe.Set(ctx, b.w.keys.Token(p.URLToken), fmt.Sprintf("%s %d", p.QuoteID, p.Revision), 0)
	}
	return nil
}

// writeMark records that the log holds an emission. The log is where it is true; the mark spares the worker from asking
// the log again with every commit, and its time is what card, page and mail show.
func (b *batch) writeMark(ctx context.Context, pipe redis.Pipeliner, e quoteEvent) error {
	fact, err := event.Data[event.PaymentFact](e.envelope) // quote.paid has the same names for the fields used here
	if err != nil {
		return err
	}
	if !event.ValidToken(fact.Account) {
		return fmt.Errorf("account %q is not a valid token", fact.Account)
	}
	mark, err := json.Marshal(redisquote.Mark{ID: e.envelope.ID, At: e.envelope.Time, Sequence: e.it.record.Sequence})
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	pipe.HSet(ctx, b.w.keys.Pay(fact.Account, e.subject.Quote), redisquote.FieldMark+e.subject.Event+"."+e.subject.N, mark)
	e.it.out.Account = fact.Account
	e.it.decide(outcomeApplied, "")
	return nil
}

// revisionFacts turns publications, recalls and expiries into facts for every account that any revision of the quote
// names, so that each account's facts know of all revisions. Each event was written to the quote's hash before that hash
// is read here: whichever of two events comes second sees both.
func (b *batch) revisionFacts(ctx context.Context, events []quoteEvent) error {
	pipe := b.w.redis.Pipeline()
	reads := map[string]*redis.MapStringStringCmd{}
	for _, e := range events {
		if e.it.open() && reads[e.subject.Quote] == nil {
			reads[e.subject.Quote] = pipe.HGetAll(ctx, b.w.keys.Quote(e.subject.Quote))
		}
	}
	if len(reads) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read revisions: %w", err)
	}
	for _, e := range events {
		if !e.it.open() {
			continue
		}
		q, err := redisquote.DecodeQuote(reads[e.subject.Quote].Val())
		if err != nil {
			e.it.err = fmt.Errorf("read revisions of %s: %w", e.subject.Quote, err)
			continue
		}
		e.it.facts = factsOf(q)
		for _, account := range q.Accounts() {
			e.it.addTarget(target{account, e.subject.Quote})
		}
		if len(e.it.targets) == 0 {
			// A recall or expiry that came before its publication; the publication's turn will read it.
			e.it.decide(outcomeApplied, "before its publication")
		}
	}
	return nil
}

// factsOf returns everything about a quote's revisions that bears on payments.
func factsOf(q redisquote.Quote) quote.Facts {
	var facts quote.Facts
	for n, p := range q.Revisions {
		facts.Merge(quote.RevisionFacts(quote.Revision{
			Seller: p.Seller, Number: n, Amount: quote.Money{Amount: p.Amount, Currency: p.Currency}, Account: p.Account, Mode: p.Mode,
			Deal: p.Document.Deal.ID, PublishedAt: p.PublishedAt, ExpiresAt: p.ExpiresAt, Recalled: q.Recalled[n], Expired: q.Expired[n],
		}))
	}
	return facts
}
