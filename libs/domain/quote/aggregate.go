package quote

import (
	"errors"
	"reflect"
	"slices"
	"time"
)

// ErrNotFound is what a command gets for a quote that was never drafted.
var ErrNotFound = errors.New("no such quote")

// Lifecycle is the state that the commands of a quote bring it to. What its
// payment is at is a Status, which is derived from payment facts.
type Lifecycle string

// The states of a quote.
const (
	LifecycleDraft     Lifecycle = "draft"
	LifecyclePublished Lifecycle = "published"
	LifecycleRecalled  Lifecycle = "recalled"
	LifecycleExpired   Lifecycle = "expired"
)

// MaxVersions is how many versions of its document a quote may have. Every
// command reads them all in one answer of the server, which holds 1,024
// messages; the rest is room for revisions and payment facts.
const MaxVersions = 500

// Aggregate is one quote folded from its own events in the log. The methods
// that take an event must be called in the order of the log; those that decide
// change nothing. The zero value is a quote that does not exist.
type Aggregate struct {
	Seller, ID string
	// Sequence is the stream sequence of the last event folded: what a command
	// expects to be the last one still.
	Sequence  uint64
	Lifecycle Lifecycle
	Version   int // of Document; the ETag
	Document  Document
	CreatedAt time.Time
	UpdatedAt time.Time // when Version was written
	// RequestHash is that of the command which created the quote.
	RequestHash string
	// Revisions holds every publication, oldest first.
	Revisions []Published
	Recalls   []Recalled
	Payments  []Paid // at most one per revision
	// begun and failed are the objects of payment_processing and payment_failed.
	begun, failed []string
	checkouts     []Checkout
	reminded      []int // revisions
}

// Drafted folds a version of the document.
func (a *Aggregate) Drafted(d Drafted) {
	if a.Version == 0 {
		a.Seller, a.ID, a.CreatedAt, a.RequestHash = d.Seller, d.QuoteID, d.DraftedAt, d.RequestHash
	}
	a.Version, a.Document, a.UpdatedAt = d.Version, d.Document, d.DraftedAt
	a.Lifecycle = LifecycleDraft
}

// Published folds a publication.
func (a *Aggregate) Published(p Published) {
	a.Revisions = append(a.Revisions, p)
	a.Lifecycle = LifecyclePublished
}

// Recalled folds a recall; one of another revision than the last says nothing
// of the state.
func (a *Aggregate) Recalled(r Recalled) {
	a.Recalls = append(a.Recalls, r)
	if r.Revision == a.Revision() && a.Lifecycle != LifecycleDraft {
		a.Lifecycle = LifecycleRecalled
	}
}

// Expired folds an expiry; one that comes after a recall or for another
// revision says nothing of the state.
func (a *Aggregate) Expired(e Expired) {
	if e.Revision == a.Revision() && a.Lifecycle == LifecyclePublished {
		a.Lifecycle = LifecycleExpired
	}
}

// Paid folds a settled payment.
func (a *Aggregate) Paid(p Paid) { a.Payments = append(a.Payments, p) }

// PaymentProcessing folds an attempt in flight.
func (a *Aggregate) PaymentProcessing(f PaymentFact) { a.begun = append(a.begun, f.Object) }

// PaymentFailed folds the failure of an attempt. Stripe may tell it before the
// attempt itself, so the order of the two does not matter; an attempt that was
// told as in flight is told as failed under the same object (see Derive).
func (a *Aggregate) PaymentFailed(f PaymentFact) { a.failed = append(a.failed, f.Object) }

// Exists reports whether the quote was ever drafted.
func (a *Aggregate) Exists() bool { return a.Version > 0 }

// Revision is the number of the last publication; 0 before the first.
func (a *Aggregate) Revision() int {
	if len(a.Revisions) == 0 {
		return 0
	}
	return a.Revisions[len(a.Revisions)-1].Revision
}

// StateAt is the quote's state at a time: a published quote whose last second
// has passed is expired, also before anybody wrote so.
func (a *Aggregate) StateAt(now time.Time) Lifecycle {
	if a.Lifecycle != LifecyclePublished {
		return a.Lifecycle
	}
	if end := a.Revisions[len(a.Revisions)-1].ExpiresAt; !end.IsZero() && now.After(end) {
		return LifecycleExpired
	}
	return LifecyclePublished
}

// InFlight lists the Stripe objects of attempts that have neither failed nor
// been settled, as far as the log says.
func (a *Aggregate) InFlight() []string {
	var open []string
	for _, object := range a.begun {
		if object == "" || !slices.Contains(a.failed, object) {
			open = append(open, object)
		}
	}
	return open
}

// Unpaid is nil when the log shows no settled payment and none in flight, else
// the refusal of any command that would change what the customer pays.
func (a *Aggregate) Unpaid() error {
	if len(a.Payments) > 0 {
		return Conflict(CodePaid, "R27", "A payment of this quote is settled.")
	}
	if len(a.InFlight()) > 0 {
		return Conflict(CodeInFlight, "R27", "A payment of this quote is in flight; wait until it has succeeded or failed.")
	}
	return nil
}

// Conflict is the refusal of a command that the quote's state does not allow,
// for one reason.
func Conflict(code, rule, detail string) *Refusal {
	return &Refusal{Kind: KindConflict, Reasons: []Reason{{Code: code, Rule: rule, Detail: detail}}}
}

// Edit decides on a new version of the document. It returns ErrNotFound, a
// *Refusal while the quote is published (R26) or paid, and the Drafted to
// append otherwise; false when the document is the one the quote has.
func (a *Aggregate) Edit(d Document, now time.Time) (Drafted, bool, error) {
	if !a.Exists() {
		return Drafted{}, false, ErrNotFound
	}
	// Asked first: a paid quote cannot be recalled either.
	if err := a.Unpaid(); err != nil {
		return Drafted{}, false, err
	}
	if a.StateAt(now) == LifecyclePublished {
		return Drafted{}, false, Conflict(CodePublished, "R26",
			"The quote is published. Recall it, edit it, and publish it again: the customer then gets a new revision.")
	}
	if reflect.DeepEqual(d, a.Document) {
		return Drafted{}, false, nil
	}
	if a.Version >= MaxVersions {
		return Drafted{}, false, Conflict(CodeVersionsSpent, "", "The quote has the most versions a quote may have; create another one.")
	}
	return Drafted{Seller: a.Seller, QuoteID: a.ID, Version: a.Version + 1, Document: d, DraftedAt: now.UTC()}, true, nil
}

// Publication is what the caller of Publish adds to the document.
type Publication struct {
	Account  string // Stripe account that is paid: "platform" or acct_…
	Mode     string // test or live
	URLToken string // 128 random bits, fresh for each try
	// RequestKey is the hash of the Idempotency-Key; may be empty.
	RequestKey string
	Now        time.Time
	// Policy judges the document for Payee, who is paid; nil judges nothing.
	Policy *Policy
	Payee  Payee
}

// Publish decides on a publication. It returns ErrNotFound, a *Refusal, or the
// Published to append; false with the one in force when there is nothing to
// append: the quote is published already, or this RequestKey published it.
func (a *Aggregate) Publish(p Publication) (Published, bool, error) {
	if !a.Exists() {
		return Published{}, false, ErrNotFound
	}
	if old, ok := a.publishedWith(p.RequestKey); ok {
		return old, false, nil
	}
	if a.StateAt(p.Now) == LifecyclePublished {
		return a.Revisions[len(a.Revisions)-1], false, nil
	}
	if err := a.Unpaid(); err != nil {
		return Published{}, false, err
	}
	due, err := a.Document.DueAtCheckout()
	if err != nil {
		return Published{}, false, &Refusal{Kind: KindInvalid, Reasons: []Reason{{Code: CodeOverflow, Detail: err.Error()}}}
	}
	end, verdict := a.review(p)
	if len(verdict.Refusals) > 0 {
		return Published{}, false, &Refusal{Kind: KindInvalid, Reasons: verdict.Refusals}
	}
	return Published{
		Seller: a.Seller, QuoteID: a.ID, Revision: a.Revision() + 1, Version: a.Version, Document: a.Document,
		Amount: due.Amount, Currency: due.Currency, Account: p.Account, Mode: p.Mode,
		PublishedAt: p.Now.UTC(), ExpiresAt: end, URLToken: p.URLToken, RequestKey: p.RequestKey,
	}, true, nil
}

// Review is what Publish would say of the document: everything that keeps it
// from being published, at once (R19), and what is advised. Of p it looks at
// Policy, Payee and Now. Neither list is ever nil.
func (a *Aggregate) Review(p Publication) Verdict {
	_, verdict := a.review(p)
	return verdict
}

// review is Review with the expiry that the revision would have.
func (a *Aggregate) review(p Publication) (time.Time, Verdict) {
	verdict := Verdict{Refusals: []Reason{}, Warnings: []Reason{}}
	if p.Policy != nil {
		verdict = p.Policy.Lint(a.Document, p.Payee)
	}
	refuse := func(r Reason) { verdict.Refusals = append(verdict.Refusals, r) }
	if len(a.Document.LineItems) == 0 {
		refuse(Reason{Code: CodeNoLines, Detail: "The quote has no line items; add one.", Field: "line_items"})
	}
	end, err := a.Document.Expiry()
	if err != nil {
		refuse(Reason{Code: CodeExpiry, Detail: err.Error(), Field: "expires_at"})
		return time.Time{}, verdict
	}
	if !end.IsZero() && p.Now.After(end) {
		refuse(Reason{Code: CodeExpiryPassed, Rule: "R44", Detail: "The quote's expiry has passed; set a later one.", Field: "expires_at"})
	}
	return end, verdict
}

// Recall decides on taking the last revision back. It returns ErrNotFound, a
// *Refusal when nothing is published or a payment is settled or in flight, or
// the Recalled to append; false with the one in force when there is nothing to
// append: it is recalled already, or this RequestKey recalled it.
func (a *Aggregate) Recall(requestKey string, now time.Time) (Recalled, bool, error) {
	if !a.Exists() {
		return Recalled{}, false, ErrNotFound
	}
	for _, old := range a.Recalls {
		if requestKey != "" && old.RequestKey == requestKey {
			return old, false, nil
		}
	}
	switch a.Lifecycle {
	case LifecycleRecalled:
		return a.Recalls[len(a.Recalls)-1], false, nil
	case LifecyclePublished, LifecycleExpired:
	default:
		return Recalled{}, false, Conflict(CodeNotPublished, "R26", "The quote is not published, so there is nothing to recall.")
	}
	if err := a.Unpaid(); err != nil {
		return Recalled{}, false, err
	}
	return Recalled{
		Seller: a.Seller, QuoteID: a.ID, Revision: a.Revision(), RecalledAt: now.UTC(), RequestKey: requestKey,
	}, true, nil
}

// publishedWith finds the publication that a request key made.
func (a *Aggregate) publishedWith(requestKey string) (Published, bool) {
	for _, old := range a.Revisions {
		if requestKey != "" && old.RequestKey == requestKey {
			return old, true
		}
	}
	return Published{}, false
}
