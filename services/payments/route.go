package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/redisquote"
)

// decode reads the Stripe events of the batch. What is of no interest is told by its subject, without decoding.
func (b *batch) decode() {
	for _, it := range b.items {
		if it.record.Stream != event.StreamStripe {
			continue
		}
		if err := isolate(func() { b.decodeOne(it) }); err != nil {
			it.decide(outcomeDead, err.Error())
		}
	}
}

func (b *batch) decodeOne(it *item) {
	subject, ok := event.ParseStripeSubject(it.record.Subject)
	if !ok {
		switch {
		case strings.HasPrefix(it.record.Subject, "stripe.conflict."):
			it.decide(outcomeRefused, "another event was stored under this id before; see ingress's log")
		default:
			it.decide(outcomeDead, "signed body without a usable id, type or account")
		}
		return
	}
	it.out.EventID, it.out.Type = subject.EventID, subject.Type
	if subject.Mode != b.w.cfg.Mode {
		it.decide(outcomeRefused, subject.Mode+"-mode event in a deployment of mode "+b.w.cfg.Mode) // R76
		return
	}
	if stripeevent.AboutAccount(subject.Type) {
		b.decodeAccount(it, subject)
		return
	}
	if !stripeevent.Wanted(subject.Type) {
		it.decide(outcomeIgnored, "type says nothing about a quote")
		return
	}
	change, err := stripeevent.Decode(it.record.Data)
	if refused, ok := errors.AsType[*stripeevent.RefusedError](err); ok {
		it.decide(outcomeRefused, refused.Error())
		return
	}
	if err != nil {
		it.decide(outcomeDead, err.Error())
		return
	}
	it.change, it.facts = change, change.Facts
	switch {
	case change.Claim != stripeevent.Claim{}:
		it.targets = []target{{subject.Account, change.Claim.Quote}}
		b.checkCurrency(it)
	case change.Ignored != "":
		it.decide(outcomeIgnored, change.Ignored)
	}
}

// checkCurrency sets an event of ours aside that is in a currency in which nothing can be paid (R52): no checkout of ours
// made it, and somebody has to look at the money. With another policy a replay takes it.
func (b *batch) checkCurrency(it *item) {
	if why, excluded := b.w.cfg.Policy.ExcludedCurrency(it.change.Currency); excluded {
		it.out.Account, it.out.Quote = it.targets[0].account, it.targets[0].quote
		it.decide(outcomeDead, "payment in a currency that cannot be paid by Stripe ("+why.Rule+"): "+why.Detail)
	}
}

// parked is a change that waits under the objects it names.
type parked struct {
	Sequence uint64          `json:"seq"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Object   string          `json:"object"`
	Facts    json.RawMessage `json:"facts"` // as Encode writes them
	Names    []string        `json:"names"`
	At       time.Time       `json:"at"`

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
		waiting, err := json.Marshal(parked{
			Sequence: it.record.Sequence, EventID: it.change.EventID, Type: it.change.Type, Object: it.change.Object,
			Facts: it.facts.Encode(), Names: it.change.Names, At: it.record.Time,
		})
		if err != nil {
			it.decide(outcomeDead, err.Error())
			continue
		}
		account := b.account(it)
		for _, name := range it.change.Names {
			key := b.w.keys.Link(account, name)
			pipe.HSet(ctx, key, fmt.Sprintf("%s%d", redisquote.LinkParked, it.record.Sequence), waiting)
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
		for field := range a.cmd.Val() {
			if q, ok := strings.CutPrefix(field, redisquote.LinkQuote); ok && q != "" {
				a.it.addTarget(target{b.account(a.it), q})
			}
			renewals[a.it] = renewals[a.it] || field == redisquote.LinkRenewal
		}
	}
	return b.settleUnlinked(ctx, renewals)
}

// settleUnlinked decides the changes that route found no quote for: they belong to a renewal, or they wait.
func (b *batch) settleUnlinked(ctx context.Context, renewals map[*item]bool) error {
	pipe := b.w.redis.Pipeline()
	var names []objectOf
	for _, it := range b.items {
		if it.record.Stream != event.StreamStripe || !it.open() || len(it.targets) > 0 {
			continue
		}
		account := b.account(it)
		if renewals[it] {
			it.decide(outcomeIgnored, reasonRenewal)
			for _, name := range it.change.Names {
				names = append(names, objectOf{account, name})
			}
			continue
		}
		it.decide(outcomeParked, "waits for what links it to a quote")
		for _, name := range it.change.Names {
			pipe.ZAddNX(ctx, b.w.keys.IndexParked(), redis.Z{
				Score:  float64(it.record.Time.UnixMilli()),
				Member: redisquote.ParkedMember(account, name, it.record.Sequence),
			})
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("index parked changes: %w", err)
		}
	}
	return b.markRenewals(ctx, names)
}

// account is the account of a Stripe event: the one in its subject, which ingress took from its signed body.
func (b *batch) account(it *item) string {
	subject, _ := event.ParseStripeSubject(it.record.Subject) // decodeOne has seen that it parses
	return subject.Account
}

func (it *item) addTarget(t target) {
	for _, have := range it.targets {
		if have == t {
			return
		}
	}
	it.targets = append(it.targets, t)
}
