package payments

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/redisquote"
)

// touches are which Stripe messages of a batch bore on which quotes; see redisquote.Keys.PayEvents. The zero value is ready.
type touches struct {
	quotes []*touched // in the order of first appearance, so that runs are reproducible
	of     map[target]*touched
}

// touched is one quote's part: a field and its value for each event, and the field and value of what is the first event of its
// type and object unless an earlier one is on record.
type touched struct {
	target

	events []any
	firsts []string
}

func (ts *touches) add(t target, kind, object, eventID string, sequence uint64) {
	q := ts.of[t]
	if q == nil {
		if ts.of == nil {
			ts.of = map[target]*touched{}
		}
		q = &touched{target: t}
		ts.of[t], ts.quotes = q, append(ts.quotes, q)
	}
	first, value := touchField(kind, object), touchValue(sequence, eventID)
	q.firsts = append(q.firsts, first, value)
	q.events = append(q.events, first+"|"+eventID, value)
}

// write writes the events' own fields together: each has one value, whoever writes it.
func (ts *touches) write(ctx context.Context, pipe redis.Pipeliner, keys redisquote.Keys) {
	for _, q := range ts.quotes {
		key := keys.PayEvents(q.account, q.quote)
		for i := 0; i < len(q.firsts); i += 2 {
			pipe.HSetNX(ctx, key, q.firsts[i], q.firsts[i+1])
		}
		pipe.HSet(ctx, key, q.events...)
	}
}

func touchField(kind, object string) string { return kind + "|" + object }

func touchValue(sequence uint64, eventID string) string {
	return strconv.FormatUint(sequence, 10) + " " + eventID
}
