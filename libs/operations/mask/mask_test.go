package mask_test

import (
	"strings"
	"testing"

	"quittance.internal/libs/operations/mask"
)

const body = `{"id":"evt_1","amount":123450000000000001,"livemode":false,"data":{"object":{"id":"cs_1","customer_details":{"email":"anna@customer.example",
"name":"Anna Nowak","phone":"+48600100200","address":{"line1":"Long street 5","city":"Krakow","postal_code":"30-001","country":"PL"},"tax_ids":[]},
"customer_email":null,"line_items":[{"name":"Solar roof"}],"receipt_email":"anna@customer.example","description":"for <anna@customer.example>, thanks",
"payment_method_details":{"card":{"last4":"4242","brand":"visa","country":"PL"}},"metadata":{"quote_id":"q_1042"}}},
"contact":{"first_name":"Anna","last_name":"Nowak","company":"Acme","alt_email":"anna at home"},"owner":{"name":"Maria","email":"maria@seller.example","time_zone":"Europe/Warsaw"}}`

// Nothing that tells who somebody is may reach an operator's screen unless he asks for the stored bytes.
func TestNoPersonalDataIsShown(t *testing.T) {
	out, err := mask.JSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	got := string(out)
	for _, secret := range []string{"anna@", "maria@", "Anna", "Nowak", "600100200", "Long street", "Krakow", "30-001", "4242", "Acme", "anna at home", "Maria", `"PL"`} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is shown:\n%s", secret, got)
		}
	}
	for _, kept := range []string{`"evt_1"`, "123450000000000001", `"q_1042"`, "Solar roof", "a***@customer.example", "Europe/Warsaw", "visa", "thanks", "null", `"tax_ids": []`} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is not shown:\n%s", kept, got)
		}
	}
	if strings.Index(got, `"id"`) > strings.Index(got, `"amount"`) || strings.Index(got, `"contact"`) > strings.Index(got, `"owner"`) {
		t.Errorf("members have changed places:\n%s", got)
	}
}

func TestWhatIsNoJSONIsAnError(t *testing.T) {
	for _, text := range []string{"", "{", `{"a":}`, "{} {}", "not json", "[1,"} {
		if out, err := mask.JSON([]byte(text)); err == nil {
			t.Errorf("JSON(%q) = %s, want an error", text, out)
		}
	}
}

func TestAddressesInTextsAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"550 5.1.1 <anna@x.example>: no such user": "550 5.1.1 <a***@x.example>: no such user",
		"queued for b@y.example.":                  "queued for b***@y.example.",
		"no address":                               "no address",
		"":                                         "",
	} {
		if got := mask.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}
