package quote

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// CheckoutRequested says that a Checkout Session is about to be asked for. It is
// stored before Stripe is called, with all that the call depends on, so that
// whoever finds it can repeat the very same call under the same idempotency key.
// Its n is CheckoutN. No personal data.
type CheckoutRequested struct {
	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"`
	Attempt  int    `json:"attempt"` // from 1, for each revision
	Account  string `json:"account"`
	Mode     string `json:"mode"`
	// Customer is the Stripe customer that was found by e-mail; empty for none.
	Customer string `json:"customer,omitempty"`
	// ExpiresAt is the session's end.
	ExpiresAt   time.Time `json:"expires_at"`
	RequestedAt time.Time `json:"requested_at"`
}

// CheckoutOpened says which Checkout Session a request became. Its n is that of
// the request.
type CheckoutOpened struct {
	Seller          string    `json:"seller"`
	QuoteID         string    `json:"quote_id"`
	Revision        int       `json:"revision"`
	Attempt         int       `json:"attempt"`
	Account         string    `json:"account"`
	Mode            string    `json:"mode"`
	CheckoutSession string    `json:"checkout_session"`
	ExpiresAt       time.Time `json:"expires_at"`
	OpenedAt        time.Time `json:"opened_at"`
}

// Checkout is one attempt to pay a revision.
type Checkout struct {
	Request CheckoutRequested
	// Session is empty while it is not known what the request became.
	Session string
}

// CheckoutN is the n of the events of an attempt.
func CheckoutN(revision, attempt int) string {
	return strconv.Itoa(revision) + "_" + strconv.Itoa(attempt)
}

// CheckoutRequested folds a request.
func (a *Aggregate) CheckoutRequested(r CheckoutRequested) {
	a.checkouts = append(a.checkouts, Checkout{Request: r})
}

// CheckoutOpened folds what a request became.
func (a *Aggregate) CheckoutOpened(o CheckoutOpened) {
	for i, c := range a.checkouts {
		if c.Request.Revision == o.Revision && c.Request.Attempt == o.Attempt {
			a.checkouts[i].Session = o.CheckoutSession
		}
	}
}

// Checkouts are the attempts on a revision, oldest first.
func (a *Aggregate) Checkouts(revision int) []Checkout {
	var list []Checkout
	for _, c := range a.checkouts {
		if c.Request.Revision == revision {
			list = append(list, c)
		}
	}
	return list
}

// Failed reports whether the attempt of a Stripe object is known to have failed.
func (a *Aggregate) Failed(object string) bool { return slices.Contains(a.failed, object) }

// Bounds of a Checkout Session's life at Stripe, counted from its creation, with
// a minute on either side for the way there and for clocks that differ.
const (
	checkoutMargin = time.Minute
	CheckoutLeast  = 30*time.Minute + checkoutMargin
	CheckoutMost   = 24*time.Hour - checkoutMargin
)

// Codes of refused checkouts, beside those of the policy.
const (
	CodeNotPayable  = "not_payable"      // the switch is off (R13)
	CodeExpired     = "expired"          // R44
	CodeExpiresSoon = "expires_too_soon" // R44
	CodeAccountGone = "account_changed"  // R11
	CodeMode        = "mode_changed"     // R76
)

// MayCheckOut is everything that keeps the last revision from being paid now, at
// once (R19): its own end, a payment that is there already, and the policy's
// refusals. The revision must be offered still.
func (a *Aggregate) MayCheckOut(p *Policy, payee Payee, mode string, now time.Time) error {
	r := a.Revisions[len(a.Revisions)-1]
	if !r.Document.Payment.Stripe {
		return Conflict(CodeNotPayable, "R13", "This quote is not paid by card or bank here; ask its sender.")
	}
	if err := a.Unpaid(); err != nil {
		return err
	}
	if a.StateAt(now) == LifecycleExpired {
		return Conflict(CodeExpired, "R44", "This quote has expired; ask its sender for a new one.")
	}
	reasons := p.Lint(r.Document, payee).Refusals
	if payee.Account != r.Account {
		reasons = append(reasons, Reason{Code: CodeAccountGone, Rule: "R11", Detail: "The seller is paid on another Stripe account since the quote was published; it must be recalled and published again."})
	}
	if mode != r.Mode {
		reasons = append(reasons, Reason{Code: CodeMode, Rule: "R76", Detail: "The quote was published in " + r.Mode + " mode."})
	}
	if len(reasons) > 0 {
		return &Refusal{Kind: KindConflict, Reasons: reasons}
	}
	return nil
}

// NextCheckout is the request for a further attempt on the last revision. It
// returns a *Refusal when the quote ends before the shortest session would (R44).
func (a *Aggregate) NextCheckout(customer string, now time.Time) (CheckoutRequested, error) {
	r := a.Revisions[len(a.Revisions)-1]
	end := now.Add(CheckoutMost)
	if !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(end) {
		end = r.ExpiresAt
	}
	if end.Sub(now) < CheckoutLeast {
		return CheckoutRequested{}, Conflict(CodeExpiresSoon, "R44",
			"The quote expires in less than half an hour, which is the shortest time that Stripe gives for paying; ask its sender for a new one.")
	}
	return CheckoutRequested{
		Seller: r.Seller, QuoteID: r.QuoteID, Revision: r.Revision, Attempt: len(a.Checkouts(r.Revision)) + 1, Account: r.Account, Mode: r.Mode,
		Customer: customer, ExpiresAt: end.UTC().Truncate(time.Second), RequestedAt: now.UTC(),
	}, nil
}

// CheckoutLine is a line as it is sent to Stripe: Quantity times UnitAmount is
// exactly the line's net price.
type CheckoutLine struct {
	Name       string
	Quantity   int64
	UnitAmount int64
	Recurring  *Recurring
}

// CheckoutLines are the quote's lines as they are sent to Stripe, which knows no
// discount of a line: it is in the unit amount where it divides, else the line
// goes as one piece. The tax is a one-time line of its own (R40). Their sum less
// the total's Discount is what is due.
func (d Document) CheckoutLines() ([]CheckoutLine, error) {
	total, err := d.Total()
	if err != nil {
		return nil, err
	}
	lines := make([]CheckoutLine, 0, len(d.LineItems)+1)
	for i, item := range d.LineItems {
		line := CheckoutLine{Name: item.Name, Quantity: item.Quantity, Recurring: item.Recurring}
		if total.Lines[i]%item.Quantity == 0 {
			line.UnitAmount = total.Lines[i] / item.Quantity
		} else {
			line.Name, line.Quantity, line.UnitAmount = fmt.Sprintf("%d × %s", item.Quantity, item.Name), 1, total.Lines[i]
		}
		lines = append(lines, line)
	}
	if total.Tax > 0 {
		lines = append(lines, CheckoutLine{Name: d.Tax.Name, Quantity: 1, UnitAmount: total.Tax})
	}
	return lines, nil
}

// Renewal is what every period after the first charges: the recurring lines, less
// the quote's discount where it is forever (at most down to nothing). Zero where
// no line recurs.
func (d Document) Renewal() (Money, error) {
	t, err := d.Total()
	if err != nil {
		return Money{}, err
	}
	amount := t.Recurring
	if d.Discount != nil && d.Discount.Duration == DurationForever {
		amount = max(amount-t.Discount, 0)
	}
	return Money{Amount: amount, Currency: t.Currency}, nil
}

// Frequency is the billing frequency that the recurring lines share (R37); false
// where no line recurs.
func (d Document) Frequency() (Recurring, bool) {
	for _, line := range d.LineItems {
		if line.Recurring != nil {
			return *line.Recurring, true
		}
	}
	return Recurring{}, false
}

// Recurs reports whether any line is charged every period.
func (d Document) Recurs() bool {
	for _, line := range d.LineItems {
		if line.Recurring != nil {
			return true
		}
	}
	return false
}
