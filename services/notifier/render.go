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

// receipt is all that a mail's bytes depend on, be it a receipt or a reminder.
type receipt struct {
	news      news
	published event.Published
	// refund is one of the refund constants.
	refund string
	// template is a version of the templates.
	template int
	// publicURL is where the quotes service's pages are, or empty.
	publicURL string
	// key is the mail's key in the ledger.
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
	// ExpiryDay and ExpiryTime are when the quote ends, in the owner's zone; of a reminder only.
	ExpiryDay, ExpiryTime string
}

// words is a rendered mail.
type words struct{ subject, text, html string }

// layout names one set of templates: a version of a kind of mail.
type layout struct {
	kind    string
	version int
}

// layoutFiles are the files of a layout: the words that its text and HTML share, and the name of these two.
var layoutFiles = map[string]struct{ words, parts string }{
	kindPaid:     {"words", "receipt"},
	kindExpiring: {"reminder.words", "reminder"},
}

// renderer holds the parsed templates of every kind and version. It is safe for concurrent use.
type renderer struct {
	text map[layout]*texttemplate.Template
	html map[layout]*htmltemplate.Template
}

func newRenderer() (*renderer, error) {
	r := &renderer{text: map[layout]*texttemplate.Template{}, html: map[layout]*htmltemplate.Template{}}
	for version := 1; version <= currentTemplate; version++ {
		for kind, names := range layoutFiles {
			path := func(name string) string { return fmt.Sprintf("templates/%d/%s.tmpl", version, name) }
			text, err := texttemplate.ParseFS(templateFiles, path(names.words), path(names.parts+".txt"))
			if err != nil {
				return nil, fmt.Errorf("parse text templates of %s, version %d: %w", kind, version, err)
			}
			html, err := htmltemplate.ParseFS(templateFiles, path(names.words), path(names.parts+".html"))
			if err != nil {
				return nil, fmt.Errorf("parse HTML templates of %s, version %d: %w", kind, version, err)
			}
			r.text[layout{kind, version}], r.html[layout{kind, version}] = text, html
		}
	}
	return r, nil
}

// render writes the mail's subject and its two parts. The same receipt always gives the same words.
func (r *renderer) render(rc receipt) (words, error) {
	of := layout{rc.news.kind, rc.template}
	text, html := r.text[of], r.html[of]
	if text == nil || html == nil {
		return words{}, fmt.Errorf("render mail %s: no templates of version %d in this build", rc.key, rc.template)
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
		title = rc.news.quote
	}
	v := view{
		Title:          title,
		ShortTitle:     oneLine(title, maxSubject),
		Quote:          rc.news.quote,
		Revision:       rc.news.revision,
		Deal:           oneLine(firstOf(doc.Deal.Name, doc.Deal.ID), maxCustomer),
		Customer:       customer(doc.Contact),
		Amount:         quote.Money{Amount: rc.published.Amount, Currency: rc.published.Currency}.String(),
		Test:           rc.news.mode == event.ModeTest,
		NothingDue:     rc.published.Amount == 0,
		Refund:         rc.refund != refundNone,
		RefundedInFull: rc.refund == refundWhole,
	}
	switch rc.news.kind {
	case kindPaid:
		paid := rc.news.paid
		v.Card = event.CardText("paid", paid.PaidAt, zoneOf(doc))
		v.Reference = firstOf(paid.PaymentIntent, paid.Invoice, paid.CheckoutSession)
	case kindExpiring:
		end := rc.news.expiring.ExpiresAt.In(zoneOf(doc))
		v.ExpiryDay, v.ExpiryTime = end.Format("Jan 2, 2006"), end.Format("Jan 2, 2006, 15:04:05 MST")
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
