package quotes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// showPage shows a revision to whoever has its address: what is offered, what it
// costs and where its payment stands, with Check out at the top and at the bottom
// while it can be paid (R16). The address is the secret; there is no other one.
func (s *Service) showPage(w http.ResponseWriter, c *call) error {
	a, r, err := s.offeredTo(c)
	if errors.Is(err, errNoPage) || errors.Is(err, errPageGone) {
		return s.showProblem(w, c, problemOf(err))
	}
	if err != nil {
		return err
	}
	s.comeBack(c, a, r)
	at, err := s.situation(c.Context(), a, r)
	if err != nil {
		return err
	}
	at.returned(a, r, c.URL.Query().Get("session_id"))
	page, err := s.quotePage(c, r, at)
	if err != nil {
		return err
	}
	return s.render(w, c, http.StatusOK, "quote.html", page, s.cfg.CheckoutOrigins...)
}

// errPageGone is the answer for a revision that was taken back or replaced. It
// says no more than that: the address may be in the wrong hands.
var errPageGone = refuse(http.StatusGone, "gone", "This quote is not available. Ask the sender for a new link.")

// offeredTo finds the revision that the path's token leads to, with its quote. It
// returns errNoPage for a token that leads nowhere, errPageGone for one whose
// revision is not offered any more.
func (s *Service) offeredTo(c *call) (*quote.Aggregate, event.Published, error) {
	token := c.PathValue("token")
	id, revision, seller, err := s.resolve(c.Context(), token)
	if err != nil {
		return nil, event.Published{}, err
	}
	c.quoteID, c.token.Seller = id, seller
	return s.offeredStill(c.Context(), seller, id, revision, token)
}

// offeredStill is the revision if its page is still the customer's, as the log
// says; else errPageGone.
func (s *Service) offeredStill(ctx context.Context, seller, id string, revision int, token string) (*quote.Aggregate, event.Published, error) {
	a, err := s.load(ctx, seller, id)
	if err != nil {
		return nil, event.Published{}, err
	}
	last, ok := offered(a)
	if !ok || last.Revision != revision || last.URLToken != token {
		return nil, event.Published{}, errPageGone
	}
	return a, last, nil
}

// resolve finds which revision of which quote a page's token belongs to. It
// returns errNoPage when there is none. Redis knows whose quote it is; what it
// says now, the log knows.
func (s *Service) resolve(ctx context.Context, token string) (id string, revision int, seller string, err error) {
	if len(token) != idLength || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", 0, "", errNoPage
	}
	id, revision, err = s.reader.Token(ctx, token)
	if errors.Is(err, redisquote.ErrNotFound) {
		return "", 0, "", s.noPage(ctx)
	}
	if err != nil {
		return "", 0, "", unavailable(err)
	}
	q, err := s.reader.Quote(ctx, id)
	if err != nil {
		return "", 0, "", unavailable(err)
	}
	return id, revision, q.Revisions[revision].Seller, nil
}

// noPage is errNoPage where Redis holds everything; after a loss, until payments
// has folded the log again, nobody can say that an address leads nowhere.
func (s *Service) noPage(ctx context.Context) error {
	complete, err := s.reader.Complete(ctx)
	if err == nil && !complete {
		err = errors.New("redis holds no complete projection")
	}
	if err != nil {
		return unavailable(err)
	}
	return errNoPage
}

// The situations of a page, as its reader sees them.
const (
	atPayable     = "payable"
	atOff         = "off"        // the switch is off (R13)
	atBlocked     = "blocked"    // a check out would be refused now
	atConfirming  = "confirming" // back from Stripe, its word is not here yet
	atProcessing  = "processing"
	atPaid        = "paid"
	atRefunded    = "refunded"
	atChargedBack = "charged_back"
	atReview      = "review"
	atExpired     = "expired"
)

// situation is where a revision stands for its customer.
type situation struct {
	name string
	// at is the time that belongs to it; zero where none does.
	at time.Time
	// failed: an attempt to pay did not succeed; partly: a part was refunded.
	failed, partly bool
	// thanks: the reader comes from paying.
	thanks bool
}

// situation asks what a check out would ask (R19), so that the page has a button
// exactly where the button works.
func (s *Service) situation(ctx context.Context, a *quote.Aggregate, r event.Published) (situation, error) {
	st, err := s.standing(ctx, a)
	if err != nil {
		return situation{}, err
	}
	at := situation{name: st.Status, at: st.At}
	for _, flag := range st.Flags {
		at.failed = at.failed || flag == string(quote.FlagAttemptFailed)
		at.partly = at.partly || flag == string(quote.FlagPartiallyRefunded)
	}
	if st.Status != string(quote.LifecyclePublished) {
		return at, nil
	}
	err = s.mayCheckOut(ctx, a, r)
	refusal, refused := errors.AsType[*quote.Refusal](err)
	switch {
	case !r.Document.Payment.Stripe:
		at.name = atOff
	case refused && refusal.Reasons[0].Code == quote.CodeInFlight: // the log knows it first
		at.name = atProcessing
	case refused || err == nil && s.stripe == nil:
		at.name = atBlocked
	case err != nil:
		return situation{}, err
	default:
		at.name = atPayable
	}
	return at, nil
}

// returned takes into account that the reader comes back from a session of this
// revision: Stripe sends him here when it was completed, mostly before it says
// so to us.
func (at *situation) returned(a *quote.Aggregate, r event.Published, session string) {
	if session == "" {
		return
	}
	for _, checkout := range a.Checkouts(r.Revision) {
		if checkout.Session == session && !a.Failed(session) {
			at.thanks = true
			if at.name == atPayable {
				at.name = atConfirming
			}
		}
	}
}

// digest tells one situation from another; the page and its stream compare it. The
// stream does not know where a reader comes from, so that does not count.
func (at situation) digest() string {
	name := at.name
	if name == atConfirming {
		name = atPayable
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %t %t", name, at.at.Unix(), at.failed, at.partly))
	return hex.EncodeToString(sum[:8])
}

// quotePage is what quote.html shows.
type quotePage struct {
	view
	Token, Heading string
	Owner, For     string
	Lines          []quoteLine
	Subtotal       string
	// Discount and Tax are empty where there is none; their notes say what they
	// apply to where lines recur.
	Discount, DiscountNote string
	TaxName, Tax, TaxNote  string
	// DueLabel calls the amount due as long as nobody has paid it.
	DueLabel, Due string
	// Then is what every later period charges, in words; empty where no line
	// recurs.
	Then    string
	Expires string

	Status, Tone string
	Says         []string
	Payable      bool
	// Follow: the page may still change; Seen is the digest of what it shows.
	// Waiting: it is expected to, soon.
	Follow, Waiting bool
	Seen            string
}

type quoteLine struct{ Name, Quantity, Unit, Discount, Every, Amount string }

// quotePage writes a revision down in the reader's language.
func (s *Service) quotePage(c *call, r event.Published, at situation) (quotePage, error) {
	d := r.Document
	total, err := d.Total()
	if err != nil {
		return quotePage{}, err
	}
	zone, err := d.Zone()
	if err != nil {
		return quotePage{}, err
	}
	money := func(amount int64) string { return quote.Money{Amount: amount, Currency: d.Currency}.String() }
	p := quotePage{
		view: s.view(c), Token: r.URLToken, Heading: d.Title, Owner: d.Owner.Name, For: recipient(d.Contact),
		Subtotal: money(total.Subtotal), Due: money(total.Due),
	}
	for i, line := range d.LineItems {
		l := quoteLine{Name: line.Name, Quantity: fmt.Sprint(line.Quantity), Unit: money(line.UnitAmount), Amount: money(total.Lines[i]), Every: p.T("once")}
		if line.DiscountAmount > 0 {
			l.Discount = "−" + money(line.DiscountAmount)
		}
		if line.Recurring != nil {
			l.Every = p.Every(line.Recurring)
		}
		p.Lines = append(p.Lines, l)
	}
	if total.Discount > 0 {
		p.Discount = "−" + money(total.Discount)
	}
	if total.Tax > 0 {
		p.TaxName, p.Tax = d.Tax.Name, money(total.Tax)
	}
	if err := p.recurring(d, total); err != nil {
		return quotePage{}, err
	}
	if end := r.ExpiresAt; !end.IsZero() && (at.name == atPayable || at.name == atOff || at.name == atBlocked) {
		p.Expires = p.Moment(end.In(zone))
	}
	p.DueLabel = p.T("Total due today")
	if at.name == atPaid || at.name == atRefunded || at.name == atChargedBack || at.name == atExpired {
		p.DueLabel = p.T("Total")
	}
	p.describe(at, r.ExpiresAt, zone)
	p.Title = p.Status + " · " + d.Title
	return p, nil
}

// recurring says what later periods charge, and what of the first one is not
// charged again.
func (p *quotePage) recurring(d quote.Document, total quote.Total) error {
	every, ok := d.Frequency()
	if !ok {
		return nil
	}
	renewal, err := d.Renewal()
	if err != nil {
		return err
	}
	p.Then = p.T("then %s %s", renewal.String(), p.Every(&every))
	if total.Discount > 0 {
		p.DiscountNote = p.T("Applies to the first payment only.")
		if d.Discount.Duration == quote.DurationForever {
			p.DiscountNote = p.T("Applies to every payment.")
		}
	}
	if total.Tax > 0 {
		p.TaxNote = p.T("Charged once, with the first payment.")
	}
	return nil
}

// describe says where the revision stands.
func (p *quotePage) describe(at situation, expires time.Time, zone *time.Location) {
	p.Payable, p.Seen = at.name == atPayable, at.digest()
	p.Follow = at.name != atRefunded && at.name != atChargedBack
	p.Waiting = at.name == atConfirming || at.name == atProcessing
	say := func(key text, args ...any) { p.Says = append(p.Says, p.T(key, args...)) }
	dated := func(bare, withDate text) string {
		if at.at.IsZero() {
			return p.T(bare)
		}
		return p.T(withDate, p.Date(at.at.In(zone)))
	}
	switch at.name {
	case atPayable:
		p.Status, p.Tone = p.T("Awaiting payment"), "accent"
		if at.failed {
			say("The last attempt to pay did not succeed. You can try again.")
		}
	case atOff:
		p.Status = p.T("Awaiting payment")
		say("This quote is not paid online. Ask its sender how to pay.")
	case atBlocked:
		p.Status = p.T("Awaiting payment")
		say("Online payment of this quote is not possible at the moment. Ask its sender.")
	case atConfirming:
		p.Status, p.Tone = p.T("Waiting for confirmation"), "accent"
		say("Thank you. The confirmation of your payment is on its way; you need not pay again.")
	case atProcessing:
		p.Status, p.Tone = p.T("Payment processing"), "accent"
		say("Your payment is on its way. With some methods, such as bank debits, this takes several days; you need not pay again.")
	case atPaid:
		p.Status, p.Tone = dated("Paid", "Paid: %s"), "good"
		if at.thanks {
			say("Thank you for your payment.")
		}
		if at.partly {
			say("A part of the payment was refunded.")
		}
	case atRefunded:
		p.Status = dated("Refunded", "Refunded: %s")
	case atChargedBack:
		p.Status, p.Tone = dated("Charged back", "Charged back: %s"), "bad"
	case atReview:
		p.Status, p.Tone = p.T("Payment needs review"), "warn"
		say("A payment has arrived that does not fit this quote. Its sender will look into it; you need not pay again.")
	case atExpired:
		p.Status, p.Tone = p.T("Expired"), "warn"
		say("This quote was valid until %s. Ask its sender for a new one.", p.Moment(expires.In(zone)))
	}
}

// recipient is who the quote is for: the company, else the person. Never the
// e-mail address.
func recipient(c quote.Contact) string {
	if c.Company != "" {
		return c.Company
	}
	return strings.TrimSpace(c.FirstName + " " + c.LastName)
}
