package quotes_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
)

// details fill in the first step.
var details = []string{
	"title", "Website", "deal.id", "deal_42", "deal.name", "Relaunch", "currency", "PLN", "expires_at", "2026-12-31",
	"owner.name", "Olga", "owner.email", "olga@seller.example", "owner.time_zone", "Europe/Warsaw",
	"contact.email", "carl@customer.example", "contact.first_name", "Carl", "contact.last_name", "Customer", "contact.company", "Customer & Sons",
}

// lines fill in the second step.
var lines = []string{
	"line_items[0].name", "Design", "line_items[0].quantity", "2", "line_items[0].unit_amount", "617.25", "line_items[0].discount_amount", "4,50", "line_items[0].interval", "once",
	"line_items[1].name", "Hosting", "line_items[1].quantity", "1", "line_items[1].unit_amount", " 99 PLN", "line_items[1].interval", "month", "line_items[1].interval_count", "",
	"discount.kind", "percent", "discount.value", "12,5 %", "discount.duration", "once", "tax.name", "VAT", "tax.amount", "23",
}

// begin makes a quote by the first step and returns its id.
func (b *browser) begin(values ...string) string {
	b.t.Helper()
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindSubmatch(b.open("/seller/new").want(b.t, http.StatusOK).body)
	if key == nil {
		b.t.Fatal("the form has no key")
	}
	a := b.post("/seller/new", append(append([]string{"key", string(key[1])}, details...), values...)...)
	to := a.want(b.t, http.StatusSeeOther).header.Get("Location")
	id, step, ok := strings.Cut(strings.TrimPrefix(to, "/seller/quotes/"), "/")
	if !ok || step != "lines" {
		b.t.Fatalf("leads to %s", to)
	}
	return id
}

// save sends a step with the version of its form.
func (b *browser) save(id, step string, values ...string) answer {
	b.t.Helper()
	return b.post("/seller/quotes/"+id+"/"+step, append([]string{"version", b.version(id)}, values...)...)
}

func (b *browser) version(id string) string {
	b.t.Helper()
	return fmt.Sprint(b.f.call(b.t, "GET", "/v1/quotes/"+id, "").want(b.t, http.StatusOK).field(b.t, "version"))
}

// document is the quote's, as the API's own fields write it.
func (f *fixture) document(t *testing.T, id string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK).body, &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "status", "version", "revision", "url", "flags", "total", "created_at", "updated_at"} {
		delete(v, name)
	}
	return v
}

// text is the page without its tags.
func (a answer) plain() string {
	return strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(a.body), " "))), " ")
}

func (a answer) says(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(a.plain(), want) {
			t.Errorf("page does not say %q: %s", want, a.plain())
		}
	}
	return a
}

// R12, R13, R16
func TestASellerMakesAQuoteStepByStep(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin()
	b.save(id, "lines", lines...).leads(t, "/seller/quotes/"+id+"/payment")
	b.open("/seller/quotes/"+id+"/payment").want(t, http.StatusOK).shows(t, `name="payment.stripe" value="on"`).hides(t, `name="payment.stripe" value="on" checked`)
	b.open("/seller/quotes/"+id+"/review").want(t, http.StatusOK).says(t, "It has no Check out")
	b.save(id, "payment", "payment.stripe", "on").leads(t, "/seller/quotes/"+id+"/review")

	// What the steps made is what the API's own example makes.
	var want map[string]any
	if err := json.Unmarshal([]byte(strings.Replace(document, `"percent":"12.5"`, `"percent":"12.5","duration":"once"`, 1)), &want); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(f.document(t, id))
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) {
		t.Errorf("document =\n%s\nwant\n%s", got, wanted)
	}

	review := b.open("/seller/quotes/"+id+"/review").want(t, http.StatusOK)
	review.says(t, "Publish as revision 1", "1 185.87 PLN", "then 99.00 PLN every month", "with Check out at the top and at the bottom", "Dec 31, 2026, 23:59 CET")
	review.hides(t, "Not ready to be published")
	b.save(id, "review", "key", "k").leads(t, "/seller/quotes/"+id+"?done=published")
	f.project(t, id)
	link := f.call(t, "GET", "/v1/quotes/"+id, "").text(t, "url")
	b.open("/seller/quotes/"+id+"?done=published").says(t, "Send the link to your customer", "Awaiting payment", "Revision 1").shows(t, `value="`+link+`"`)

	// Each step shows what is stored, and saving it unchanged makes no version.
	b.open("/seller/quotes/"+id+"/recall").want(t, http.StatusOK)
	b.post("/seller/quotes/"+id+"/recall", "key", "r").leads(t, "/seller/quotes/"+id+"?done=recalled")
	before := b.version(id)
	for _, step := range []string{"details", "lines", "payment"} {
		page := b.open("/seller/quotes/"+id+"/"+step).want(t, http.StatusOK)
		b.send("POST", "/seller/quotes/"+id+"/"+step, inputs(t, page)).want(t, http.StatusSeeOther)
	}
	if after := b.version(id); after != before {
		t.Errorf("saving what is stored made version %s of %s", after, before)
	}
}

var (
	inputTag  = regexp.MustCompile(`<input [^>]*>`)
	selectTag = regexp.MustCompile(`(?s)<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>`)
	chosenTag = regexp.MustCompile(`<option value="([^"]*)" selected>`)
	attribute = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// inputs are what a browser would send of the editor's form.
func inputs(t *testing.T, page answer) url.Values {
	t.Helper()
	_, body, ok := strings.Cut(string(page.body), `<form class="editor"`)
	if !ok {
		t.Fatalf("no form in %s", page.body)
	}
	form := url.Values{}
	for _, tag := range inputTag.FindAllString(body, -1) {
		attributes := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
			attributes[m[1]] = html.UnescapeString(m[2])
		}
		choice := attributes["type"] == "radio" || attributes["type"] == "checkbox"
		if attributes["name"] != "" && (!choice || strings.Contains(tag, " checked")) {
			form.Set(attributes["name"], attributes["value"])
		}
	}
	for _, m := range selectTag.FindAllStringSubmatch(body, -1) {
		if chosen := chosenTag.FindStringSubmatch(m[2]); chosen != nil {
			form.Set(html.UnescapeString(m[1]), chosen[1])
		}
	}
	if len(form) < 3 {
		t.Fatalf("form = %v", form)
	}
	return form
}

func TestRefusedInputIsShownAgainAsItWasTyped(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	bad := b.post("/seller/new", "key", "k", "title", `<"Website">`, "deal.id", "", "currency", "zloty", "owner.email", "olga", "owner.time_zone", "Mars/Base", "contact.email", "c@c.example", "expires_at", "31.12.2026")
	bad.want(t, http.StatusUnprocessableEntity).shows(t, `value="&lt;&#34;Website&#34;&gt;"`, `value="zloty"`, `value="olga"`, `value="31.12.2026"`,
		`id="summary" tabindex="-1" role="alert" autofocus`, `<a href="#f-deal-id">`, `aria-describedby="f-deal-id-fault f-deal-id-hint" aria-invalid="true"`)
	bad.says(t, "Deal ID is required.", "Currency must be a three-letter code", "Owner's e-mail must be an e-mail address", "Time zone must be a time zone", "Valid until must be")
	if n := strings.Count(string(bad.body), `aria-invalid="true"`); n != 5 {
		t.Errorf("%d inputs are marked, want 5", n)
	}

	id := b.begin()
	form := []string{
		"line_items[0].name", "Design", "line_items[0].quantity", "two", "line_items[0].unit_amount", "1,234", "line_items[0].interval", "once", "line_items[0].term", "2 years",
		"line_items[1].name", "", "line_items[1].quantity", "1", "line_items[1].unit_amount", "-5", "line_items[1].discount_amount", "12.345", "line_items[1].interval", "month", "line_items[1].interval_count", "0",
		"discount.kind", "percent", "discount.value", "101", "tax.name", "", "tax.amount", "5 EUR",
	}
	bad = b.save(id, "lines", form...).want(t, http.StatusUnprocessableEntity)
	bad.says(t, "Line 1: Quantity must be a whole number", "Line 1: Unit price: 1,234 can be read in two ways. Write 1234.00", "Only a recurring line has a contract term",
		"Line 2: Name is required", "Enter an amount of zero or more", "12.345 can be read in two ways", "Every must be 1 or more",
		"Amount or percentage must be a decimal string above 0", "The amounts of this quote are in PLN", "Name of the tax is required")
	for i := 0; i < len(form); i += 2 {
		if form[i+1] != "" && !strings.Contains(string(bad.body), `value="`+form[i+1]+`"`) {
			t.Errorf("%s is not shown again as %q", form[i], form[i+1])
		}
	}
	if got := fmt.Sprint(f.document(t, id)["line_items"]); got != "[]" || b.version(id) != "1" {
		t.Errorf("refused lines were stored: %s", got)
	}
	polish := b.send("POST", "/seller/quotes/"+id+"/lines?lang=pl", url.Values{
		"csrf": {b.csrf()}, "version": {"1"}, "line_items[0].name": {"X"}, "line_items[0].quantity": {"0"}, "line_items[0].unit_amount": {"1"},
	}).want(t, http.StatusUnprocessableEntity)
	polish.says(t, "Liczba jest poza zakresem.", "Pozycja 1: Ilość: Liczba jest poza zakresem. Quantity must be 1 or more.").shows(t, `lang="pl"`, `lang="en"`)
}

// R53
func TestTypedAmountsAreInTheQuotesCurrency(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	for currency, want := range map[string]string{"JPY": "[1234 0]", "KWD": "[1234000 500]", "EUR": "[123400 50]", "ISK": "[123400 50]"} {
		id := b.begin("currency", currency)
		tax := ".5"
		if currency == "JPY" {
			b.save(id, "lines", "line_items[0].name", "L", "line_items[0].quantity", "1", "line_items[0].unit_amount", "1234", "tax.name", "T", "tax.amount", tax).
				want(t, http.StatusUnprocessableEntity).says(t, "JPY has no decimals.")
			tax = "0"
		}
		b.save(id, "lines", "line_items[0].name", "L", "line_items[0].quantity", "1", "line_items[0].unit_amount", "1 234", "tax.name", "T", "tax.amount", tax).want(t, http.StatusSeeOther)
		total := f.call(t, "GET", "/v1/quotes/"+id, "")
		if got := fmt.Sprintf("[%.0f %.0f]", total.field(t, "total.subtotal"), total.field(t, "total.tax")); got != want {
			t.Errorf("%s: subtotal and tax = %s, want %s", currency, got, want)
		}
	}
	// Another currency keeps what is written.
	id := b.begin("currency", "USD")
	b.save(id, "lines", "line_items[0].name", "L", "line_items[0].quantity", "1", "line_items[0].unit_amount", "12.00").want(t, http.StatusSeeOther)
	b.save(id, "details", append(slices.Clone(details), "currency", "jpy")...).leads(t, "/seller/quotes/"+id+"/lines")
	if got := fmt.Sprint(f.call(t, "GET", "/v1/quotes/"+id, "").field(t, "total.due")); got != "12" {
		t.Errorf("12.00 USD became %s JPY", got)
	}
	b.save(id, "details", append(slices.Clone(details), "currency", "usd")...).want(t, http.StatusSeeOther)
	b.save(id, "lines", "line_items[0].name", "L", "line_items[0].quantity", "1", "line_items[0].unit_amount", "12.50").want(t, http.StatusSeeOther)
	b.save(id, "details", append(slices.Clone(details), "currency", "jpy")...).want(t, http.StatusUnprocessableEntity).says(t, "has more decimals than JPY has")
}

func TestRowsAreAddedAndRemovedWithoutSaving(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin()
	page := b.open("/seller/quotes/"+id+"/lines").want(t, http.StatusOK).says(t, "Line 1", "Prices are in PLN")
	form := inputs(t, page)
	form.Set("line_items[0].name", "First")
	form.Set("do", "add")
	page = b.send("POST", "/seller/quotes/"+id+"/lines", form).want(t, http.StatusOK).says(t, "Line 2").shows(t, `value="First"`, `data-focus="f-line_items-1-name"`)
	form = inputs(t, page)
	form.Set("line_items[1].name", "Second")
	form.Set("line_items[1].unit_amount", "7")
	form.Set("do", "add")
	form = inputs(t, b.send("POST", "/seller/quotes/"+id+"/lines", form).says(t, "Line 3"))
	form.Set("do", "remove 0")
	page = b.send("POST", "/seller/quotes/"+id+"/lines", form).want(t, http.StatusOK).shows(t, `name="line_items[0].name" type="text" value="Second"`).hides(t, "First", "Line 3")
	if b.version(id) != "1" {
		t.Fatal("rows were saved")
	}
	form = inputs(t, page) // with an empty row at the end, which is passed over
	form.Set("line_items[0].quantity", "3")
	b.send("POST", "/seller/quotes/"+id+"/lines", form).leads(t, "/seller/quotes/"+id+"/payment")
	if got := fmt.Sprint(f.document(t, id)["line_items"]); got != "[map[name:Second quantity:3 unit_amount:700]]" {
		t.Errorf("lines = %s", got)
	}
	for _, do := range []string{"remove 7", "remove -1", "remove x"} {
		b.save(id, "lines", "do", do, "line_items[0].name", "Stays").want(t, http.StatusOK).shows(t, `value="Stays"`)
	}
}

func TestTwoTabsDoNotOverwriteEachOther(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin()
	one, two := inputs(t, b.open("/seller/quotes/"+id+"/details")), inputs(t, b.open("/seller/quotes/"+id+"/details"))
	one.Set("title", "One")
	b.send("POST", "/seller/quotes/"+id+"/details", one).want(t, http.StatusSeeOther)
	two.Set("title", "Two")
	two.Set("deal.name", "")
	conflict := b.send("POST", "/seller/quotes/"+id+"/details", two).want(t, http.StatusConflict)
	conflict.says(t, "Somebody else saved this quote meanwhile", "Stored now: One", "Stored now: Relaunch", "Load the stored version").shows(t, `value="Two"`, `name="version" value="2"`, `aria-describedby="f-title-hint f-title-saved"`)
	if n := strings.Count(conflict.plain(), "Stored now:"); n != 2 {
		t.Errorf("%d stored values are shown, want 2", n)
	}
	if got := f.document(t, id)["title"]; got != "One" {
		t.Fatalf("the second tab overwrote the first: %v", got)
	}
	b.send("POST", "/seller/quotes/"+id+"/details", inputs(t, conflict)).want(t, http.StatusSeeOther) // on purpose now
	if got := f.document(t, id)["title"]; got != "Two" {
		t.Errorf("title = %v", got)
	}
	// What was reviewed is what is published.
	b.save(id, "lines", lines...).want(t, http.StatusSeeOther)
	stale := b.post("/seller/quotes/"+id+"/review", "version", "1", "key", "k").want(t, http.StatusConflict)
	stale.says(t, "Somebody else saved this quote meanwhile", "Look at it again").shows(t, `name="version" value="4"`)
	if got := f.call(t, "GET", "/v1/quotes/"+id, "").text(t, "status"); got != "draft" {
		t.Errorf("status = %s", got)
	}
	b.post("/seller/quotes/"+id+"/details", details...).want(t, http.StatusConflict) // a form without a version is of no version
}

func TestAFormThatIsSentTwiceActsOnce(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	form := append([]string{"key", "same"}, details...)
	first := b.post("/seller/new", form...).want(t, http.StatusSeeOther).header.Get("Location")
	b.post("/seller/new", form...).leads(t, first)
	b.post("/seller/new", append(form, "title", "Changed after going back")...).leads(t, strings.Replace(first, "/lines", "/details", 1))
	id := strings.Split(first, "/")[3]
	if got := f.document(t, id)["title"]; got != "Website" {
		t.Errorf("title = %v", got)
	}
	b.save(id, "lines", lines...).want(t, http.StatusSeeOther)
	publish := []string{"version", b.version(id), "key", "p"}
	b.post("/seller/quotes/"+id+"/review", publish...).want(t, http.StatusSeeOther)
	b.post("/seller/quotes/"+id+"/review", publish...).want(t, http.StatusSeeOther)
	b.post("/seller/quotes/"+id+"/recall", "key", "r").want(t, http.StatusSeeOther)
	b.post("/seller/quotes/"+id+"/recall", "key", "r").want(t, http.StatusSeeOther)
	// The tab that published once does not publish what was recalled.
	b.post("/seller/quotes/"+id+"/review", publish...).want(t, http.StatusSeeOther)
	want := []string{"drafted.1", "drafted.2", "published.1", "recalled.1"}
	var got []string
	for _, subject := range f.log(t, id) {
		parts := strings.Split(subject, ".")
		got = append(got, parts[1]+"."+parts[4])
	}
	if !slices.Equal(got, want) {
		t.Errorf("log = %v, want %v", got, want)
	}
}

// R17, R19, R37, R38, R44, R48, R49
func TestTheReviewShowsEveryReasonWithTheWayToItsField(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin("currency", "EUR", "expires_at", "2026-11-01")
	b.save(id, "payment", "payment.stripe", "on").want(t, http.StatusSeeOther)
	b.open("/seller/quotes/"+id+"/review").says(t, "The quote has no line items; add one.").shows(t, `lines#f-line_items"`)
	b.save(id, "lines", "line_items[0].name", "Gift", "line_items[0].quantity", "1", "line_items[0].unit_amount", "0",
		"line_items[1].name", "A", "line_items[1].quantity", "1", "line_items[1].unit_amount", "900", "line_items[1].interval", "month",
		"line_items[2].name", "B", "line_items[2].quantity", "1", "line_items[2].unit_amount", "900", "line_items[2].interval", "year", "line_items[2].term", "24 months",
	).want(t, http.StatusSeeOther)
	b.save(id, "details", append(slices.Clone(details), "currency", "HUF", "expires_at", "2026-11-01")...).want(t, http.StatusSeeOther)

	check := func(page answer) {
		t.Helper()
		page.says(t, "Not ready to be published", "Line 1 (Gift) has a net price of zero", "A quote in HUF cannot be paid by Stripe: ", "Line 3 (B) is billed every year",
			"Line 3 (B) states a contract term (24 months)", "The quote's expiry has passed")
		for _, link := range []string{"lines#f-line_items-0-name", "details#f-currency", "lines#f-line_items-2-interval", "lines#f-line_items-2-term", "details#f-expires_at"} {
			page.shows(t, `href="/seller/quotes/`+id+"/"+link+`"`)
			step, anchor, _ := strings.Cut(link, "#")
			b.open("/seller/quotes/"+id+"/"+step).shows(t, `id="`+anchor+`"`)
		}
		page.shows(t, `type="submit" disabled`)
	}
	check(b.open("/seller/quotes/"+id+"/review").want(t, http.StatusOK))
	check(b.save(id, "review", "key", "k").want(t, http.StatusUnprocessableEntity))
	if got := f.call(t, "GET", "/v1/quotes/"+id, "").text(t, "status"); got != "draft" {
		t.Errorf("status = %s", got)
	}
	b.send("GET", "/seller/quotes/"+id+"/review?lang=pl", nil).says(t, "Pozycja ma cenę netto zero.", "Line 1 (Gift) has a net price of zero", "To tłumaczenie jest udogodnieniem")
}

// R13, R14, R51
func TestTheSwitchTurnsOnForAConnectedActivatedAccountOnly(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin()
	if got := fmt.Sprint(f.document(t, id)["payment"]); got != "map[stripe:false]" {
		t.Errorf("a new quote has payment %s, want it off", got)
	}
	n := 0
	store := func(name string, data any) { n++; f.sellerEvent(t, n, name, data) }
	refused := func(want, wayOut string) {
		t.Helper()
		b.open("/seller/quotes/"+id+"/payment").want(t, http.StatusOK).says(t, "The switch cannot be turned on yet:", want, wayOut).shows(t, `value="on" disabled`)
		b.save(id, "payment", "payment.stripe", "on").want(t, http.StatusUnprocessableEntity).says(t, want).shows(t, `href="#f-payment-stripe"`)
		if got := fmt.Sprint(f.document(t, id)["payment"]); got != "map[stripe:false]" {
			t.Fatalf("the switch went on: %s", got)
		}
	}
	store(event.NamePlanSet, seller.PlanSet{Seller: "main", Plan: "free"})
	refused("Stripe on quotes belongs to the plans", "Go to Connected apps")
	store(event.NamePlanSet, seller.PlanSet{Seller: "main", Plan: "starter"})
	store(event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	f.accountFact(t, event.NameAccountUpdated, "acct_1", "evt_1", 1, false)
	refused("acct_1 is not activated", "Go to Connected apps")
	f.accountFact(t, event.NameAccountUpdated, "acct_1", "evt_2", 2, true)
	b.save(id, "details", append(slices.Clone(details), "currency", "huf")...).want(t, http.StatusSeeOther)
	refused("A quote in HUF cannot be paid by Stripe", "Change the currency")
	b.save(id, "details", append(slices.Clone(details), "currency", "eur")...).want(t, http.StatusSeeOther)
	b.open("/seller/quotes/"+id+"/payment").says(t, "the money goes to your Stripe account acct_1").hides(t, "disabled")
	b.save(id, "payment", "payment.stripe", "on").want(t, http.StatusSeeOther)

	// One that is on stays on; what is wrong then is said, here and on the review.
	f.accountFact(t, event.NameAccountDeauthorized, "acct_1", "evt_3", 3, false)
	b.open("/seller/quotes/"+id+"/payment").says(t, "the quote cannot be published like this", "withdrawn its authorization").hides(t, "disabled")
	b.save(id, "payment", "payment.stripe", "on", "payment.three_d_secure", "yes").want(t, http.StatusSeeOther)
	b.open("/seller/quotes/"+id+"/review").says(t, "withdrawn its authorization").shows(t, `payment#f-payment-stripe"`)
	b.save(id, "payment").want(t, http.StatusSeeOther) // off again
	if got := fmt.Sprint(f.document(t, id)["payment"]); got != "map[stripe:false]" {
		t.Errorf("payment = %s", got)
	}
}

// R15, R41
func TestAlertAndAdviceWarnAndNeverBlock(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := b.begin()
	b.save(id, "lines", lines...).want(t, http.StatusSeeOther)
	b.save(id, "payment", "payment.stripe", "on", "payment.three_d_secure", "no").leads(t, "/seller/quotes/"+id+"/review")
	page := b.open("/seller/quotes/"+id+"/payment").says(t, "Alert: The quote is not 3-D Secure compatible; some payments may fail under PSD2.", "put the tax into the prices of the recurring lines").
		shows(t, `id="f-payment-three_d_secure"`, "secure-alert stored")
	if form := inputs(t, page); form.Get("payment.three_d_secure") != "no" || form.Get("payment.stripe") != "on" {
		t.Errorf("form = %v", form)
	}
	review := b.open("/seller/quotes/"+id+"/review").says(t, "nothing here keeps the quote from being published", "some payments may fail under PSD2", "put the tax into the prices")
	review.shows(t, `payment#f-payment-three_d_secure"`, `lines#f-tax-amount"`).hides(t, "disabled")
	b.save(id, "review", "key", "k").want(t, http.StatusSeeOther)
}

// R26, R27
func TestAPublishedQuoteIsEditedByWayOfARecall(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := f.create(t)
	stale := inputs(t, b.open("/seller/quotes/"+id+"/lines"))
	f.publish(t, id)
	f.project(t, id)
	for _, step := range []string{"details", "lines", "payment", "review"} {
		b.open("/seller/quotes/"+id+"/"+step).want(t, http.StatusOK).says(t, "This quote cannot be edited now", "Recall it, edit it, and publish it again").
			shows(t, `href="/seller/quotes/`+id+`/recall"`).hides(t, "<form class=\"editor\"")
	}
	stale.Set("discount.value", "20")
	b.send("POST", "/seller/quotes/"+id+"/lines", stale).want(t, http.StatusConflict).says(t, "Recall it, edit it, and publish it again")
	b.open("/seller/quotes/"+id).shows(t, "/recall").hides(t, ">Edit<")

	b.open("/seller/quotes/"+id+"/recall").want(t, http.StatusOK).says(t, "Recall this quote?", "revision 1", "Keep it published")
	b.post("/seller/quotes/"+id+"/recall", "key", "r").leads(t, "/seller/quotes/"+id+"?done=recalled")
	f.project(t, id)
	b.open("/seller/quotes/"+id+"/recall").leads(t, "/seller/quotes/"+id)
	b.open("/seller/quotes/"+id+"?done=recalled").says(t, "edit the quote and publish it again").shows(t, ">Edit<")
	b.send("POST", "/seller/quotes/"+id+"/lines", stale).want(t, http.StatusSeeOther)
	b.open("/seller/quotes/"+id+"/review").says(t, "Publish as revision 2")
	b.save(id, "review", "key", "k").want(t, http.StatusSeeOther)
	b.open("/seller/quotes/"+id).says(t, "Revision 2 Offered", "Revision 1 Recalled", "1 086.20 PLN")

	// A settled payment: nothing is taken back, and the page says why.
	p := paid(id, 2, noon)
	p.Amount = 108620
	f.fact(t, id, event.NamePaid, "2", p)
	b.open("/seller/quotes/"+id+"/recall").want(t, http.StatusOK).says(t, "This quote stays as it is", "A payment of this quote is settled").hides(t, "<form method=\"post\" action=\"/seller/quotes/")
	b.post("/seller/quotes/"+id+"/recall", "key", "again").want(t, http.StatusConflict).says(t, "A payment of this quote is settled")
	b.open("/seller/quotes/"+id+"/details").says(t, "A payment of this quote is settled")
}
