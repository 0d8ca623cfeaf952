package redisquote

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
)

// waitingPage is how many entries of an index are read at a time.
const waitingPage = 1000

// Parked is a Stripe message that waits for an object that links it to a quote.
type Parked struct {
	Account  string `json:"account"`
	Sequence uint64 `json:"sequence"`
	// Objects are what it waits for: any of them, once it belongs to a quote.
	Objects []string `json:"objects"`
	// Since is when the message was stored.
	Since   time.Time `json:"since"`
	EventID string    `json:"event_id"`
	Type    string    `json:"type"`
}

// Unknown are payment facts of a quote that has no published revision on that account.
type Unknown struct {
	Account string    `json:"account"`
	Quote   string    `json:"quote"`
	Since   time.Time `json:"since"`
}

// ParkedMessages returns everything that waits for a link, the oldest first. It holds what still waits, and a page of the index,
// which keeps an entry for days after its message was linked.
func (r *Reader) ParkedMessages(ctx context.Context) ([]Parked, error) {
	waiting := map[uint64]*Parked{}
	err := r.eachWaiting(ctx, r.source.Keys().IndexParked(), func(page []entry) error { return r.stillParked(ctx, page, waiting) })
	if err != nil {
		return nil, fmt.Errorf("list parked messages: %w", err)
	}
	all := make([]Parked, 0, len(waiting))
	for _, p := range waiting {
		slices.Sort(p.Objects)
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Parked) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Sequence, b.Sequence)) })
	return all, nil
}

// stillParked adds those of a page that have not been linked since, by their outcomes, to what waits.
func (r *Reader) stillParked(ctx context.Context, page []entry, waiting map[uint64]*Parked) error {
	var parked []Parked
	var sequences []uint64
	for _, e := range page {
		if account, object, sequence, ok := ParseParkedMember(e.member); ok && sequence > 0 { // sequence 0 marks a renewal
			parked = append(parked, Parked{Account: account, Sequence: sequence, Objects: []string{object}, Since: e.since})
			sequences = append(sequences, sequence)
		}
	}
	slices.Sort(sequences)
	outcomes, err := r.Outcomes(ctx, event.StreamStripe, slices.Compact(sequences))
	if err != nil {
		return err
	}
	for _, p := range parked {
		o, ok := outcomes[p.Sequence]
		if !ok || o.Outcome != projection.Parked {
			continue
		}
		if known := waiting[p.Sequence]; known == nil {
			p.EventID, p.Type = o.EventID, o.Type
			waiting[p.Sequence] = &p
		} else if !slices.Contains(known.Objects, p.Objects[0]) {
			known.Objects = append(known.Objects, p.Objects[0])
		}
	}
	return nil
}

// UnknownQuotes returns all payment facts without a published revision, the oldest first.
func (r *Reader) UnknownQuotes(ctx context.Context) ([]Unknown, error) {
	all := []Unknown{}
	err := r.eachWaiting(ctx, r.source.Keys().IndexUnknown(), func(page []entry) error {
		for _, e := range page {
			account, quote, _ := strings.Cut(e.member, "|")
			all = append(all, Unknown{account, quote, e.since})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list payments of unknown quotes: %w", err)
	}
	return all, nil
}

// entry is one of an index.
type entry struct {
	member string
	since  time.Time
}

// eachWaiting reads an index by score. What moves meanwhile may come twice or, when entries before it are removed, be left
// out: an index is read by people and alarms, decisions are made by what the fold says.
func (r *Reader) eachWaiting(ctx context.Context, key string, f func([]entry) error) error {
	for from := int64(0); ; from += waitingPage {
		found, err := r.client.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: key, Start: from, Stop: from + waitingPage - 1}).Result()
		if err != nil {
			return err
		}
		page := make([]entry, 0, len(found))
		for _, z := range found {
			if member, ok := z.Member.(string); ok {
				page = append(page, entry{member, time.UnixMilli(int64(z.Score)).UTC()})
			}
		}
		if err := f(page); err != nil {
			return err
		}
		if len(found) < waitingPage {
			return nil
		}
	}
}
