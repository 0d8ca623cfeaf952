package seller

import (
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/quote"
)

// SetPlan decides on a plan; false when the seller is on it already. It returns
// a *quote.Refusal for a plan that does not exist.
func (a *Aggregate) SetPlan(e PlanSet) (PlanSet, bool, error) {
	if !slices.Contains(Plans, e.Plan) {
		return PlanSet{}, false, refuse(CodeUnknownPlan, "R3", "plan", "There is no such plan; plans are "+strings.Join(Plans, ", ")+".")
	}
	return e, a.Plan() != e.Plan, nil
}

// SetSeat decides on a seat; false when that was said of the user already.
func (a *Aggregate) SetSeat(e SeatSet) (SeatSet, bool) {
	paid, said := a.seats[e.User]
	return e, !said || paid != e.Paid
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

// Authorize decides whether the code that came back with a state may be used. It
// returns a *quote.Refusal for whom MayConnect refuses, and for a state that was
// used already.
func (a *Aggregate) Authorize(e Authorized, p *quote.Policy) (Authorized, error) {
	if err := a.MayConnect(e.By, p); err != nil {
		return Authorized{}, err
	}
	if a.returned[e.State] {
		return Authorized{}, quote.Conflict(CodeReturned, "R10", "This authorization has been used already; what came of it is shown here.")
	}
	return e, nil
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
	if c := a.Connection(); c != nil && c.Account == z.Account && !c.Deauthorized && c.Activated {
		return Connected{}, false, nil
	}
	return Connected{Seller: seller, Account: z.Account, Mode: z.Mode, At: now.UTC(), By: z.User}, true, nil
}

// Disconnect decides on ending the connection; false when there is none, or the
// seller has ended it himself. That Stripe says so first, as it does of what we
// ask it for, makes no difference.
func (a *Aggregate) Disconnect(seller, user string, now time.Time) (Deauthorized, bool) {
	if a.link == nil || a.ended {
		return Deauthorized{}, false
	}
	return Deauthorized{Seller: seller, Account: a.link.Account, At: now.UTC(), By: user}, true
}

func refuse(code, rule, field, detail string) *quote.Refusal {
	return &quote.Refusal{Kind: quote.KindInvalid, Reasons: []quote.Reason{{Code: code, Rule: rule, Field: field, Detail: detail}}}
}
