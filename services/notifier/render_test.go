package notifier_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/services/notifier"
)

var update = flag.Bool("update", false, "write the golden files anew")

var testFrom = mail.Address{Name: "Quittance", Address: "quittance@seller.example"}

// sample is an ordinary receipt.
func sample() notifier.Receipt {
	return notifier.Receipt{
		Key: "main.q_1042.2.paid",
		Paid: event.Paid{
			Seller: "main", QuoteID: "q_1042", Revision: 2, DealID: "d_7", Amount: 123450, Currency: "pln",
			PaidAt: time.Date(2026, 11, 20, 10, 2, 11, 0, time.UTC), Mode: event.ModeLive, Account: "platform",
			CheckoutSession: "cs_live_1", PaymentIntent: "pi_1", StripeEvent: "evt_1",
		},
		Published: event.Published{
			Seller: "main", QuoteID: "q_1042", Revision: 2, Amount: 123450, Currency: "pln", Account: "platform", Mode: event.ModeLive, URLToken: "tok3n",
			Document: quote.Document{
				Title: "Website relaunch", Deal: quote.Deal{ID: "d_7", Name: "Acme renewal"}, Currency: "pln",
				Owner:   quote.Owner{Name: "Anna Nowak", Email: "owner@seller.example", TimeZone: "Europe/Warsaw"},
				Contact: quote.Contact{Email: "buyer@customer.example", FirstName: "Jan", LastName: "Kowalski", Company: "Acme sp. z o.o."},
			},
		},
	}
}

// The bytes of a mail are a promise: a resend must repeat them. A change of these files is a new template version. R33 R34 R47
func TestGoldenMails(t *testing.T) {
	at := func(zone, local string) func(*notifier.Receipt) {
		return func(r *notifier.Receipt) {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			if r.Paid.PaidAt, err = time.ParseInLocation("2006-01-02 15:04:05", local, loc); err != nil {
				t.Fatal(err)
			}
			r.Published.Document.Owner.TimeZone = zone
		}
	}
	utc := func(zone, local string) func(*notifier.Receipt) {
		return func(r *notifier.Receipt) {
			at("UTC", local)(r)
			r.Published.Document.Owner.TimeZone = zone
		}
	}
	money := func(amount int64, currency string) func(*notifier.Receipt) {
		return func(r *notifier.Receipt) {
			r.Paid.Amount, r.Published.Amount, r.Paid.Currency, r.Published.Currency = amount, amount, currency, currency
		}
	}
	for _, tt := range []struct {
		name  string
		want  string // the card's line
		alter func(*notifier.Receipt)
	}{
		{"plain", "Paid: Nov 20, 2026", func(*notifier.Receipt) {}},
		{"zone-warsaw-year-end", "Paid: Jan 1, 2027", utc("Europe/Warsaw", "2026-12-31 23:30:00")},
		{"zone-new-york-year-end", "Paid: Dec 31, 2026", utc("America/New_York", "2027-01-01 04:59:59")},
		{"zone-new-york-dst-begins", "Paid: Mar 8, 2026", utc("America/New_York", "2026-03-08 06:59:59")},
		{"zone-new-york-dst-ends-second-hour", "Paid: Nov 1, 2026", utc("America/New_York", "2026-11-01 06:30:00")},
		{"zone-kathmandu-quarter-hour", "Paid: Nov 21, 2026", utc("Asia/Kathmandu", "2026-11-20 18:15:00")},
		{"zone-kolkata-half-hour", "Paid: Nov 20, 2026", utc("Asia/Kolkata", "2026-11-20 18:29:59")},
		{"zone-kiritimati-ahead", "Paid: Nov 21, 2026", utc("Pacific/Kiritimati", "2026-11-20 10:00:00")},
		{"zone-niue-behind", "Paid: Nov 19, 2026", utc("Pacific/Niue", "2026-11-20 10:59:59")},
		{"zone-lord-howe-half-hour-dst", "Paid: Oct 4, 2026", at("Australia/Lord_Howe", "2026-10-04 02:30:00")},
		{"zone-sao-paulo", "Paid: Feb 28, 2027", utc("America/Sao_Paulo", "2027-03-01 02:59:59")},
		{"zone-havana-dst-at-midnight", "Paid: Nov 1, 2026", utc("America/Havana", "2026-11-01 04:30:00")},
		{"zone-leap-day-tokyo", "Paid: Feb 29, 2028", utc("Asia/Tokyo", "2028-02-28 15:00:00")},
		{"zone-unknown-is-utc", "Paid: Nov 20, 2026", func(r *notifier.Receipt) { r.Published.Document.Owner.TimeZone = "Mars/Olympus" }},
		{"money-jpy", "", money(1234567, "jpy")},
		{"money-ugx", "", money(500000, "ugx")},
		{"money-bhd", "", money(1234560, "bhd")},
		{"money-isk", "", money(10000, "isk")},
		{"money-cent", "", money(50, "usd")},
		{"nothing-due", "", money(0, "eur")},
		{"refunded", "", func(r *notifier.Receipt) { r.Refund = notifier.RefundWhole }},
		{"refund-of-a-part", "", func(r *notifier.Receipt) { r.Refund = notifier.RefundSome }},
		{"test-mode", "", func(r *notifier.Receipt) { r.Paid.Mode = event.ModeTest }},
		{"recurring", "", func(r *notifier.Receipt) {
			r.Paid.PaymentIntent, r.Paid.Invoice = "", "in_1"
			r.Published.Document.LineItems = []quote.LineItem{{Name: "Hosting", Quantity: 1, UnitAmount: 123450, Recurring: &quote.Recurring{Interval: "month", IntervalCount: 1}}}
		}},
		{"with-page", "", func(r *notifier.Receipt) { r.PublicURL = "https://quotes.seller.example/" }},
		{"bare", "", func(r *notifier.Receipt) {
			r.Published.Document.Title, r.Published.Document.Owner.Name = " ", ""
			r.Published.Document.Deal, r.Published.Document.Contact = quote.Deal{}, quote.Contact{}
			r.Paid.PaymentIntent, r.Paid.Invoice, r.Paid.CheckoutSession = "", "", ""
		}},
		{"unicode", "", func(r *notifier.Receipt) {
			r.Published.Document.Title = "Angebot „Grüße“ für 日本語 – 50 % 👩‍👩‍👧"
			r.Published.Document.Owner.Name = "Zażółć Gęślą"
		}},
		{"markup", "", func(r *notifier.Receipt) {
			r.Published.Document.Title = `</td></table><script>alert(1)</script><a href="https://evil.example">pay here</a>`
			r.Published.Document.Contact.Company = `"><img src=x onerror=alert(1)>`
			r.Published.Document.Deal.Name = "{{.Amount}} &amp; <b>bold</b>\r\n.\r\nQUIT"
		}},
		{"resend", "", func(r *notifier.Receipt) { r.Key += ".1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sample()
			tt.alter(&r)
			c, err := notifier.Compose(testFrom, r)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && !strings.Contains(c.Text, "\n"+tt.want+"\n") {
				t.Errorf("the text does not have the line %q:\n%s", tt.want, c.Text)
			}
			again, err := notifier.Compose(testFrom, r)
			if err != nil || !bytes.Equal(again.Bytes, c.Bytes) {
				t.Errorf("composing twice gives other bytes (%v)", err)
			}
			golden(t, tt.name+".txt", []byte(c.Text))
			golden(t, tt.name+".html", []byte(c.HTML))
			golden(t, tt.name+".eml", c.Bytes)
			checkParts(t, c)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "mails", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got):\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// partsOf reads a mail as a mail client does: exactly one text and one HTML part.
func partsOf(t *testing.T, wire []byte) (text, htmlPart string) {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(wire))
	if err != nil {
		t.Fatalf("the mail does not parse: %v", err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type is %q, %v", kind, err)
	}
	var parts []string
	reader := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the parts do not parse: %v", err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p.Header.Get("Content-Type")+"\n"+string(b))
	}
	if len(parts) != 2 || !strings.HasPrefix(parts[0], "text/plain; charset=UTF-8\n") || !strings.HasPrefix(parts[1], "text/html; charset=UTF-8\n") {
		t.Fatalf("the mail has %d parts, want text and HTML:\n%q", len(parts), parts)
	}
	return strings.TrimPrefix(parts[0], "text/plain; charset=UTF-8\n"), strings.TrimPrefix(parts[1], "text/html; charset=UTF-8\n")
}

func TestTheHeaderIsFixedByTheQuote(t *testing.T) {
	c, err := notifier.Compose(testFrom, sample())
	if err != nil {
		t.Fatal(err)
	}
	msg, err := mail.ReadMessage(bytes.NewReader(c.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Date":           "Fri, 20 Nov 2026 10:02:11 +0000", // when it was paid, not when it was sent
		"Auto-Submitted": "auto-generated",
		"From":           `"Quittance" <quittance@seller.example>`,
		"To":             `"Anna Nowak" <owner@seller.example>`,
		"Message-Id":     "<" + c.MessageID + ">",
		"Subject":        "Paid: Website relaunch (1 234.50 PLN)",
	} {
		if got := msg.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	seen := map[string]string{}
	for name, alter := range map[string]func(*notifier.Receipt){
		"same":     func(*notifier.Receipt) {},
		"revision": func(r *notifier.Receipt) { r.Key = "main.q_1042.3.paid" },
		"quote":    func(r *notifier.Receipt) { r.Key = "main.q_1043.2.paid" },
		"seller":   func(r *notifier.Receipt) { r.Key = "other.q_1042.2.paid" },
		"resend":   func(r *notifier.Receipt) { r.Key = "main.q_1042.2.paid.1" },
		"mode":     func(r *notifier.Receipt) { r.Paid.Mode = event.ModeTest },
	} {
		r := sample()
		alter(&r)
		c, err := notifier.Compose(testFrom, r)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[c.MessageID]; taken {
			t.Errorf("%s and %s share a Message-ID", name, other)
		}
		seen[c.MessageID] = name
	}
}

// R35: nobody but the owner is written to, and the owner is told where Stripe's own receipts are switched on.
func TestTheMailGoesToTheOwnerAloneAndNamesStripesSettings(t *testing.T) {
	c, err := notifier.Compose(testFrom, sample())
	if err != nil {
		t.Fatal(err)
	}
	to, err := c.Msg.GetRecipients()
	if err != nil || len(to) != 1 || to[0] != "<owner@seller.example>" {
		t.Errorf("recipients = %v, %v, want the owner alone", to, err)
	}
	for _, part := range []string{c.Text, c.HTML} {
		if !strings.Contains(part, "https://dashboard.stripe.com/settings/emails") || !strings.Contains(part, "no mail to your customer") {
			t.Errorf("the part does not say where receipts are switched on:\n%s", part)
		}
	}
}

// Row 6 of stripe.md §2.5, and the quote whose discount leaves nothing to pay.
func TestTheMailSaysWhatElseIsKnown(t *testing.T) {
	r := sample()
	r.Refund, r.Paid.Mode = notifier.RefundWhole, event.ModeTest
	r.Paid.Amount, r.Published.Amount = 0, 0
	c, err := notifier.Compose(testFrom, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"refunded in full", "no payment was due", "test mode"} {
		if !strings.Contains(c.Text, want) || !strings.Contains(c.HTML, want) {
			t.Errorf("a part does not say %q:\n%s", want, c.Text)
		}
	}
}

func TestRecurringAndOneTimeQuotesReadTheSame(t *testing.T) { // R47
	once, recurring := sample(), sample()
	recurring.Published.Document.LineItems = []quote.LineItem{{Name: "x", Recurring: &quote.Recurring{Interval: "month", IntervalCount: 1}}}
	a, errA := notifier.Compose(testFrom, once)
	b, errB := notifier.Compose(testFrom, recurring)
	if errA != nil || errB != nil || !bytes.Equal(a.Bytes, b.Bytes) {
		t.Errorf("the mails differ (%v, %v)", errA, errB)
	}
}

// Whatever stands in a title, the mail's HTML has the same elements and attributes.
func FuzzMarkupInATitleAddsNoElement(f *testing.F) {
	for _, s := range []string{
		"Website", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</title><base href=//evil.example>", "<!--", "]]>", "&lt;b&gt;",
		"javascript:alert(1)", "</td></tr></table>", "\x00<b>", "<a href='x'>", "{{template \"html\"}}", "`${x}`", "<style>*{display:none}",
	} {
		f.Add(s)
	}
	skeleton := func(doc string) string {
		var b strings.Builder
		z := html.NewTokenizer(strings.NewReader(doc))
		for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
			if kind == html.TextToken {
				continue
			}
			token := z.Token()
			fmt.Fprintf(&b, "%s %s", kind, token.Data)
			for _, a := range token.Attr {
				fmt.Fprintf(&b, " %s=%q", a.Key, a.Val)
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	plain, err := notifier.Compose(testFrom, sample())
	if err != nil {
		f.Fatal(err)
	}
	want := skeleton(plain.HTML)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.TrimSpace(notifier.OneLine(s, 300)) == "" {
			return // an empty line is left out of the mail
		}
		r := sample()
		doc := &r.Published.Document
		doc.Title, doc.Deal.Name, doc.Contact.Company, doc.Contact.FirstName, doc.Owner.Name = s, s, s, s, s
		c, err := notifier.Compose(testFrom, r)
		if err != nil {
			t.Fatal(err)
		}
		if got := skeleton(c.HTML); got != want {
			t.Errorf("title %q changes the mail's elements:\n%s", s, cmp.Diff(want, got))
		}
	})
}

// The boundary follows from the quote's key, so somebody could write it into a title.
func TestATitleCannotEndAPart(t *testing.T) {
	c, err := notifier.Compose(testFrom, sample())
	if err != nil {
		t.Fatal(err)
	}
	msg, err := mail.ReadMessage(bytes.NewReader(c.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	// Long enough for quoted-printable to break the line right before the boundary.
	for pad := range 80 {
		r.Published.Document.Title = strings.Repeat("x", pad) + "--" + params["boundary"] + "--"
		c, err := notifier.Compose(testFrom, r)
		if err != nil {
			t.Fatal(err)
		}
		checkParts(t, c)
	}
}

func TestAnOwnersAddressOutsideThePolicyIsNotWrittenTo(t *testing.T) {
	r := sample()
	r.Published.Document.Owner.Email = "owner@seller.example, other@evil.example"
	if _, err := notifier.Compose(testFrom, r); err == nil || strings.Contains(err.Error(), "evil") {
		t.Errorf("Compose = %v, want a refusal without the address", err)
	}
}
