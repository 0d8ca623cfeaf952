// Package seller decides what a seller may do about Stripe: his plan, who of his
// people has a paid seat, and which Stripe account he is paid on.
//
// It folds the seller's own events and decides on new ones; it stores nothing
// and knows no Stripe. Package event gives the events their envelopes; the quotes
// service is the one that calls it.
package seller

import (
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
)

// The data of a seller's events, as they are stored. They are wire formats:
// fields may be added, never changed or removed. By is the name of the token
// that gave the command, never a person's address.

// PlanSet says that the seller is on a plan from now on.
type PlanSet struct {
	Seller string    `json:"seller"`
	Plan   string    `json:"plan"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
}

// SeatSet says that a user has, or no longer has, a paid sales seat.
type SeatSet struct {
	Seller string    `json:"seller"`
	User   string    `json:"user"`
	Paid   bool      `json:"paid"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
}

// Connected says that a Stripe account authorized us: the seller's payments go
// to it from now on.
type Connected struct {
	Seller  string    `json:"seller"`
	Account string    `json:"account"` // acct_…
	Mode    string    `json:"mode"`    // test or live
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
}

// ActivationSet says that Stripe lets the account take payments, or no longer.
type ActivationSet struct {
	Seller    string    `json:"seller"`
	Account   string    `json:"account"`
	Activated bool      `json:"activated"` // Stripe's charges_enabled
	At        time.Time `json:"at"`
}

// Deauthorized says that the account withdrew its authorization.
type Deauthorized struct {
	Seller  string    `json:"seller"`
	Account string    `json:"account"`
	At      time.Time `json:"at"`
}

// Connection is the Stripe account that a seller connected.
type Connection struct {
	Account      string    `json:"account"`
	Mode         string    `json:"mode"`
	Activated    bool      `json:"activated"`
	Deauthorized bool      `json:"deauthorized"`
	ConnectedAt  time.Time `json:"connected_at"`
}

// Aggregate is one seller folded from its own events, in the order of the log.
// The zero value is a seller without events, who is on DefaultPlan, all of whose
// people have a seat, and who is paid on the deployment's own account.
type Aggregate struct {
	// Sequence is that of the last event folded; Version counts them and gives
	// the next one its n.
	Sequence   uint64
	Version    int
	plan       string
	seats      map[string]bool
	Connection *Connection // nil: none was ever connected
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

// Connected folds a connection, which replaces an earlier one.
func (a *Aggregate) Connected(e Connected) {
	a.Connection = &Connection{Account: e.Account, Mode: e.Mode, Activated: true, ConnectedAt: e.At}
}

// ActivationSet folds news of the connected account; of another one it says nothing.
func (a *Aggregate) ActivationSet(e ActivationSet) {
	if a.Connection != nil && a.Connection.Account == e.Account {
		a.Connection.Activated = e.Activated
	}
}

// Deauthorized folds the end of a connection.
func (a *Aggregate) Deauthorized(e Deauthorized) {
	if a.Connection != nil && a.Connection.Account == e.Account {
		a.Connection.Deauthorized = true
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

// Payee is the seller as the policy judges him; own is the deployment's account,
// which is activated and pays whoever has not connected one of his own.
func (a *Aggregate) Payee(own string) quote.Payee {
	if a.Connection == nil {
		return quote.Payee{Plan: a.Plan(), Account: own, Activated: true}
	}
	c := a.Connection
	return quote.Payee{Plan: a.Plan(), Account: c.Account, Activated: c.Activated, Deauthorized: c.Deauthorized}
}

// SetPlan decides on a plan; false when the seller is on it already. It returns
// a *quote.Refusal for a plan that does not exist.
func (a *Aggregate) SetPlan(e PlanSet) (PlanSet, bool, error) {
	if !slices.Contains(Plans, e.Plan) {
		return PlanSet{}, false, refuse(CodeUnknownPlan, "R3", "plan", "There is no such plan.")
	}
	return e, a.Plan() != e.Plan, nil
}

// Authorization is what came back from the authorization of a Stripe account.
type Authorization struct {
	User      string // who connects
	Account   string
	Mode      string // of the account
	Activated bool   // Stripe's charges_enabled
	// DeploymentMode and Policy are what the account is measured by.
	DeploymentMode string
	Policy         *quote.Policy
}

// MayConnect is nil when the user may start to connect a Stripe account, else a
// *quote.Refusal: of the plan (R3) or of a seat that is missing (R7).
func (a *Aggregate) MayConnect(user string, p *quote.Policy) error {
	var reasons []quote.Reason
	if !slices.Contains(p.Plans.Entitled, a.Plan()) {
		reasons = append(reasons, quote.Reason{Code: quote.CodePlan, Rule: "R3", Detail: "The plan " + a.Plan() + " does not include Stripe on quotes."})
	}
	if !a.Seat(user) {
		reasons = append(reasons, quote.Reason{Code: CodeNoSeat, Rule: "R7", Detail: "Only users with a paid sales seat may connect a Stripe account."})
	}
	if len(reasons) > 0 {
		return &quote.Refusal{Kind: quote.KindConflict, Reasons: reasons}
	}
	return nil
}

// Connect decides on a connection; false when this account is connected already.
// It returns a *quote.Refusal for whom MayConnect refuses, an account that cannot
// take payments (R6) or one of the other mode.
func (a *Aggregate) Connect(seller string, z Authorization, now time.Time) (Connected, bool, error) {
	if err := a.MayConnect(z.User, z.Policy); err != nil {
		return Connected{}, false, err
	}
	if !z.Activated {
		return Connected{}, false, refuse(CodeNotActivated, "R6", "",
			"The Stripe account "+z.Account+" is not activated: it cannot take payments yet. Finish its activation at Stripe, then connect it.")
	}
	if z.Mode != z.DeploymentMode {
		return Connected{}, false, refuse(CodeWrongMode, "R11", "", "The Stripe account is connected in "+z.Mode+" mode, this system is in "+z.DeploymentMode+" mode.")
	}
	if c := a.Connection; c != nil && c.Account == z.Account && !c.Deauthorized {
		return Connected{}, false, nil
	}
	return Connected{Seller: seller, Account: z.Account, Mode: z.Mode, At: now.UTC(), By: z.User}, true, nil
}

func refuse(code, rule, field, detail string) *quote.Refusal {
	return &quote.Refusal{Kind: quote.KindInvalid, Reasons: []quote.Reason{{Code: code, Rule: rule, Field: field, Detail: detail}}}
}
