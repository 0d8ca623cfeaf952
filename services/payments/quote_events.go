package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// quoteEvent is a message of the stream QUOTES as projection reads it.
type quoteEvent struct {
	it *item
	projection.QuoteEvent
}

// readQuoteEvents takes the quote's own events of the batch in: documents and revisions are written to the quote's hash,
// stored emissions are marked, and whatever bears on payments becomes facts for the quote's accounts.
func (b *batch) readQuoteEvents(ctx context.Context) error {
	var events []quoteEvent
	for _, it := range b.items {
		if it.record.Stream != event.StreamQuotes {
			continue
		}
		e := quoteEvent{it, projection.ReadQuote(it.record.Subject, it.record.Data)}
		it.read(e.Outcome)
		if it.open() {
			events = append(events, e)
		}
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
		record := b.keys.Quote(e.Subject.Quote)
		switch {
		case e.Drafted != nil:
			drafts = append(drafts, *e.Drafted)
			b.indexDraft(ctx, pipe, *e.Drafted)
			e.it.decide(projection.Applied, "")
		case e.Published != nil:
			err = b.writePublished(ctx, pipe, *e.Published)
		case e.Recalled > 0:
			pipe.HSet(ctx, record, redisquote.FieldRecalled+e.Subject.N, e.Envelope.Time.Unix())
		case e.Expired > 0:
			pipe.HSet(ctx, record, redisquote.FieldExpired+e.Subject.N, e.Envelope.Time.Unix())
		default:
			err = b.writeMark(ctx, pipe, e)
		}
		if err != nil {
			e.it.decide(projection.Dead, err.Error())
			continue
		}
		if e.Mark == nil { // a mark changes no status: what it records was committed before it was published
			b.touched[e.Subject.Quote] = true
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
	pipe.ZAdd(ctx, b.keys.IndexSeller(d.Seller), redis.Z{Score: float64(d.DraftedAt.UnixMilli()), Member: d.QuoteID})
	pipe.HSet(ctx, b.keys.Quote(d.QuoteID), redisquote.FieldCreated, d.DraftedAt.UnixMilli())
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
	_, err := b.w.runScripts(ctx, draftScript, len(drafts), func(i int) ([]string, []any) {
		return []string{b.keys.Quote(drafts[i].QuoteID)}, []any{strconv.Itoa(drafts[i].Version), docs[i]}
	})
	if err != nil {
		return fmt.Errorf("write documents: %w", err)
	}
	return nil
}

func (b *batch) writePublished(ctx context.Context, pipe redis.Pipeliner, p event.Published) error {
	p.Document = quote.Document{Deal: p.Document.Deal}
	rev, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode revision: %w", err)
	}
	pipe.HSet(ctx, b.keys.Quote(p.QuoteID), redisquote.FieldRevision+strconv.Itoa(p.Revision), rev)
	if p.URLToken != "" {
		pipe.Set(ctx, b.keys.Token(p.URLToken), fmt.Sprintf("%s %d", p.QuoteID, p.Revision), 0)
	}
	return nil
}

// writeMark records that the log holds an emission. The log is where it is true; the mark spares the worker from asking
// the log again with every commit, and its time is what card, page and mail show.
func (b *batch) writeMark(ctx context.Context, pipe redis.Pipeliner, e quoteEvent) error {
	mark, err := json.Marshal(redisquote.Mark{ID: e.Mark.ID, At: e.Mark.At, Sequence: e.it.record.Sequence})
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	pipe.HSet(ctx, b.keys.Pay(e.Mark.Account, e.Subject.Quote), redisquote.FieldMark+e.Mark.Name, mark)
	e.it.decide(projection.Applied, "")
	return nil
}

// revisionFacts turns publications, recalls and expiries into facts for every account that any revision of the quote
// names, so that each account's facts know of all revisions. Each event was written to the quote's hash before that hash
// is read here: whichever of two events comes second sees both.
func (b *batch) revisionFacts(ctx context.Context, events []quoteEvent) error {
	pipe := b.w.redis.Pipeline()
	reads := map[string]*redis.MapStringStringCmd{}
	for _, e := range events {
		if e.it.open() && reads[e.Subject.Quote] == nil {
			reads[e.Subject.Quote] = pipe.HGetAll(ctx, b.keys.Quote(e.Subject.Quote))
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
		q, err := redisquote.DecodeQuote(reads[e.Subject.Quote].Val())
		if err != nil {
			e.it.err = fmt.Errorf("read revisions of %s: %w", e.Subject.Quote, err)
			continue
		}
		e.it.change.Facts = factsOf(q)
		for _, account := range q.Accounts() {
			e.it.addTarget(target{account, e.Subject.Quote})
		}
		if len(e.it.targets) == 0 {
			// A recall or expiry that came before its publication; the publication's turn will read it.
			e.it.decide(projection.Applied, projection.ReasonTooEarly)
		}
	}
	return nil
}

// factsOf returns everything about a quote's revisions that bears on payments.
func factsOf(q redisquote.Quote) quote.Facts {
	var facts quote.Facts
	for n, p := range q.Revisions {
		facts.Merge(quote.RevisionFacts(projection.RevisionOf(p, q.Recalled[n], q.Expired[n])))
	}
	return facts
}
