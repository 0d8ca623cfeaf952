package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// tries bounds how often a call to Stripe is made again: with the waits below, for half a minute.
const tries = 8

// waits are those between two tries, unless Stripe names another.
var waits = delivery.Curve{Cap: 30 * time.Second}

// call makes a call to Stripe, no sooner than the pace allows, and again while Stripe is away or limits the rate.
func call[T any](ctx context.Context, r *Reconciler, f func() (T, error)) (T, error) {
	var zero T
	for try := uint64(1); ; try++ {
		if err := sleep(ctx, r.cfg.Pause-r.cfg.Now().Sub(r.called)); err != nil {
			return zero, err
		}
		r.called = r.cfg.Now()
		v, err := f()
		if err == nil || !errors.Is(err, stripegate.ErrUnavailable) || try == tries || stripegate.Unauthorized(err) {
			return v, err
		}
		if wait := sleep(ctx, max(waits.After(try), stripegate.RetryAfter(err))); wait != nil {
			return zero, errors.Join(err, wait)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// typesOf are the types that an account's events are asked for by, in as many calls as it takes.
func typesOf() [][]string {
	all := append(stripeevent.PaymentTypes(), stripeevent.AccountTypes()...)
	slices.Sort(all)
	return slices.Collect(slices.Chunk(all, stripegate.MaxEventTypes))
}

// list gives every event that Stripe lists of an account since a time to take.
func (c *comparison) list(ctx context.Context, account string, take func(body []byte) error) (int, error) {
	listed := 0
	for _, types := range typesOf() {
		q := stripegate.EventQuery{Account: account, Types: types, Since: c.listedFrom}
		for more := true; more; {
			page, err := call(ctx, c.Reconciler, func() (stripegate.EventPage, error) { return c.cfg.Stripe.Events(ctx, q) })
			if err != nil {
				return listed, err
			}
			for _, body := range page.Events {
				if err := take(body); err != nil {
					return listed, err
				}
			}
			before := listed
			listed += len(page.Events)
			if listed/1000 > before/1000 {
				c.o.progress(fmt.Sprintf("%s: %d events listed at Stripe", account, listed))
			}
			more, q.After = page.More, page.Last
		}
	}
	return listed, nil
}

// accounts are the deployment's own and all that were ever connected in this mode: a payment may still come after the end
// of a connection.
func (c *comparison) accounts(ctx context.Context) ([]string, error) {
	if c.o.Account != "" {
		return []string{c.o.Account}, nil
	}
	connected, err := Connected(ctx, c.cfg.Log, c.cfg.Mode)
	return append([]string{event.Platform}, connected...), err
}

// Connected lists the Stripe accounts that were ever connected in a mode.
func Connected(ctx context.Context, log *natsstream.Log, mode string) (accounts []string, err error) {
	err = scan(ctx, log, event.StreamSellers, 1, func(m natsstream.Record) error {
		if !strings.HasPrefix(m.Subject, "seller."+event.NameConnected+".") {
			return nil
		}
		var connected seller.Connected
		env, err := event.DecodeSeller(m.Data)
		if err == nil {
			err = json.Unmarshal(env.Data, &connected)
		}
		if err != nil {
			return fmt.Errorf("read %s %d: %w", event.StreamSellers, m.Sequence, err)
		}
		if connected.Mode == mode && !slices.Contains(accounts, connected.Account) {
			accounts = append(accounts, connected.Account)
		}
		return nil
	})
	return accounts, err
}

// scanPage is how many messages are read at one time.
const scanPage = 500

// scan gives every message of a stream from a sequence on to take.
func (c *comparison) scan(ctx context.Context, stream string, from uint64, take func(natsstream.Record) error) error {
	return scan(ctx, c.cfg.Log, stream, from, take)
}

func scan(ctx context.Context, log *natsstream.Log, stream string, from uint64, take func(natsstream.Record) error) error {
	for {
		records, err := log.Scan(ctx, stream, from, scanPage)
		if err != nil {
			return err
		}
		for _, m := range records {
			if err := take(m); err != nil {
				return err
			}
			from = m.Sequence + 1
		}
		if len(records) < scanPage {
			return nil
		}
	}
}

// scanSince is scan from a time on.
func (c *comparison) scanSince(ctx context.Context, stream string, since time.Time, take func(natsstream.Record) error) error {
	from, err := c.cfg.Log.SequenceAt(ctx, stream, since)
	if errors.Is(err, natsstream.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.scan(ctx, stream, from, take)
}
