package purchase_test

import (
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/testsize"
)

// excluded are the currencies of R49 and R50.
const excluded = `afn all amd cop crc huf idr isk lbp mmk mro mur pkr rsd sos tzs uzs yer
	bhd byr clf eek ern ghs iqd irr jod kwd ltl lvl lyd omr sdg syp tnd vef zmk`

// charged are the currencies that Stripe charges (docs.stripe.com/currencies, as the sandbox has them).
const charged = `usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc
	cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd
	kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg
	qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf
	yer zar zmw`

// ends is how an amount of 123,400 minor units is written, by the kind of currency; others have two decimals.
var ends = map[string]string{
	"bif": "123 400", "clp": "123 400", "djf": "123 400", "gnf": "123 400", "jpy": "123 400", "kmf": "123 400", "krw": "123 400", "mga": "123 400",
	"pyg": "123 400", "rwf": "123 400", "vnd": "123 400", "vuv": "123 400", "xaf": "123 400", "xof": "123 400", "xpf": "123 400",
}

// page is what a customer sees, as text.
func (s *shop) page(q sale) string {
	s.tb.Helper()
	a, err := s.do("GET", s.quotes[0]+"/q/"+q.token, "", "Accept", "text/html")
	if err != nil || a.status != http.StatusOK {
		s.tb.Fatalf("page = %d %s, %v", a.status, a.body, err)
	}
	return strings.ReplaceAll(html.UnescapeString(string(a.body)), "\u00a0", " ")
}

// R53: in each currency that Stripe charges and the policy lets in, the amount shown is the amount sent and charged, with the
// currency's own decimals.
func TestEveryOtherCurrencyIsShownAndChargedInItsDecimals(t *testing.T) {
	t.Parallel()
	s := open(t)
	n := 0
	for currency := range strings.FieldsSeq(charged) {
		if strings.Contains(excluded, currency) {
			continue
		}
		n++
		q := s.offer(strings.NewReplacer(`"eur"`, `"`+currency+`"`, `12000`, `246800`, `{"percent":"10"}`, `{"percent":"50"}`).Replace(document))
		s.session(s.click(0, q))
		text := ends[currency]
		if text == "" {
			text = "1 234.00"
		}
		if page := s.page(q); !strings.Contains(page, text+" "+strings.ToUpper(currency)) {
			t.Errorf("%s: the page lacks %s %s", currency, text, strings.ToUpper(currency))
		}
		all := s.sessions(q)
		if len(all) != 1 || all[0].AmountTotal != 123400 || all[0].AmountSubtotal != 246800 || string(all[0].Currency) != currency {
			t.Errorf("%s: Stripe charges %d of %d %s", currency, all[0].AmountTotal, all[0].AmountSubtotal, all[0].Currency)
		}
		if got := s.api("GET", "/v1/quotes/"+q.id, ""); got.text("total", "due") != "123400" {
			t.Errorf("%s: due %s", currency, got.text("total", "due"))
		}
	}
	if n < 100 {
		t.Errorf("%d currencies, want more than a hundred", n)
	}
}

// R53: a currency that no policy excludes and Stripe does not know is refused in words.
func TestACurrencyThatStripeDoesNotKnowIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(strings.Replace(document, `"eur"`, `"xyz"`, 1))
	a := s.click(0, q)
	if a.status != http.StatusConflict || a.text("type") != "urn:quittance:problem:refused-by-stripe" || !strings.Contains(a.text("detail"), "xyz") {
		t.Errorf("click = %d %s", a.status, a.body)
	}
}

// R53: the same over the whole system, for a sample of random quotes (the proof of a hundred thousand is the sandbox's).
func TestRandomQuotesArePublishedShownAndChargedAlike(t *testing.T) {
	t.Parallel()
	s := open(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range testsize.Of(t, 20, 200, 3000) {
		d := quote.Document{}
		if err := json.Unmarshal([]byte(document), &d); err != nil {
			t.Fatal(err)
		}
		d.Currency = []string{"eur", "pln", "jpy", "ugx"}[r.IntN(4)]
		step := quote.Step(d.Currency)
		d.LineItems, d.Discount = nil, nil
		for i := range 1 + r.IntN(5) {
			item := quote.LineItem{Name: "Line " + strconv.Itoa(i), Quantity: 1 + r.Int64N(9), UnitAmount: (50 + r.Int64N(9_000)) * step}
			item.DiscountAmount = r.Int64N(item.Quantity*item.UnitAmount/2/step) * step
			if r.IntN(4) == 0 {
				item.Recurring = &quote.Recurring{Interval: "month", IntervalCount: 1}
			}
			d.LineItems = append(d.LineItems, item)
		}
		if r.IntN(2) == 0 && step == 1 {
			d.Discount = &quote.Discount{Percent: fmt.Sprintf("%d.%d", 1+r.IntN(60), 1+r.IntN(9))}
		}
		if r.IntN(2) == 0 {
			d.Tax = &quote.Tax{Name: "VAT", Amount: r.Int64N(5_000) * step}
		}
		due, err := d.DueAtCheckout()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		q := s.offer(string(text))
		s.session(s.click(0, q))
		session := s.sessions(q)[0]
		if session.AmountTotal != due.Amount || !strings.Contains(s.page(q), due.String()) {
			t.Fatalf("seed %d: %s is due %s, charged %d", seed, text, due, session.AmountTotal)
		}
	}
}

// R22: a one-time payment, made on the seller's account, gives a receipt; there is no invoice.
// R4, R21
func TestAOneTimePaymentHasAReceiptOnTheSellersAccount(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(document)
	id := s.session(s.click(0, q))
	s.act(id, "pay")
	s.stands(q, "paid []")
	session, err := s.stripe.CheckoutSessions.Get(id, &stripe.CheckoutSessionParams{Expand: []*string{stripe.String("payment_intent.latest_charge")}})
	if err != nil {
		t.Fatal(err)
	}
	if c := session.PaymentIntent.LatestCharge; c == nil || c.ReceiptURL == "" || c.Amount != due || session.Invoice != nil || session.Subscription != nil {
		t.Errorf("session = %+v, charge %+v", session, c)
	}
	if _, err := s.sdk("").CheckoutSessions.Get(id, nil); err == nil {
		t.Error("the platform's own account has the session too")
	}
}

// R23, R39, R40, R42, R43, R45: the invoice has the tax once; the subscription starts now, has no end, and nothing of ours ends it.
// R46: a renewal changes nothing.
func TestARecurringQuoteBecomesAnEndlessSubscriptionWithInvoices(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(strings.Replace(subscription(document), `"discount":{"percent":"10"}`, `"discount":{"percent":"10"},"tax":{"name":"VAT","amount":2300}`, 1))
	id := s.session(s.click(0, q))
	before := s.now().Unix()
	s.act(id, "pay")
	s.stands(q, "paid []")
	s.quiet()
	paid := s.api("GET", "/v1/quotes/"+q.id+"/card", "")
	session, err := s.stripe.CheckoutSessions.Get(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func() *stripe.Subscription {
		sub, err := s.stripe.Subscriptions.Get(session.Subscription.ID, &stripe.SubscriptionParams{Expand: []*string{stripe.String("latest_invoice")}})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	sub := read()
	if sub.CancelAt != 0 || sub.CancelAtPeriodEnd || sub.TrialEnd != 0 || sub.Status != stripe.SubscriptionStatusActive ||
		sub.BillingCycleAnchor < before || sub.BillingCycleAnchor > s.now().Unix()+1 {
		t.Errorf("subscription = %+v", sub)
	}
	if first := sub.LatestInvoice; first.AmountPaid != due+2300 || first.Number == "" || first.Status != stripe.InvoiceStatusPaid || len(first.Lines.Data) != 2 {
		t.Errorf("first invoice = %d, %d lines", first.AmountPaid, len(first.Lines.Data))
	}
	s.advance(32 * 24 * 3600e9)
	s.eventually("it is renewed", func() error {
		if i := read().LatestInvoice; i.ID == sub.LatestInvoice.ID || i.AmountPaid != 12000 { // no tax, no discount
			return fmt.Errorf("latest invoice = %s, %d", i.ID, i.AmountPaid)
		}
		return nil
	})
	s.quiet()
	if again := s.api("GET", "/v1/quotes/"+q.id+"/card", ""); string(again.body) != string(paid.body) {
		t.Errorf("card after the renewal = %s, before %s", again.body, paid.body)
	}
	s.paidOnce(q)
	if got := read(); got.Status != stripe.SubscriptionStatusActive || got.CancelAt != 0 || got.CancelAtPeriodEnd {
		t.Errorf("subscription after the renewal = %+v", got)
	}
}

// R25: we leave the coupon as it was made; who edits or deletes it in Stripe raises a warning on the quote.
func TestACouponThatIsChangedAtStripeWarnsOnTheQuote(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, change := range map[string]func(id string) error{
		"edited": func(id string) error {
			_, err := s.stripe.Coupons.Update(id, &stripe.CouponParams{Name: stripe.String("Mine")})
			return err
		},
		"deleted": func(id string) error { _, err := s.stripe.Coupons.Del(id, nil); return err },
	} {
		q := s.offer(document)
		s.session(s.click(0, q))
		id := "quittance_" + q.id + "_1"
		coupon, err := s.stripe.Coupons.Get(id, nil)
		if err != nil || coupon.Metadata["managed_by"] != "quittance" || coupon.AmountOff != 1200 {
			t.Fatalf("coupon = %+v, %v", coupon, err)
		}
		s.quiet()
		if got := s.standing(q); got != "published []" {
			t.Errorf("before it is %s the quote stands %s", name, got)
		}
		if err := change(id); err != nil {
			t.Fatal(err)
		}
		s.stands(q, "published [coupon_changed]")
	}
}

// R29: nothing is left at Stripe of a payment that failed or was given up.
func TestAPaymentThatFailsMakesNoCustomer(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(document)
	id := s.session(s.click(0, q))
	s.act(id, "decline")
	s.act(id, "challenge_fail")
	s.stands(q, "published [attempt_failed]")
	s.advance(25 * 3600e9) // the session ends by itself
	s.quiet()
	if c := s.customers(address); len(c) != 0 {
		t.Errorf("customers = %+v", c)
	}
}

// R5: what another integration does on the same account touches no quote of ours.
func TestWhatOthersDoOnTheAccountIsNotOurs(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(document)
	s.session(s.click(0, q))
	foreign, err := s.stripe.CheckoutSessions.New(&stripe.CheckoutSessionParams{
		Mode: stripe.String("payment"), SuccessURL: stripe.String("https://shop.example/x"), ClientReferenceID: stripe.String(q.id),
		LineItems: []*stripe.CheckoutSessionLineItemParams{{Quantity: stripe.Int64(1), PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: stripe.String("eur"), UnitAmount: stripe.Int64(due), ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String("Shoes")},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.act(foreign.ID, "pay")
	s.quiet()
	if got := s.standing(q); got != "published []" {
		t.Errorf("the quote stands %s", got)
	}
}
