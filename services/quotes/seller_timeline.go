package quotes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

// moment is one entry of a quote's timeline.
type moment struct {
	When, Machine string // for people, in the owner's zone; RFC 3339 in UTC
	What          string
	// More says how much, or which; may be empty.
	More, Tone string
}

// timeline writes a quote's events down, the newest first, as the log tells them.
// Times are those of the events: when it was paid, not when it was processed.
// Drafts in a row are one entry. An event of a newer version is shown by its name.
func (v view) timeline(records []natsstream.Record, zone *time.Location) ([]moment, error) {
	type told struct {
		at time.Time
		m  moment
	}
	var all []told
	drafts := 0
	for _, r := range records {
		env, err := event.Decode(r.Data)
		if err != nil {
			return nil, fmt.Errorf("timeline: %w", err)
		}
		m, err := v.moment(env)
		if err != nil {
			return nil, fmt.Errorf("timeline: %w", err)
		}
		if m.What == "" {
			continue
		}
		m.When, m.Machine = v.Moment(env.Time.In(zone)), env.Time.UTC().Format(time.RFC3339)
		if drafts++; env.Event() != event.NameDrafted {
			drafts = 0
		}
		if drafts > 1 {
			all = all[:len(all)-1]
			m.More += ", " + v.T("saved %d times", int64(drafts))
		}
		all = append(all, told{env.Time, m})
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b told) int { return b.at.Compare(a.at) })
	moments := make([]moment, 0, len(all))
	for _, t := range all {
		moments = append(moments, t.m)
	}
	return moments, nil
}

// moment says what an event means to a seller; What is empty for one that says
// nothing to people.
func (v view) moment(env event.Envelope) (moment, error) {
	switch env.Event() {
	case event.NameDrafted:
		d, err := event.Data[event.Drafted](env)
		return moment{What: v.T("Draft saved"), More: v.T("version %d", d.Version)}, err
	case event.NamePublished:
		p, err := event.Data[event.Published](env)
		return moment{What: v.T("Published"), More: v.T("revision %d", p.Revision) + ", " + money(p.Amount, p.Currency), Tone: "accent"}, err
	case event.NameRecalled:
		r, err := event.Data[event.Recalled](env)
		return moment{What: v.T("Recalled"), More: v.T("revision %d", r.Revision), Tone: "warn"}, err
	case event.NameExpired:
		e, err := event.Data[event.Expired](env)
		return moment{What: v.T("Expired"), More: v.T("revision %d", e.Revision), Tone: "warn"}, err
	case event.NameExpiring:
		e, err := event.Data[event.Expiring](env)
		return moment{What: v.T("Expires soon, and is not paid"), More: v.T("revision %d", e.Revision)}, err
	case event.NameCheckoutRequested:
		return moment{}, nil
	case event.NameCheckoutOpened:
		return moment{What: v.T("Checkout opened by the customer")}, nil
	case event.NamePaid:
		p, err := event.Data[event.Paid](env)
		return moment{What: v.T("Paid"), More: money(p.Amount, p.Currency), Tone: "good"}, err
	default:
		return v.paymentMoment(env)
	}
}

// paymentMoment is the moment of the facts beside quote.paid.
func (v view) paymentMoment(env event.Envelope) (moment, error) {
	f, err := event.Data[event.PaymentFact](env)
	if err != nil {
		return moment{}, err
	}
	m := moment{More: money(f.Amount, f.Currency)}
	switch env.Event() {
	case event.NamePaymentProcessing:
		m.What, m.Tone = v.T("Payment processing"), "accent"
	case event.NamePaymentFailed:
		m.What, m.Tone = v.T("An attempt to pay failed"), "warn"
	case event.NameRefunded:
		m.What = v.T("Partly refunded")
		if f.Full {
			m.What = v.T("Refunded")
		}
	case event.NameDisputed:
		m.What, m.Tone = v.T("Payment disputed"), "bad"
	case event.NameDuplicatePayment:
		m.What, m.Tone = v.T("Paid a second time"), "warn"
	default:
		m = moment{What: env.Type}
	}
	return m, nil
}

// money is an amount that no line is broken in.
func money(amount int64, currency string) string {
	return strings.ReplaceAll(quote.Money{Amount: amount, Currency: currency}.String(), " ", "\u00a0")
}
