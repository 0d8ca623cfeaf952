package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// sessionLife is the longest that a session of ours is open: one that was opened before the time that is compared may have
// ended within it.
const sessionLife = 24 * time.Hour

// opened is a session of ours that is to be looked up.
type opened struct {
	quote.CheckoutOpened
	facts quote.Facts
}

// sessions compares our own Checkout Sessions with the facts of their quotes: those that the list of events reaches where no
// fact says how they ended, and all that are older.
func (c *comparison) sessions(ctx context.Context) error {
	c.o.progress("looking for checkouts without an end")
	var ask []opened
	err := c.scanSince(ctx, event.StreamQuotes, c.o.Since.Add(-sessionLife-clockMargin), func(m natsstream.Record) error {
		if !strings.HasPrefix(m.Subject, "quote."+event.NameCheckoutOpened+".") {
			return nil
		}
		var o opened
		env, err := event.Decode(m.Data)
		if err == nil {
			err = json.Unmarshal(env.Data, &o.CheckoutOpened)
		}
		if err != nil {
			return fmt.Errorf("read %s %d: %w", event.StreamQuotes, m.Sequence, err)
		}
		if want, err := c.wants(ctx, &o); err != nil || !want {
			return err
		}
		ask = append(ask, o)
		return nil
	})
	if err != nil {
		return err
	}
	for i, o := range ask {
		if i%100 == 0 {
			c.o.progress(fmt.Sprintf("%d of %d checkouts looked up", i, len(ask)))
		}
		if err := c.lookUp(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// wants decides whether a session is worth a call to Stripe, and reads the facts of its quote.
func (c *comparison) wants(ctx context.Context, o *opened) (bool, error) {
	old := o.OpenedAt.Before(c.now.Add(-stripegate.EventsKept))
	settled := c.now.Add(-c.cfg.Grace)
	switch {
	case o.Mode != c.cfg.Mode, c.o.Account != "" && c.o.Account != o.Account, c.told[o.CheckoutSession], c.lacked[o.CheckoutSession], c.gone(o.Account):
		return false, nil
	case o.OpenedAt.After(settled), c.o.EndedOnly && o.ExpiresAt.After(settled), o.ExpiresAt.Before(c.o.Since):
		return false, nil
	}
	var err error
	if o.facts, err = c.facts(ctx, o.Account, o.QuoteID); err != nil {
		return false, err
	}
	return old || !ended(o.facts, o.CheckoutSession), nil
}

// gone reports whether an account gives no access any more.
func (c *comparison) gone(account string) bool {
	return slices.ContainsFunc(c.report.Accounts, func(a Account) bool { return a.ID == account && a.Note != "" })
}

// ended reports whether the facts say how a session ended. One whose money is still on its way has: Stripe makes an event of
// what becomes of it.
func ended(f quote.Facts, session string) bool {
	return slices.ContainsFunc(f.Sessions, func(s quote.SessionFact) bool {
		return s.ID == session && (s.Complete != 0 || s.Expired != 0 || s.Failed != 0 || len(s.Settled) > 0)
	})
}

// lookUp asks Stripe what became of a session and adds a row where that is more than the facts say.
func (c *comparison) lookUp(ctx context.Context, o opened) error {
	c.report.Sessions++
	row := Row{Class: Beyond, Account: o.Account, Object: o.CheckoutSession, Quote: o.QuoteID, Created: o.OpenedAt}
	body, err := c.object(ctx, o.Account, o.CheckoutSession)
	switch {
	case stripegate.Missing(err):
		row.Class, row.Detail, row.Next = Here, "we opened this checkout, and Stripe does not know it", "quotectl explain "+o.QuoteID
		c.report.Rows = append(c.report.Rows, row)
		return nil
	case detached(err):
		return nil // noted with the account
	case err != nil:
		return err
	}
	made, err := c.retell(ctx, o.Account, body)
	if err != nil || len(made) == 0 {
		return err
	}
	before := quote.Derive(o.Account, o.facts)
	facts := o.facts.Clone()
	for _, e := range made {
		change, err := stripeevent.Decode(e.body)
		if err != nil {
			row.Next = "quotectl explain " + o.QuoteID
			row.Detail = fmt.Sprintf("Stripe's %s cannot be read: %v", e.object, err)
			c.report.Rows = append(c.report.Rows, row)
			return nil
		}
		if change.Claim != (stripeevent.Claim{}) && change.Claim.Quote != o.QuoteID {
			continue // its metadata were edited at Stripe: it says nothing of our quote
		}
		facts.Merge(change.Facts)
		row.add(e)
	}
	after := quote.Derive(o.Account, facts)
	if same(before, after) && ended(o.facts, o.CheckoutSession) == ended(facts, o.CheckoutSession) {
		return nil
	}
	row.Detail, row.Next = told(before)+" → "+told(after), c.repairCommand()
	c.report.Rows = append(c.report.Rows, row)
	return nil
}

// same reports whether two states say the same to people.
func same(a, b quote.State) bool {
	return a.Status == b.Status && a.Refunded == b.Refunded && slices.Equal(a.Flags, b.Flags)
}

func told(s quote.State) string {
	text := string(s.Status)
	for _, f := range s.Flags {
		text += " +" + string(f)
	}
	return text
}

// add puts a synthetic event into a row.
func (r *Row) add(e retold) {
	r.bodies = append(r.bodies, e.body)
	r.Event = strings.TrimPrefix(r.Event+","+e.id, ",")
	r.Type = strings.TrimPrefix(r.Type+","+e.typ, ",")
}

// object reads an object at Stripe.
func (c *comparison) object(ctx context.Context, account, id string) ([]byte, error) {
	return call(ctx, c.Reconciler, func() ([]byte, error) { return c.cfg.Stripe.Object(ctx, account, id) })
}

func detached(err error) bool {
	refused, ok := errors.AsType[*stripegate.RefusedError](err)
	return ok && refused.AccountDetached
}

// parked looks up, at Stripe, what ties the changes to a quote that have waited long for that: none of their own events has
// told it.
func (c *comparison) parked(ctx context.Context) error {
	if !c.o.ParkedUntil.After(c.o.ParkedFrom) {
		return nil
	}
	waiting, err := c.cfg.Reader.ParkedMessages(ctx)
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	for _, w := range waiting {
		if w.Since.Before(c.o.ParkedFrom) || !w.Since.Before(c.o.ParkedUntil) {
			continue
		}
		for _, object := range w.Objects {
			if at := w.Account + " " + object; !asked[at] && !c.lacked[object] && stripegate.Readable(object) {
				asked[at] = true
				if err := c.tie(ctx, w.Account, object, w.Since); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tie looks for the session of ours that an object came out of.
func (c *comparison) tie(ctx context.Context, account, id string, since time.Time) error {
	sessions, err := c.sessionsOf(ctx, account, id, 3)
	if stripegate.Missing(err) || detached(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, session := range sessions {
		made, err := c.retell(ctx, account, session)
		if err != nil {
			return err
		}
		row := Row{Class: Beyond, Account: account, Object: id, Created: since, Next: c.repairCommand()}
		for _, e := range made {
			if change, err := stripeevent.Decode(e.body); err == nil && change.Claim.Quote != "" {
				row.Quote = change.Claim.Quote
			}
			row.add(e)
		}
		if row.Quote != "" {
			row.Detail = "waits for a link, which Stripe's checkout session gives"
			c.report.Rows = append(c.report.Rows, row)
		}
	}
	return nil
}

// sessionsOf follows an object to the sessions it came out of, over at most so many steps: charge → intent → invoice →
// subscription.
func (c *comparison) sessionsOf(ctx context.Context, account, id string, steps int) ([]json.RawMessage, error) {
	sessions, err := call(ctx, c.Reconciler, func() ([]json.RawMessage, error) { return c.cfg.Stripe.SessionsOf(ctx, account, id) })
	if err != nil || len(sessions) > 0 || steps == 0 || strings.HasPrefix(id, "sub_") {
		return sessions, err
	}
	body, err := c.object(ctx, account, id)
	if err != nil {
		return nil, err
	}
	o := fieldsOf(body)
	for _, next := range []string{o.Subscription, o.Invoice, o.PaymentIntent} {
		if next != "" && next != id {
			return c.sessionsOf(ctx, account, next, steps-1)
		}
	}
	return nil, nil
}
