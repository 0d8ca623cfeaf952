package quotepaid_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/quotepaid"
)

func golden(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/quote.paid.v1.json")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// R65, R66
func TestTheWireFileDecodes(t *testing.T) {
	got, err := quotepaid.Decode(golden(t))
	want := quotepaid.Paid{
		ID:          "f5abd827e5f1239554c5e59329b7585de3ff4713011546323a4c257fdd48b36e",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Seller:      "main", QuoteID: "q_mfrggzdfmztwq2lknnwg23tpob", Revision: 1, DealID: "deal_42", Amount: 118587, Currency: "pln",
		PaidAt: time.Date(2026, 11, 20, 23, 30, 15, 0, time.UTC), Mode: "test", Account: "platform",
		CheckoutSession: "cs_test_1", PaymentIntent: "pi_1", StripeEvent: "evt_1",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode = %+v, %v\nwant %+v", got, err, want)
	}
}

// R66: writer and reader live in different modules and must not drift apart.
func TestReaderAndWriterHaveTheSameWireFile(t *testing.T) {
	theirs, err := os.ReadFile("../domain/event/testdata/quote.paid.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden(t), theirs) {
		t.Error("testdata/quote.paid.v1.json differs from the writer's; copy it")
	}
}

// R66
func TestSchemaTypeAndWireFileAgree(t *testing.T) {
	type node struct {
		Required   []string
		Properties map[string]json.RawMessage
	}
	read := func(b []byte) node {
		var n node
		if err := json.Unmarshal(b, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	whole := read(quotepaid.Schema())
	data := read(whole.Properties["data"])

	var required, all []string
	for field := range reflect.TypeFor[quotepaid.Paid]().Fields() {
		name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		all = append(all, name)
		if option != "omitempty" {
			required = append(required, name)
		}
	}
	if !slices.Equal(data.Required, required) {
		t.Errorf("schema requires %v, the type %v", data.Required, required)
	}
	for _, name := range all {
		if data.Properties[name] == nil {
			t.Errorf("schema lacks %s", name)
		}
	}
	if len(data.Properties) != len(all) {
		t.Errorf("schema has %d fields, the type %d", len(data.Properties), len(all))
	}
	wire := read([]byte(`{"properties":` + string(golden(t)) + `}`))
	for name := range wire.Properties {
		if whole.Properties[name] == nil {
			t.Errorf("schema lacks %s of the wire file", name)
		}
	}
	for _, name := range whole.Required {
		if wire.Properties[name] == nil {
			t.Errorf("the wire file lacks %s", name)
		}
	}
	var id struct{ Const string }
	if err := json.Unmarshal(whole.Properties["dataschema"], &id); err != nil || id.Const != quotepaid.SchemaID {
		t.Errorf("schema is for %q, the client reads %q", id.Const, quotepaid.SchemaID)
	}
}

func TestReaderTakesWhatANewerWriterAdds(t *testing.T) {
	b := bytes.Replace(golden(t), []byte(`"data": {`), []byte(`"colour": "red", "data": {"mood": [{"a": 1}],`), 1)
	want, err := quotepaid.Decode(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := quotepaid.Decode(b); err != nil || got != want {
		t.Errorf("Decode = %+v, %v, want %+v", got, err, want)
	}
}

func TestWhatIsNoQuotePaidIsRefused(t *testing.T) {
	for _, change := range [][2]string{
		{`"quote.paid"`, `"quote.refunded"`},
		{`urn:quittance:quote.paid:1`, `urn:quittance:quote.paid:2`},
		{`"revision": 1`, `"revision": 0`},
		{`"revision": 1`, `"revision": "1"`},
		{`"seller": "main"`, `"seller": ""`},
		{`"paid_at": "2026-11-20T23:30:15Z"`, `"paid_at": null`},
		{`"amount": 118587`, `"amount": -1`},
		{`"amount": 118587`, `"amount": 1.5`},
		{`"data": {`, `"data": null, "x": {`},
		{`{`, `[`},
	} {
		b := bytes.Replace(golden(t), []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(b, golden(t)) {
			t.Fatalf("%s is not in the wire file", change[0])
		}
		if got, err := quotepaid.Decode(b); err == nil {
			t.Errorf("Decode with %s = %+v, want an error", change[1], got)
		}
	}
	if _, err := quotepaid.Decode(nil); err == nil {
		t.Error("Decode(nil) = nil, want an error")
	}
}

func TestPermanentKeepsItsCause(t *testing.T) {
	cause := errors.New("no such customer")
	if !errors.Is(quotepaid.Permanent(cause), cause) || quotepaid.Permanent(nil) != nil {
		t.Error("Permanent hides its cause or marks nil")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(golden(f))
	f.Add([]byte(`{"type":"quote.paid","dataschema":"urn:quittance:quote.paid:1","id":"x","data":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := quotepaid.Decode(b); err == nil && (p.ID == "" || p.Revision < 1 || p.PaidAt.IsZero()) {
			t.Errorf("Decode(%s) = %+v", b, p)
		}
	})
}
