package seller

import "time"

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

// Authorized says that Stripe sent a user back with an authorization, whose code
// is exchanged next. It is stored before that: of two that come back with one
// state, only the one whose event the log took may use the code, which is void
// once it was used twice.
type Authorized struct {
	Seller string    `json:"seller"`
	State  string    `json:"state"` // hex SHA-256 of it
	At     time.Time `json:"at"`
	By     string    `json:"by"`
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

// Deauthorized says that the seller ended the connection himself.
type Deauthorized struct {
	Seller  string    `json:"seller"`
	Account string    `json:"account"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
}

// The facts of Stripe accounts. They belong to an account, not to a seller, and
// come from Stripe's events; At is when Stripe made the event, in whole seconds.

// AccountUpdated says whether Stripe lets the account take payments.
type AccountUpdated struct {
	Account     string    `json:"account"`
	Activated   bool      `json:"activated"` // Stripe's charges_enabled
	At          time.Time `json:"at"`
	StripeEvent string    `json:"stripe_event"`
}

// AccountDeauthorized says that the account withdrew its authorization at Stripe.
type AccountDeauthorized struct {
	Account     string    `json:"account"`
	At          time.Time `json:"at"`
	StripeEvent string    `json:"stripe_event"`
}

// Connection is the Stripe account that a seller connected.
type Connection struct {
	Account      string    `json:"account"`
	Mode         string    `json:"mode"`
	Activated    bool      `json:"activated"`
	Deauthorized bool      `json:"deauthorized"`
	ConnectedAt  time.Time `json:"connected_at"`
	ConnectedBy  string    `json:"connected_by,omitempty"`
}

// Seat is whether a user has a paid sales seat.
type Seat struct {
	User string `json:"user"`
	Paid bool   `json:"paid"`
}
