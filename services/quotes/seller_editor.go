package quotes

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// The steps of the editor, as their addresses name them.
const (
	stepDetails = "details"
	stepLines   = "lines"
	stepPayment = "payment"
	stepReview  = "review"
)

// newQuotePath is where a quote is begun; POST makes it.
const newQuotePath = "/seller/new"

// stepLink is one step in the list of them.
type stepLink struct {
	Name, Href string // Href is empty where the quote is not made yet
	Current    bool
}

// stepPage is a step of the editor: a form, with what is wrong with it.
type stepPage struct {
	sellerFrame
	// Heading names the quote, ID is empty for a new one.
	Heading, ID, Action string
	Step                string
	Steps               []stepLink
	// Version is the document's that the form was filled from; Key makes a quote
	// only once.
	Version int
	Key     string
	Faults  []fault
	// Stale: somebody saved another version meanwhile. What was typed stands in
	// the form, what is stored beside it.
	Stale bool

	Groups            []group // details; quote discount and tax
	Currencies, Zones []string
	Rows              []row
	Code              string // the currency, in upper case
	Focus             string // the input that a new row begins with
	Sums              *sumsView
	Payment           *paymentView
}

// sumsView is the arithmetic of the stored document.
type sumsView struct {
	Subtotal, Discount, Tax, Due string
	Then                         string
}

// paymentView is the step "signature and payment".
type paymentView struct {
	Switch, Secure field
	Payee          payeeState
	// On: the stored switch is on. Locked: it cannot be turned on.
	On, Locked bool
	// Warnings are the policy's advice (R41).
	Warnings []told
}

// stepNames are the steps in their order.
var stepNames = []struct {
	step string
	name text
}{
	{stepDetails, text("Details")}, {stepLines, text("Lines")}, {stepPayment, text("Signature and payment")}, {stepReview, text("Review")},
}

// stepPage is the frame of a step; a is nil for a new quote.
func (s *Service) stepPage(c *call, step string, a *quote.Aggregate) stepPage {
	p := stepPage{sellerFrame: s.sellerFrame(c, navQuotes), Step: step, Action: newQuotePath}
	p.Heading = p.T("New quote")
	if a != nil {
		p.ID, p.Heading, p.Version = a.ID, a.Document.Title, a.Version
		p.Action = quotePath(a.ID) + "/" + step
		p.Code = strings.ToUpper(a.Document.Currency)
	}
	for _, x := range stepNames {
		l := stepLink{Name: p.T(x.name), Current: x.step == step}
		if a != nil {
			l.Href = quotePath(a.ID) + "/" + x.step
		}
		if l.Current {
			p.Title = l.Name + " · " + p.Heading
		}
		p.Steps = append(p.Steps, l)
	}
	return p
}

// showNew begins a quote. ?deal= and ?deal_name= fill in the deal.
func (s *Service) showNew(w http.ResponseWriter, c *call) error {
	key, err := s.randomText()
	if err != nil {
		return err
	}
	values := url.Values{"deal.id": {c.URL.Query().Get("deal")}, "deal.name": {c.URL.Query().Get("deal_name")}}
	if newest, err := s.list(c.Context(), redisquote.Query{Seller: c.token.Seller, Limit: 1}); err == nil && len(newest.Data) > 0 {
		// A convenience, so that it may fail: who sells in zloty sells in zloty again.
		values.Set("currency", strings.ToUpper(newest.Data[0].Currency))
		values.Set("owner.time_zone", newest.Data[0].zone.String())
	}
	page := s.stepPage(c, stepDetails, nil)
	page.Key = key
	return s.renderStep(w, c, http.StatusOK, page, nil, form{view: page.view, values: values})
}

// createFromPage makes the quote. The form has a key of its own: sent twice, it
// leads to the same quote.
func (s *Service) createFromPage(w http.ResponseWriter, c *call) error {
	page := s.stepPage(c, stepDetails, nil)
	page.Key = c.PostForm.Get("key")
	again := func(faults []fault) error {
		page.Faults = faults
		return s.renderStep(w, c, http.StatusUnprocessableEntity, page, nil, form{view: page.view, values: c.PostForm, faults: faults})
	}
	document, err := page.apply(quote.Document{LineItems: []quote.LineItem{}}, detailPatch(c.PostForm), nil)
	if refused, ok := errors.AsType[*refusedForm](err); ok {
		return again(refused.faults)
	}
	if err != nil {
		return err
	}
	_, err = s.create(c, document, "page "+page.Key)
	if p, ok := errors.AsType[*problem](err); ok && p.Kind == "idempotency-key-reused" {
		// Sent, gone back to, changed, and sent again: the quote is there already.
		http.Redirect(w, c.Request, quotePath(c.quoteID)+"/"+stepDetails, http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	http.Redirect(w, c.Request, quotePath(c.quoteID)+"/"+stepLines, http.StatusSeeOther)
	return nil
}

func (s *Service) showDetails(w http.ResponseWriter, c *call) error {
	return s.showStep(w, c, stepDetails)
}

func (s *Service) showLines(w http.ResponseWriter, c *call) error { return s.showStep(w, c, stepLines) }

func (s *Service) showPayment(w http.ResponseWriter, c *call) error {
	return s.showStep(w, c, stepPayment)
}

// showStep shows a step of the editor, or why the quote cannot be edited now.
func (s *Service) showStep(w http.ResponseWriter, c *call, step string) error {
	a, err := s.find(c)
	if err != nil {
		return err
	}
	if locked := s.locked(a); locked != nil {
		return s.showLocked(w, c, http.StatusOK, a, locked)
	}
	page := s.stepPage(c, step, a)
	return s.renderStep(w, c, http.StatusOK, page, a, form{view: page.view, values: stepValues(step, a.Document)})
}

// locked is why the quote cannot be edited: the refusal of an edit that changes
// nothing; nil when it can.
func (s *Service) locked(a *quote.Aggregate) *quote.Refusal {
	_, _, err := a.Edit(a.Document, s.cfg.Now())
	refusal, _ := errors.AsType[*quote.Refusal](err)
	return refusal
}

func stepValues(step string, d quote.Document) url.Values {
	switch step {
	case stepLines:
		return lineValues(d)
	case stepPayment:
		return paymentValues(d)
	default:
		return detailValues(d)
	}
}

// errStale is the answer to a form that was filled from an older version.
var errStale = refuse(http.StatusConflict, "stale", "The quote has changed since this form was loaded.")

// seen refuses an edit from a form that was filled from another version.
func seen(form url.Values) func(version int) error {
	return func(version int) error {
		if form.Get("version") != strconv.Itoa(version) {
			return errStale
		}
		return nil
	}
}

func (s *Service) saveDetails(w http.ResponseWriter, c *call) error {
	return s.saveStep(w, c, stepDetails, stepLines)
}

func (s *Service) savePayment(w http.ResponseWriter, c *call) error {
	return s.saveStep(w, c, stepPayment, stepReview)
}

func (s *Service) saveLines(w http.ResponseWriter, c *call) error {
	if done, err := s.changeRows(w, c, c.PostForm); done || err != nil {
		return err
	}
	dropEmptyRows(c.PostForm)
	return s.saveStep(w, c, stepLines, stepPayment)
}

// saveStep saves what was typed as a new version and goes on to the next step.
// What is refused is shown again as it was typed, with what is wrong with it.
func (s *Service) saveStep(w http.ResponseWriter, c *call, step, next string) error {
	v := s.view(c)
	_, err := s.edit(c, seen(c.PostForm), func(d quote.Document) (quote.Document, error) {
		switch step {
		case stepLines:
			return v.changeLines(d, c.PostForm)
		case stepPayment:
			owner, err := s.loadSeller(c.Context(), c.token.Seller)
			if err != nil {
				return quote.Document{}, err
			}
			return s.changePayment(v, d, c.PostForm, owner.Payee(s.cfg.Account))
		default:
			return v.changeDetails(d, c.PostForm)
		}
	})
	if err != nil {
		return s.showRefusedStep(w, c, step, err)
	}
	http.Redirect(w, c.Request, quotePath(c.quoteID)+"/"+next, http.StatusSeeOther)
	return nil
}

// showRefusedStep shows a step again that was not saved.
func (s *Service) showRefusedStep(w http.ResponseWriter, c *call, step string, cause error) error {
	refused, isRefused := errors.AsType[*refusedForm](cause)
	refusal, isLocked := errors.AsType[*quote.Refusal](cause)
	if !isRefused && !isLocked && !errors.Is(cause, errStale) {
		return cause
	}
	a, err := s.find(c)
	if err != nil {
		return err
	}
	if isLocked {
		return s.showLocked(w, c, http.StatusConflict, a, refusal)
	}
	page := s.stepPage(c, step, a)
	f := form{view: page.view, values: c.PostForm}
	status := http.StatusUnprocessableEntity
	if isRefused {
		f.faults, page.Faults = refused.faults, refused.faults
	} else {
		status, page.Stale, f.stored = http.StatusConflict, true, stepValues(step, a.Document)
	}
	return s.renderStep(w, c, status, page, a, f)
}

// changeRows adds or removes a row of the form, which saves nothing; false when
// the form is to be saved.
func (s *Service) changeRows(w http.ResponseWriter, c *call, values url.Values) (bool, error) {
	do := values.Get("do")
	at, remove := strings.CutPrefix(do, "remove ")
	if do != "add" && !remove {
		return false, nil
	}
	a, err := s.find(c)
	if err != nil {
		return true, err
	}
	page := s.stepPage(c, stepLines, a)
	page.Version, _ = strconv.Atoi(values.Get("version")) // that of the form, for the day it is saved
	if remove {
		n, err := strconv.Atoi(at)
		if err == nil {
			removeRow(values, n)
		}
		page.Focus = "add"
	} else if rows(values) < mostRows {
		page.Focus = inputID(rowName(addRow(values), ".name"))
	}
	return true, s.renderStep(w, c, http.StatusOK, page, a, form{view: page.view, values: values})
}

// renderStep puts the inputs of the step on the page.
func (s *Service) renderStep(w http.ResponseWriter, c *call, status int, page stepPage, a *quote.Aggregate, f form) error {
	switch page.Step {
	case stepDetails:
		page.Groups, page.Currencies, page.Zones = f.detailGroups(), someCurrencies, someZones
	case stepLines:
		page.Rows, page.Groups = f.lineRows(), f.sumGroups()
		sums, err := page.sums(a.Document)
		if err != nil {
			return err
		}
		page.Sums = sums
	case stepPayment:
		if err := s.fillPayment(c, &page, a, f); err != nil {
			return err
		}
	}
	return s.render(w, c, status, "seller_step.html", page)
}

// sums is what the stored document comes to; nil before its first line.
func (v view) sums(d quote.Document) (*sumsView, error) {
	if len(d.LineItems) == 0 {
		return nil, nil //nolint:nilnil // nothing to add up is no error
	}
	total, err := d.Total()
	if err != nil {
		return nil, err
	}
	money := func(amount int64) string { return quote.Money{Amount: amount, Currency: d.Currency}.String() }
	x := &sumsView{Subtotal: money(total.Subtotal), Due: money(total.Due)}
	if total.Discount > 0 {
		x.Discount = "−" + money(total.Discount)
	}
	if total.Tax > 0 {
		x.Tax = money(total.Tax)
	}
	if every, ok := d.Frequency(); ok {
		renewal, err := d.Renewal()
		if err != nil {
			return nil, err
		}
		x.Then = v.T("then %s %s", renewal.String(), v.Every(&every))
	}
	return x, nil
}
