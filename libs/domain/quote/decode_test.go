package quote_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
)

const full = `{"title":"Website","deal":{"id":"deal_42","name":"Relaunch"},"currency":"pln",
 "line_items":[{"name":"Design","quantity":2,"unit_amount":61725,"discount_amount":450},
  {"name":"Hosting","quantity":1,"unit_amount":9900,"recurring":{"interval":"month","interval_count":3}}],
 "discount":{"percent":"12.5","duration":"once"},"tax":{"name":"VAT","amount":2300},"expires_at":"2026-12-31",
 "owner":{"name":"Olga","email":"olga@seller.example","time_zone":"Europe/Warsaw"},
 "contact":{"email":"carl@customer.example","first_name":"Carl","last_name":"Customer","company":"Customer & Sons"},
 "payment":{"stripe":true,"three_d_secure":false}}`

const least = `{"title":"T","deal":{"id":"d"},"currency":"usd","line_items":[{"name":"L","quantity":1,"unit_amount":0}],
 "owner":{"email":"o@s.example","time_zone":"UTC"},"contact":{"email":"c@s.example"}}`

func TestDocumentSurvivesItsJSON(t *testing.T) {
	for _, in := range []string{full, least} {
		d, reasons := quote.Decode([]byte(in))
		if reasons != nil {
			t.Fatalf("Decode(%s) = %+v", in, reasons)
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, reasons := quote.Decode(out)
		if reasons != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("Decode(%s) = %+v, %+v, want %+v", out, again, reasons, d)
		}
	}
	d, _ := quote.Decode([]byte(full))
	if due, err := d.DueAtCheckout(); err != nil || due.String() != "1 185.87 PLN" {
		t.Errorf("DueAtCheckout() = %v, %v, want 1 185.87 PLN", due, err)
	}
}

// with gives the full document with one field changed, removed by null.
func with(t *testing.T, patch string) ([]byte, []quote.Reason) {
	t.Helper()
	d, reasons := quote.Decode([]byte(full))
	if reasons != nil {
		t.Fatal(reasons)
	}
	d, reasons = d.Patch([]byte(patch))
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return out, reasons
}

func TestEveryStructuralFaultIsNamedByFieldAndCode(t *testing.T) {
	long := strings.Repeat("x", 300)
	many := strings.Repeat(`{"name":"L","quantity":1,"unit_amount":1},`, 100) + `{"name":"L","quantity":1,"unit_amount":1}`
	item := func(s string) string { return `{"line_items":[` + s + `]}` }
	for patch, want := range map[string]string{
		`{"title":null}`:                                    "missing_field title",
		`{"title":"  "}`:                                    "missing_field title",
		`{"title":7}`:                                       "wrong_type title",
		`{"title":"` + long + `"}`:                          "invalid_text title",
		`{"title":"a\nBcc: x@y.example"}`:                   "invalid_text title",
		`{"title":"a\u2028b"}`:                              "invalid_text title",
		`{"title":"\ud800"}`:                                "invalid_text title",
		`{"titel":"x"}`:                                     "unknown_field titel",
		`{"Title":"x"}`:                                     "unknown_field Title",
		`{"deal":null}`:                                     "missing_field deal",
		`{"deal":"deal_1"}`:                                 "wrong_type deal",
		`{"deal":{"id":null}}`:                              "missing_field deal.id",
		`{"deal":{"stage":"won"}}`:                          "unknown_field deal.stage",
		`{"currency":"PLN"}`:                                "invalid_currency currency",
		`{"currency":"zloty"}`:                              "invalid_currency currency",
		`{"currency":null}`:                                 "missing_field currency",
		`{"line_items":null}`:                               "missing_field line_items",
		`{"line_items":{}}`:                                 "wrong_type line_items",
		`{"line_items":[` + many + `]}`:                     "out_of_range line_items",
		`{"line_items":[null]}`:                             "wrong_type line_items[0]",
		`{"line_items":[1]}`:                                "wrong_type line_items[0]",
		item(`{"name":"L","quantity":1}`):                   "missing_field line_items[0].unit_amount",
		item(`{"quantity":1,"unit_amount":1}`):              "missing_field line_items[0].name",
		item(`{"name":"L","quantity":0,"unit_amount":1}`):   "out_of_range line_items[0].quantity",
		item(`{"name":"L","quantity":-1,"unit_amount":1}`):  "out_of_range line_items[0].quantity",
		item(`{"name":"L","quantity":1.5,"unit_amount":1}`): "wrong_type line_items[0].quantity",
		item(`{"name":"L","quantity":1e2,"unit_amount":1}`): "wrong_type line_items[0].quantity",
		item(`{"name":"L","quantity":"1","unit_amount":1}`): "wrong_type line_items[0].quantity",
		item(`{"name":"L","quantity":9223372036854775808,"unit_amount":1}`):                                             "out_of_range line_items[0].quantity",
		item(`{"name":"L","quantity":1,"unit_amount":-1}`):                                                              "out_of_range line_items[0].unit_amount",
		item(`{"name":"L","quantity":9223372036854775807,"unit_amount":2}`):                                             "amount_overflow line_items[0]",
		item(`{"name":"L","quantity":1,"unit_amount":9},{"name":"M","quantity":2,"unit_amount":1,"discount_amount":3}`): "discount_exceeds_line line_items[1].discount_amount",
		item(`{"name":"L","quantity":1,"unit_amount":1,"discount_amount":-1}`):                                          "out_of_range line_items[0].discount_amount",
		item(`{"name":"L","quantity":1,"unit_amount":1,"recurring":true}`):                                              "wrong_type line_items[0].recurring",
		item(`{"name":"L","quantity":1,"unit_amount":1,"recurring":{}}`):                                                "missing_field line_items[0].recurring.interval",
		item(`{"name":"L","quantity":1,"unit_amount":1,"recurring":{"interval":"monthly"}}`):                            "invalid_choice line_items[0].recurring.interval",
		item(`{"name":"L","quantity":1,"unit_amount":1,"recurring":{"interval":"month","interval_count":0}}`):           "out_of_range line_items[0].recurring.interval_count",
		item(`{"name":"L","quantity":1,"unit_amount":9223372036854775807},{"name":"L","quantity":1,"unit_amount":1}`):   "amount_overflow line_items",
		`{"discount":{"amount":5}}`:                          "invalid_discount discount",
		`{"discount":{"percent":null}}`:                      "invalid_discount discount",
		`{"discount":{"percent":"0"}}`:                       "invalid_discount discount.percent",
		`{"discount":{"percent":"100.1"}}`:                   "invalid_discount discount.percent",
		`{"discount":{"percent":"1e1"}}`:                     "invalid_discount discount.percent",
		`{"discount":{"percent":".5"}}`:                      "invalid_discount discount.percent",
		`{"discount":{"percent":"5."}}`:                      "invalid_discount discount.percent",
		`{"discount":{"percent":"-5"}}`:                      "invalid_discount discount.percent",
		`{"discount":{"percent":"1.0000001"}}`:               "invalid_discount discount.percent",
		`{"discount":{"percent":12.5}}`:                      "wrong_type discount.percent",
		`{"discount":{"percent":null,"amount":0}}`:           "out_of_range discount.amount",
		`{"discount":{"percent":null,"amount":132901}}`:      "invalid_discount discount.amount",
		`{"discount":{"duration":"repeating"}}`:              "invalid_choice discount.duration",
		`{"tax":{"amount":-1}}`:                              "out_of_range tax.amount",
		`{"tax":{"amount":null}}`:                            "missing_field tax.amount",
		`{"tax":{"amount":9223372036854775807}}`:             "amount_overflow tax.amount",
		`{"expires_at":"31.12.2026"}`:                        "invalid_expires_at expires_at",
		`{"expires_at":""}`:                                  "invalid_expires_at expires_at",
		`{"expires_at":"2026-02-30"}`:                        "invalid_expires_at expires_at",
		`{"expires_at":"9999-12-31T23:59:59-12:00"}`:         "invalid_expires_at expires_at",
		`{"expires_at":1798761599}`:                          "wrong_type expires_at",
		`{"owner":{"time_zone":"CET+1"}}`:                    "invalid_time_zone owner.time_zone",
		`{"owner":{"time_zone":"Local"}}`:                    "invalid_time_zone owner.time_zone",
		`{"owner":{"time_zone":"../../etc/passwd"}}`:         "invalid_time_zone owner.time_zone",
		`{"owner":{"time_zone":null}}`:                       "missing_field owner.time_zone",
		`{"owner":{"email":"olga"}}`:                         "invalid_email owner.email",
		`{"contact":{"email":null}}`:                         "missing_field contact.email",
		`{"contact":{"email":"carl@localhost"}}`:             "invalid_email contact.email",
		`{"contact":{"email":"carl@x.example\r\nRCPT TO:"}}`: "invalid_email contact.email",
		`{"contact":{"phone":"1"}}`:                          "unknown_field contact.phone",
		`{"payment":{"stripe":"yes"}}`:                       "wrong_type payment.stripe",
		`{"payment":[]}`:                                     "wrong_type payment",
	} {
		doc, reasons := with(t, patch)
		if len(reasons) != 1 || reasons[0].Code+" "+reasons[0].Field != want || reasons[0].Detail == "" {
			t.Errorf("document with %s = %+v, want %s", patch, reasons, want)
		}
		if reasons == nil {
			t.Errorf("accepted as %s", doc)
		}
	}
}

// R19
func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	_, reasons := quote.Decode([]byte(`{"title":"","currency":"USD","line_items":[{"quantity":0,"unit_amount":"5","colour":"red"},{}],
		"discount":{},"expires_at":"soon","owner":{"email":"x","time_zone":"Mars"},"total":5,"items":[]}`))
	got := make([]string, 0, len(reasons))
	for _, r := range reasons {
		got = append(got, r.Code+" "+r.Field)
	}
	slices.Sort(got)
	want := []string{
		"invalid_currency currency", "invalid_discount discount", "invalid_email owner.email", "invalid_expires_at expires_at",
		"invalid_time_zone owner.time_zone", "missing_field contact", "missing_field deal", "missing_field line_items[0].name",
		"missing_field line_items[1].name", "missing_field line_items[1].quantity", "missing_field line_items[1].unit_amount",
		"missing_field title", "out_of_range line_items[0].quantity", "unknown_field items", "unknown_field line_items[0].colour",
		"unknown_field total", "wrong_type line_items[0].unit_amount",
	}
	if !slices.Equal(got, want) {
		t.Errorf("reasons =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsNoJSONObjectIsRefused(t *testing.T) {
	for in, code := range map[string]string{
		"": "invalid_json", "{": "invalid_json", "{} {}": "invalid_json", "\xff": "invalid_json", `{"title":"` + "\xff" + `"}`: "invalid_json",
		"null": "wrong_type", "[]": "wrong_type", "7": "wrong_type", strings.Repeat("[", 20000): "invalid_json",
	} {
		if _, reasons := quote.Decode([]byte(in)); len(reasons) == 0 || reasons[0].Code != code {
			t.Errorf("Decode(%.20q) = %+v, want %s", in, reasons, code)
		}
		if _, reasons := (quote.Document{}).Patch([]byte(in)); len(reasons) == 0 || reasons[0].Code != code {
			t.Errorf("Patch(%.20q) = %+v, want %s", in, reasons, code)
		}
	}
}

func TestPatchMergesObjectsAndReplacesLists(t *testing.T) {
	got, reasons := with(t, `{"deal":{"name":null},"discount":null,"tax":{"amount":0},
		"line_items":[{"name":"Only","quantity":1,"unit_amount":5,"recurring":{"interval":"year"}}],"contact":{"company":"Other"}}`)
	if reasons != nil {
		t.Fatal(reasons)
	}
	const want = `{"title":"Website","deal":{"id":"deal_42"},"currency":"pln",` +
		`"line_items":[{"name":"Only","quantity":1,"unit_amount":5,"recurring":{"interval":"year","interval_count":1}}],` +
		`"tax":{"name":"VAT","amount":0},"expires_at":"2026-12-31",` +
		`"owner":{"name":"Olga","email":"olga@seller.example","time_zone":"Europe/Warsaw"},` +
		`"contact":{"email":"carl@customer.example","first_name":"Carl","last_name":"Customer","company":"Other"},` +
		`"payment":{"stripe":true,"three_d_secure":false}}`
	if string(got) != want {
		t.Errorf("patched =\n%s\nwant\n%s", got, want)
	}
}

// R44
func TestADateMeansTheEndOfThatDayInTheOwnersZone(t *testing.T) {
	for _, tt := range []struct{ in, zone, want string }{
		{"2026-12-31", "Europe/Warsaw", "2026-12-31T22:59:59Z"},
		{"2026-07-31", "Europe/Warsaw", "2026-07-31T21:59:59Z"},
		{"2026-12-31", "Pacific/Kiritimati", "2026-12-31T09:59:59Z"},
		{"2026-12-31", "Pacific/Pago_Pago", "2027-01-01T10:59:59Z"},
		{"2026-12-31", "Asia/Kathmandu", "2026-12-31T18:14:59Z"},
		{"2028-02-29", "UTC", "2028-02-29T23:59:59Z"},
		{"2026-03-29", "Europe/Warsaw", "2026-03-29T21:59:59Z"}, // clocks went forward that night
		{"2026-03-28", "Asia/Beirut", "2026-03-28T21:59:59Z"},   // the next day begins at 01:00
		{"2026-10-31", "America/Havana", "2026-11-01T03:59:59Z"},
		{"2026-10-24", "Asia/Beirut", "2026-10-24T21:59:59Z"}, // 23:59:59 happens twice: the second
		{"2026-12-31T12:00:00Z", "Europe/Warsaw", "2026-12-31T12:00:00Z"},
		{"2026-12-31T12:00:00.999+01:00", "America/New_York", "2026-12-31T11:00:00Z"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		got, err := quote.ParseExpiry(tt.in, zone)
		if err != nil || got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("ParseExpiry(%q, %s) = %v, %v, want %s", tt.in, tt.zone, got.Format(time.RFC3339Nano), err, tt.want)
		}
	}
	if end, err := (quote.Document{}).Expiry(); err != nil || !end.IsZero() {
		t.Errorf("Expiry of a quote without one = %v, %v, want never", end, err)
	}
}

func TestPlausibleAddressesPass(t *testing.T) {
	for address, want := range map[string]bool{
		"a@b.co": true, "first.last+tag@sub.domain-x.example": true, "o'neil@x.example": true, "x@xn--bcher-kva.example": true,
		"": false, "a": false, "@b.co": false, "a@": false, "a@b": false, "a@@b.co": false, "a@b..co": false, ".a@b.co": false, "a.@b.co": false,
		"a b@c.co": false, "a@-b.co": false, "a@b-.co": false, "<a@b.co>": false, `"a"@b.co`: false, "ą@b.co": false, "a@b.co,c@d.co": false,
		strings.Repeat("a", 65) + "@b.co": false, "a@" + strings.Repeat("b", 64) + ".co": false, "a@" + strings.Repeat("bcd.", 70) + "co": false,
	} {
		in, err := json.Marshal(map[string]any{"contact": map[string]string{"email": address}})
		if err != nil {
			t.Fatal(err)
		}
		if _, reasons := with(t, string(in)); (reasons == nil) != want {
			t.Errorf("address %q: %+v, want plausible %v", address, reasons, want)
		}
	}
}

// What Decode accepts has a total, an expiry and the same meaning when read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(least))
	f.Add([]byte(`{"line_items":[{"recurring":{}}],"discount":{"percent":"1"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, reasons := quote.Decode(b)
		if reasons != nil {
			for _, r := range reasons {
				if r.Code == "" || r.Detail == "" {
					t.Errorf("reason %+v without code or detail", r)
				}
			}
			return
		}
		if _, err := d.Total(); err != nil {
			t.Errorf("Total of an accepted document = %v", err)
		}
		if _, err := d.Expiry(); err != nil {
			t.Errorf("Expiry of an accepted document = %v", err)
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if again, reasons := quote.Decode(out); reasons != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("read again = %s", fmt.Sprintf("%+v %+v, want %+v", again, reasons, d))
		}
	})
}
