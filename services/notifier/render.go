package notifier

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// currentTemplate is the version that new claims take. An old version stays embedded for as long as a claim may name
// it: a mail that may have been sent is sent again with the same bytes.
const currentTemplate = 1

//go:embed templates
var templateFiles embed.FS

// Limits, in characters, of what other people wrote. A header line may have 998 bytes (RFC 5322 §2.1.1).
const (
	maxTitle    = 300
	maxSubject  = 100
	maxCustomer = 120
)

// What a claim records of refunds, so that a mail that is sent again says the same as before.
const (
	refundNone  = ""     // none is on record
	refundSome  = "some" // one is on record for the revision
	refundWhole = "full" // the payment itself is refunded in full
)

// receipt is all that a receipt's bytes depend on.
type receipt struct {
	paid      event.Paid
	published event.Published
	// refund is one of the refund constants.
	refund string
	// template is a version of the templates.
	template int
	// publicURL is where the quotes service's pages are, or empty.
	publicURL string
	// key is the receipt's key in the ledger.
	key string
}

// view is what the templates see: text for people, already one line each.
type view struct {
	Title, ShortTitle, Quote string
	Revision                 int
	Deal, Customer           string
	Amount, Card             string
	Reference, Page          string
	Test, NothingDue         bool
	Refund, RefundedInFull   bool
}

// words is a rendered receipt.
type words struct{ subject, text, html string }

// renderer holds the parsed templates of every version. It is safe for concurrent use.
type renderer struct {
	text map[int]*texttemplate.Template
	html map[int]*htmltemplate.Template
}

func newRenderer() (*renderer, error) {
	r := &renderer{text: map[int]*texttemplate.Template{}, html: map[int]*htmltemplate.Template{}}
	for version := 1; version <= currentTemplate; version++ {
		shared := fmt.Sprintf("templates/%d/words.tmpl", version)
		text, err := texttemplate.ParseFS(templateFiles, shared, fmt.Sprintf("templates/%d/receipt.txt.tmpl", version))
		if err != nil {
			return nil, fmt.Errorf("parse text templates, version %d: %w", version, err)
		}
		html, err := htmltemplate.ParseFS(templateFiles, shared, fmt.Sprintf("templates/%d/receipt.html.tmpl", version))
		if err != nil {
			return nil, fmt.Errorf("parse HTML templates, version %d: %w", version, err)
		}
		r.text[version], r.html[version] = text, html
	}
	return r, nil
}

// render writes the receipt's subject and its two parts. The same receipt always gives the same words.
func (r *renderer) render(rc receipt) (words, error) {
	text, html := r.text[rc.template], r.html[rc.template]
	if text == nil || html == nil {
		return words{}, fmt.Errorf("render receipt %s: no templates of version %d in this build", rc.key, rc.template)
	}
	v := rc.view()
	var subject, plain, rich strings.Builder
	if err := text.ExecuteTemplate(&subject, "subject", v); err != nil {
		return words{}, fmt.Errorf("render subject of %s: %w", rc.key, err)
	}
	if err := text.ExecuteTemplate(&plain, "text", v); err != nil {
		return words{}, fmt.Errorf("render text of %s: %w", rc.key, err)
	}
	if err := html.ExecuteTemplate(&rich, "html", v); err != nil {
		return words{}, fmt.Errorf("render HTML of %s: %w", rc.key, err)
	}
	return words{subject: subject.String(), text: plain.String(), html: rich.String()}, nil
}

func (rc receipt) view() view {
	doc := rc.published.Document
	title := oneLine(doc.Title, maxTitle)
	if title == "" {
		title = rc.paid.QuoteID
	}
	v := view{
		Title:          title,
		ShortTitle:     oneLine(title, maxSubject),
		Quote:          rc.paid.QuoteID,
		Revision:       rc.paid.Revision,
		Deal:           oneLine(firstOf(doc.Deal.Name, doc.Deal.ID), maxCustomer),
		Customer:       customer(doc.Contact),
		Amount:         quote.Money{Amount: rc.published.Amount, Currency: rc.published.Currency}.String(),
		Card:           event.CardText("paid", rc.paid.PaidAt, zoneOf(doc)),
		Reference:      firstOf(rc.paid.PaymentIntent, rc.paid.Invoice, rc.paid.CheckoutSession),
		Test:           rc.paid.Mode == event.ModeTest,
		NothingDue:     rc.published.Amount == 0,
		Refund:         rc.refund != refundNone,
		RefundedInFull: rc.refund == refundWhole,
	}
	if rc.publicURL != "" && event.ValidToken(rc.published.URLToken) {
		v.Page = strings.TrimSuffix(rc.publicURL, "/") + "/q/" + rc.published.URLToken
	}
	return v
}

// zoneOf is the owner's zone; UTC where the document names none that this build knows. The quotes service refuses such
// a document, so this is for documents of other writers: a mail with a date that may be off by a day is better than none.
func zoneOf(doc quote.Document) *time.Location {
	zone, err := doc.Zone()
	if err != nil {
		return time.UTC
	}
	return zone
}

// customer names who paid: the company, else the person, else the address. It goes to the owner, who wrote it.
func customer(c quote.Contact) string {
	person := strings.TrimSpace(c.FirstName + " " + c.LastName)
	if c.Company != "" && person != "" {
		return oneLine(c.Company+" ("+person+")", maxCustomer)
	}
	return oneLine(firstOf(c.Company, person, c.Email), maxCustomer)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if strings.TrimSpace(v) != "" {
			return v
		}
	}
	return ""
}
