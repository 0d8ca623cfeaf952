package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/redisquote"
)

// decode reads the Stripe events of the batch.
func (b *batch) decode() {
	rules := b.w.rules()
	for _, it := range b.items {
		if it.record.Stream != event.StreamStripe {
			continue
		}
		e := rules.ReadStripe(it.record.Subject, it.record.Data)
		it.change, it.owner = e.Change, e.Account
		it.read(e.Outcome)
		if k, ours := e.Key(); ours {
			it.targets = []target{{k.Account, k.Quote}}
		}
		if e.About != nil {
			it.readAccount(e)
		}
	}
}

// parked is a change that waits under the objects it names.
type parked struct {
	redisquote.ParkedChange

	account string // of the link it was read from
}

// route finds the quotes of the changes that carry no metadata of ours: each writes itself under every object it names
// and then reads what stands there. The linking side does the same the other way round (link.go), so whoever comes
// second sees the other, without a script over both.
func (b *batch) route(ctx context.Context) error {
	type asked struct {
		it   *item
		name string
		cmd  *redis.MapStringStringCmd
	}
	var asks []asked
	pipe := b.w.redis.Pipeline()
	for _, it := range b.items {
		if it.record.Stream != event.StreamStripe || !it.open() || len(it.targets) > 0 {
			continue
		}
		waiting, err := redisquote.NewParkedChange(projection.StripeEvent{Change: it.change}, it.record.Sequence, it.record.Time).Encode()
		if err != nil {
			it.decide(projection.Dead, err.Error())
			continue
		}
		for _, name := range it.change.Names {
			key := b.keys.Link(it.owner, name)
			pipe.HSet(ctx, key, parkedField(it.record.Sequence), waiting)
			asks = append(asks, asked{it, name, pipe.HGetAll(ctx, key)})
		}
	}
	if len(asks) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("park changes: %w", err)
	}
	renewals := map[*item]bool{}
	for _, a := range asks {
		for _, field := range slices.Sorted(maps.Keys(a.cmd.Val())) { // so that runs are reproducible
			if q, ok := strings.CutPrefix(field, redisquote.LinkQuote); ok && q != "" {
				a.it.addTarget(target{a.it.owner, q})
			}
			renewals[a.it] = renewals[a.it] || field == redisquote.LinkRenewal
		}
	}
	return b.settleUnlinked(ctx, renewals)
}

// settleUnlinked decides the changes that route found no quote for: they belong to a renewal, or they wait.
func (b *batch) settleUnlinked(ctx context.Context, renewals map[*item]bool) error {
	var waiting []redis.Z
	var names []objectOf
	for _, it := range b.items {
		if it.record.Stream != event.StreamStripe || !it.open() || len(it.targets) > 0 {
			continue
		}
		if renewals[it] {
			it.decide(projection.Ignored, projection.ReasonRenewal)
			for _, name := range it.change.Names {
				names = append(names, objectOf{it.owner, name})
			}
			continue
		}
		it.decide(projection.Parked, projection.ReasonWaits)
		for _, name := range it.change.Names {
			waiting = append(waiting, redis.Z{
				Score:  float64(it.record.Time.UnixMilli()),
				Member: redisquote.ParkedMember(it.owner, name, it.record.Sequence),
			})
		}
	}
	if len(waiting) > 0 {
		if err := b.w.redis.ZAddNX(ctx, b.keys.IndexParked(), waiting...).Err(); err != nil {
			return fmt.Errorf("index parked changes: %w", err)
		}
	}
	return b.markRenewals(ctx, names)
}

func (it *item) addTarget(t target) {
	for _, have := range it.targets {
		if have == t {
			return
		}
	}
	it.targets = append(it.targets, t)
}
