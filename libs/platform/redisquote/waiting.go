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

// ParkedMessages returns everything that waits for a link, the oldest first.
func (r *Reader) ParkedMessages(ctx context.Context) ([]Parked, error) {
	waiting := map[uint64]*Parked{}
	err := r.eachWaiting(ctx, r.source.Keys().IndexParked(), func(member string, since time.Time) {
		account, object, sequence, ok := ParseParkedMember(member)
		if !ok || sequence == 0 { // sequence 0 marks a renewal
			return
		}
		p := waiting[sequence]
		if p == nil {
			p = &Parked{Account: account, Sequence: sequence, Since: since}
			waiting[sequence] = p
		}
		if !slices.Contains(p.Objects, object) {
			p.Objects = append(p.Objects, object)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list parked messages: %w", err)
	}
	all := make([]Parked, 0, len(waiting))
	sequences := make([]uint64, 0, len(waiting))
	for seq := range waiting {
		sequences = append(sequences, seq)
	}
	slices.Sort(sequences)
	for part := range slices.Chunk(sequences, waitingPage) {
		// The index keeps an entry until it is swept: what has been linked since is told by its outcome.
		outcomes, err := r.Outcomes(ctx, event.StreamStripe, part)
		if err != nil {
			return nil, err
		}
		for _, seq := range part {
			if o, ok := outcomes[seq]; ok && o.Outcome == projection.Parked {
				p := waiting[seq]
				p.EventID, p.Type = o.EventID, o.Type
				slices.Sort(p.Objects)
				all = append(all, *p)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Parked) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Sequence, b.Sequence)) })
	return all, nil
}

// UnknownQuotes returns all payment facts without a published revision, the oldest first.
func (r *Reader) UnknownQuotes(ctx context.Context) ([]Unknown, error) {
	all := []Unknown{}
	err := r.eachWaiting(ctx, r.source.Keys().IndexUnknown(), func(member string, since time.Time) {
		account, quote, _ := strings.Cut(member, "|")
		all = append(all, Unknown{account, quote, since})
	})
	if err != nil {
		return nil, fmt.Errorf("list payments of unknown quotes: %w", err)
	}
	return all, nil
}

// eachWaiting reads an index by score. What moves meanwhile may come twice or, when entries before it are removed, be left
// out: an index is read by people and alarms, decisions are made by what the fold says.
func (r *Reader) eachWaiting(ctx context.Context, key string, f func(member string, since time.Time)) error {
	for from := int64(0); ; from += waitingPage {
		page, err := r.client.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: key, Start: from, Stop: from + waitingPage - 1}).Result()
		if err != nil {
			return err
		}
		for _, z := range page {
			if member, ok := z.Member.(string); ok {
				f(member, time.UnixMilli(int64(z.Score)).UTC())
			}
		}
		if len(page) < waitingPage {
			return nil
		}
	}
}
