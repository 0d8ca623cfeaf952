package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// setAside stores the batch's dead messages in the stream DEAD, also those that only a rebuild finds dead: another policy or
// another version than yesterday's reads them. A letter that is there already stays as it stands.
func (b *batch) setAside(ctx context.Context) error {
	for _, it := range b.items {
		if it.err != nil || it.out.Outcome != projection.Dead {
			continue
		}
		if err := b.w.events.SetAside(ctx, natsstream.DeadLetter{
			Consumer: natsstream.DurablePayments, Record: it.record, Reason: it.out.Reason, Attempts: it.attempt, Round: it.round,
			Handler: b.w.cfg.Version,
		}); err != nil {
			return err
		}
	}
	return nil
}

// record writes what became of every message, and the indexes. It comes after everything that matters and before the
// acknowledgement: an event in the log has one outcome or is still in flight.
func (b *batch) record(ctx context.Context) error {
	if err := b.tellDuplicates(ctx); err != nil {
		return err
	}
	knew, err := b.stillParked(ctx)
	if err != nil {
		return err
	}
	if err := b.carryOutcomes(ctx); err != nil {
		return err
	}
	pipe := b.w.redis.Pipeline()
	for _, it := range b.items {
		if it.err == nil {
			b.recordItem(ctx, pipe, it)
		}
	}
	for _, s := range b.order {
		if s.err == nil {
			b.recordSettlement(ctx, pipe, s)
		}
	}
	for _, k := range knew {
		b.corroborate(ctx, pipe, k)
	}
	for _, p := range b.ignored {
		b.overwrite(ctx, pipe, p, redisquote.Outcome{Outcome: projection.Ignored, Reason: projection.ReasonRenewal})
	}
	b.touches.write(ctx, pipe, b.keys)
	if len(b.known) > 0 {
		pipe.ZRem(ctx, b.keys.IndexUnknown(), b.known...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	if err := b.indexMoved(ctx); err != nil {
		return err
	}
	return b.index(ctx)
}

// indexMoved is index for the quotes whose status is known without reading their documents.
func (b *batch) indexMoved(ctx context.Context) error {
	pipe := b.w.redis.Pipeline()
	reads := make([]*redis.SliceCmd, len(b.moved))
	for i, s := range b.moved {
		reads[i] = pipe.HMGet(ctx, b.keys.Quote(s.quote), redisquote.FieldIndexed, redisquote.FieldCreated)
	}
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read quotes: %w", err)
	}
	pipe = b.w.redis.Pipeline()
	for i, s := range b.moved {
		indexed, _ := reads[i].Val()[0].(string)
		created, drafted := reads[i].Val()[1].(string)
		if !drafted || b.touched[s.quote] {
			continue // its own event will index it, or index does
		}
		m := &move{}
		m.created, _ = strconv.ParseFloat(created, 64)
		m.reindex(ctx, pipe, b.keys.Quote(s.quote), redisquote.FieldIndexed, indexed, string(s.state.Status),
			func(v string) string { return b.keys.IndexStatus(s.state.Seller, v) }, s.quote)
	}
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("index quotes: %w", err)
	}
	return nil
}

// tellDuplicates separates a second event of the same type about the same object from one that tells the same in
// another way.
func (b *batch) tellDuplicates(ctx context.Context) error {
	pipe := b.w.redis.Pipeline()
	reads := map[*item]*redis.StringCmd{}
	for _, it := range b.items {
		if it.err == nil && it.record.Stream == event.StreamStripe && it.out.Outcome == projection.Corroborated {
			reads[it] = pipe.HGet(ctx, b.keys.PayEvents(it.out.Account, it.out.Quote), touchField(it.change.Type, it.change.Object))
		}
	}
	if len(reads) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !isNil(err) {
		return fmt.Errorf("read earlier events: %w", err)
	}
	type about struct{ quote, kind, object string }
	seen := make(map[about]bool, len(b.items))
	for _, it := range b.items {
		field := about{it.out.Quote, it.change.Type, it.change.Object}
		if read := reads[it]; read != nil && (seen[field] || read.Err() == nil && read.Val() != touchValue(it.record.Sequence, it.change.EventID)) {
			it.decide(projection.Duplicate, "")
		}
		seen[field] = true
	}
	return nil
}

// recordItem writes one message's outcome. The first one stands: what a redelivery finds out is not news. Only an operator's
// retry, of what was dead or parked, replaces it.
func (b *batch) recordItem(ctx context.Context, pipe redis.Pipeliner, it *item) {
	it.out.At, it.out.Handler = b.began.UTC(), b.w.cfg.Version
	key, field := b.keys.Outcomes(it.record.Stream, it.record.Sequence), strconv.FormatUint(it.record.Sequence, 10)
	encoded := encodeOutcome(b.carried(it.record.Stream, it.record.Sequence, it.out))
	if it.again {
		pipe.HSet(ctx, key, field, encoded)
	} else {
		pipe.HSetNX(ctx, key, field, encoded)
	}
	if it.record.Stream == event.StreamStripe {
		for _, t := range it.targets {
			b.touches.add(t, it.change.Type, it.change.Object, it.change.EventID, it.record.Sequence)
		}
	}
}

func (b *batch) recordSettlement(ctx context.Context, pipe redis.Pipeliner, s *settlement) {
	for _, p := range s.released {
		b.overwrite(ctx, pipe, p, redisquote.Outcome{
			Outcome: projection.Applied, Reason: projection.ReasonHadWaited, Account: s.account, Quote: s.quote, Before: s.before, After: string(s.state.Status),
		})
		b.touches.add(s.target, p.Type, p.Object, p.EventID, p.Sequence)
	}
	member := s.account + "|" + s.quote
	switch {
	case !s.changed:
	case slices.Contains(s.state.Flags, quote.FlagUnknownQuote):
		pipe.ZAddNX(ctx, b.keys.IndexUnknown(), redis.Z{Score: float64(b.began.UnixMilli()), Member: member})
	default:
		b.known = append(b.known, member)
	}
}

// knownParked is a change that had waited and told its quote nothing new.
type knownParked struct {
	s *settlement
	p parked
}

// stillParked lists the changes that had waited, told nothing new, and stand as parked in Redis. Others were decided when
// another object that they name was linked, or before a crash that came between commit and record.
func (b *batch) stillParked(ctx context.Context) ([]knownParked, error) {
	pipe := b.w.redis.Pipeline()
	var asked []knownParked
	var reads []*redis.StringCmd
	for _, s := range b.order {
		for _, p := range s.knew {
			asked = append(asked, knownParked{s, p})
			reads = append(reads, pipe.HGet(ctx, b.keys.Outcomes(event.StreamStripe, p.Sequence), strconv.FormatUint(p.Sequence, 10)))
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !isNil(err) {
		return nil, fmt.Errorf("read parked outcomes: %w", err)
	}
	parkedNow := map[uint64]bool{} // by this very batch, so that it is not recorded yet
	for _, it := range b.items {
		if it.record.Stream == event.StreamStripe && it.out.Outcome == projection.Parked {
			parkedNow[it.record.Sequence] = true
		}
	}
	var waiting []knownParked
	for i, k := range asked {
		var o redisquote.Outcome
		if parkedNow[k.p.Sequence] && reads[i].Err() != nil {
			o.Outcome = projection.Parked
		} else if err := json.Unmarshal([]byte(reads[i].Val()), &o); err != nil {
			continue
		}
		released := slices.ContainsFunc(k.s.released, func(p parked) bool { return p.Sequence == k.p.Sequence })
		if o.Outcome == projection.Parked && !released && k.s.err == nil {
			waiting = append(waiting, k)
		}
	}
	return waiting, nil
}

func (b *batch) corroborate(ctx context.Context, pipe redis.Pipeliner, k knownParked) {
	status := string(k.s.state.Status)
	b.overwrite(ctx, pipe, k.p, redisquote.Outcome{
		Outcome: projection.Corroborated, Reason: projection.ReasonHadWaited, Account: k.s.account, Quote: k.s.quote, Before: status, After: status,
	})
	b.touches.add(k.s.target, k.p.Type, k.p.Object, k.p.EventID, k.p.Sequence)
}

// overwrite replaces the outcome "parked" of a change that has been decided since.
func (b *batch) overwrite(ctx context.Context, pipe redis.Pipeliner, p parked, o redisquote.Outcome) {
	o.EventID, o.Type, o.At, o.Handler = p.EventID, p.Type, b.began.UTC(), b.w.cfg.Version
	pipe.HSet(ctx, b.keys.Outcomes(event.StreamStripe, p.Sequence), strconv.FormatUint(p.Sequence, 10), encodeOutcome(b.carried(event.StreamStripe, p.Sequence, o)))
}

// place is a message's place in the log.
type place struct {
	stream   string
	sequence uint64
}

// carryOutcomes reads what the generation in use says about the messages of a batch that is folded into another one: when
// they were decided, and by which handler, is history that no fold can tell anew.
func (b *batch) carryOutcomes(ctx context.Context) error {
	if b.build == nil {
		return nil
	}
	sequences := map[string][]uint64{}
	for _, it := range b.items {
		sequences[it.record.Stream] = append(sequences[it.record.Stream], it.record.Sequence)
	}
	waited := slices.Clone(b.ignored)
	for _, s := range b.order {
		waited = append(append(waited, s.released...), s.knew...)
	}
	for _, p := range waited {
		sequences[event.StreamStripe] = append(sequences[event.StreamStripe], p.Sequence)
	}
	b.old = map[place]redisquote.Outcome{}
	reader := redisquote.NewReader(b.w.redis, b.build.from)
	for stream, list := range sequences {
		found, err := reader.Outcomes(ctx, stream, list)
		if err != nil {
			return err
		}
		for sequence, o := range found {
			b.old[place{stream, sequence}] = o
		}
	}
	return nil
}

// carried is the outcome as the generation in use has it, if that says the same.
func (b *batch) carried(stream string, sequence uint64, o redisquote.Outcome) redisquote.Outcome {
	old, known := b.old[place{stream, sequence}]
	folded := projection.Outcome{Kind: old.Outcome}.Folded() && projection.Outcome{Kind: o.Outcome}.Folded()
	if known && (folded || old.Outcome == o.Outcome) {
		return old
	}
	return o
}

func encodeOutcome(o redisquote.Outcome) []byte {
	if encoded, ok := o.AppendJSON(nil); ok {
		return encoded
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		return []byte(`{"outcome":"` + o.Outcome + `"}`) // strings and times always encode; this keeps the count true
	}
	return encoded
}

// isNil reports whether a pipeline failed at most because some of what it read does not exist.
func isNil(err error) bool { return err == nil || errors.Is(err, redis.Nil) }

// index moves the touched quotes to the indexes of their deal and of the status that the seller sees. Two workers may
// cross here and leave a quote under two statuses; readers compare with the quote.
func (b *batch) index(ctx context.Context) error {
	if len(b.touched) == 0 {
		return nil
	}
	pipe := b.w.redis.Pipeline()
	touched := slices.Sorted(maps.Keys(b.touched)) // so that runs are reproducible
	records := make([]*redis.MapStringStringCmd, len(touched))
	for i, id := range touched {
		records[i] = pipe.HGetAll(ctx, b.keys.Quote(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read quotes: %w", err)
	}
	var moves []*move
	pipe = b.w.redis.Pipeline()
	for i, id := range touched {
		record := records[i]
		q, err := redisquote.DecodeQuote(record.Val())
		if err != nil || q.Drafted.QuoteID == "" {
			continue // not drafted here, or not yet: its own event will index it
		}
		m := &move{id: id, quote: q, seller: q.Drafted.Seller, status: record.Val()[redisquote.FieldIndexed], deal: record.Val()[redisquote.FieldDeal]}
		m.created, _ = strconv.ParseFloat(record.Val()[redisquote.FieldCreated], 64)
		for _, account := range q.Accounts() {
			m.payments = append(m.payments, pipe.HGet(ctx, b.keys.Pay(account, id), redisquote.FieldStatus))
		}
		moves = append(moves, m)
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); err != nil && !isNil(err) {
			return fmt.Errorf("read payment statuses: %w", err)
		}
	}
	return b.carryOut(ctx, moves)
}

// move is one quote's way between indexes.
type move struct {
	id           string
	quote        redisquote.Quote
	seller       string
	created      float64
	status, deal string // under which it stands
	payments     []*redis.StringCmd
}

func (b *batch) carryOut(ctx context.Context, moves []*move) error {
	pipe := b.w.redis.Pipeline()
	for _, m := range moves {
		id, aggregate := m.id, m.quote.Aggregate()
		statuses := make([]quote.Status, 0, len(m.payments))
		for _, p := range m.payments {
			statuses = append(statuses, quote.Status(p.Val()))
		}
		status := quote.Overall(aggregate.StateAt(b.began), statuses...)
		m.reindex(ctx, pipe, b.keys.Quote(id), redisquote.FieldIndexed, m.status, status, func(v string) string { return b.keys.IndexStatus(m.seller, v) }, id)
		deal := m.quote.Drafted.Document.Deal.ID
		m.reindex(ctx, pipe, b.keys.Quote(id), redisquote.FieldDeal, m.deal, deal, func(v string) string { return b.keys.IndexDeal(m.seller, v) }, id)
	}
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("index quotes: %w", err)
	}
	return nil
}

// reindex moves a quote from the index of one value to that of another, and notes where it stands. An empty value has no
// index.
func (m *move) reindex(ctx context.Context, pipe redis.Pipeliner, record, field, from, to string, index func(string) string, id string) {
	if from == to {
		return
	}
	if from != "" {
		pipe.ZRem(ctx, index(from), id)
	}
	if to != "" {
		pipe.ZAdd(ctx, index(to), redis.Z{Score: m.created, Member: id})
	}
	pipe.HSet(ctx, record, field, to)
}

// report counts and logs what became of the batch.
func (b *batch) report() {
	if b.build != nil {
		return // nothing became of anything: it was written beside what is in use
	}
	now := b.w.cfg.Now()
	took := now.Sub(b.began)
	b.w.metrics.batch.Observe(float64(len(b.items)))
	for _, it := range b.items {
		if it.err != nil {
			b.w.metrics.messages.WithLabelValues(it.record.Stream, "delayed").Inc()
			continue
		}
		b.w.metrics.messages.WithLabelValues(it.record.Stream, it.out.Outcome).Inc()
		if it.out.Outcome == projection.Applied && !it.change.Created.IsZero() {
			b.w.metrics.settled.Observe(now.Sub(it.change.Created).Seconds())
		}
		b.w.logged(it, took)
	}
}
