// Package seller decides what a seller may do about Stripe: his plan, who of his
// people has a paid seat, and which Stripe account he is paid on.
//
// It folds the seller's own events, and what Stripe says of his account, and
// decides on new ones; it stores nothing and knows no Stripe. Package event gives
// the events their envelopes; the quotes service is the one that calls it.
package seller

import (
	"maps"
	"slices"
	"time"

	"quittance.internal/libs/domain/quote"
)

// DefaultPlan is the plan of a seller of whom no event tells one.
const DefaultPlan = "enterprise"

// Plans are those that a seller may have; the policy says which of them are
// entitled to Stripe payment.
var Plans = []string{"free", "starter", "professional", "enterprise"}

// Codes of refused commands.
const (
	CodeUnknownPlan  = "unknown_plan"
	CodeNoSeat       = "no_paid_seat"     // R7
	CodeNotActivated = "account_inactive" // R6
	CodeWrongMode    = "account_mode"     // one deployment is in one mode
	CodeReturned     = "state_used"       // R10: an authorization counts once
)

// Aggregate is one seller folded from his own events and from the facts of
// Stripe accounts, in the order of the log. The zero value is a seller without
// events, who is on DefaultPlan, all of whose people have a seat, and who is paid
// on the deployment's own account.
type Aggregate struct {
	// Sequence is that of the last event of the seller's own, which a command
	// expects; Version counts them and gives the next one its n.
	Sequence uint64
	Version  int
	plan     string
	seats    map[string]bool
	link     *Connected // the last one; nil: none was ever connected
	ended    bool       // by the seller himself, since then
	health   map[string]health
	returned map[string]bool
}

// health is what Stripe said last of an account.
type health struct {
	inactive, deauthorized bool
	at                     time.Time // of the newest word on inactive
}

// PlanSet folds a plan.
func (a *Aggregate) PlanSet(e PlanSet) { a.plan = e.Plan }

// SeatSet folds a seat.
func (a *Aggregate) SeatSet(e SeatSet) {
	if a.seats == nil {
		a.seats = map[string]bool{}
	}
	a.seats[e.User] = e.Paid
}

// Authorized folds the use of an authorization.
func (a *Aggregate) Authorized(e Authorized) {
	if a.returned == nil {
		a.returned = map[string]bool{}
	}
	a.returned[e.State] = true
}

// Connected folds a connection, which replaces an earlier one. Stripe was asked
// for it: what was known of the account before is overruled.
func (a *Aggregate) Connected(e Connected) {
	a.link, a.ended = &e, false
	a.setHealth(e.Account, health{at: e.At.Truncate(time.Second)})
}

// Deauthorized folds the end of a connection by the seller himself.
func (a *Aggregate) Deauthorized(e Deauthorized) {
	if a.link != nil && a.link.Account == e.Account {
		h := a.health[e.Account]
		h.deauthorized = true
		a.setHealth(e.Account, h)
		a.ended = true
	}
}

// AccountUpdated folds what Stripe says of an account. The newest word counts,
// and of two of the same second the worse one, so that the order of arrival does
// not matter. Stripe's times are whole seconds.
func (a *Aggregate) AccountUpdated(e AccountUpdated) {
	h := a.health[e.Account]
	switch {
	case e.At.Before(h.at):
		return
	case e.At.Equal(h.at):
		h.inactive = h.inactive || !e.Activated
	default:
		h.inactive, h.at = !e.Activated, e.At
	}
	a.setHealth(e.Account, h)
}

// AccountDeauthorized folds that an account withdrew its authorization, unless
// that was before it was connected anew.
func (a *Aggregate) AccountDeauthorized(e AccountDeauthorized) {
	if a.link == nil || a.link.Account != e.Account || e.At.Before(a.link.At.Truncate(time.Second)) {
		return
	}
	h := a.health[e.Account]
	h.deauthorized = true
	a.setHealth(e.Account, h)
}

func (a *Aggregate) setHealth(account string, h health) {
	if a.health == nil {
		a.health = map[string]health{}
	}
	a.health[account] = h
}

// Connection is the Stripe account that the seller connected last, as it is now;
// nil when he never did.
func (a *Aggregate) Connection() *Connection {
	if a.link == nil {
		return nil
	}
	h := a.health[a.link.Account]
	return &Connection{
		Account: a.link.Account, Mode: a.link.Mode, Activated: !h.inactive, Deauthorized: h.deauthorized,
		ConnectedAt: a.link.At, ConnectedBy: a.link.By,
	}
}

// Plan is the seller's plan.
func (a *Aggregate) Plan() string {
	if a.plan == "" {
		return DefaultPlan
	}
	return a.plan
}

// Seat reports whether a user has a paid sales seat. Before the first seat was
// given out everybody has one.
func (a *Aggregate) Seat(user string) bool { return len(a.seats) == 0 || a.seats[user] }

// Seats are the users of whom it was said whether they have a paid seat, by name.
func (a *Aggregate) Seats() []Seat {
	list := make([]Seat, 0, len(a.seats))
	for _, user := range slices.Sorted(maps.Keys(a.seats)) {
		list = append(list, Seat{User: user, Paid: a.seats[user]})
	}
	return list
}

// Account is the Stripe account whose facts bear on the seller: the one that he
// connected last, else the deployment's own.
func (a *Aggregate) Account(own string) string {
	if a.link == nil {
		return own
	}
	return a.link.Account
}

// Payee is the seller as the policy judges him; own is the deployment's account,
// which pays whoever has never connected one of his own.
func (a *Aggregate) Payee(own string) quote.Payee {
	account := a.Account(own)
	h := a.health[account]
	return quote.Payee{Plan: a.Plan(), Account: account, Activated: !h.inactive, Deauthorized: h.deauthorized}
}
