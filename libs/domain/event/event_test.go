package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

var update = flag.Bool("update", false, "write the golden wire files anew")

func document() quote.Document {
	secure := true
	return quote.Document{
		Title: "Website relaunch", Deal: quote.Deal{ID: "deal_42", Name: "Relaunch"}, Currency: "pln",
		LineItems: []quote.LineItem{
			{Name: "Design", Quantity: 2, UnitAmount: 61725, DiscountAmount: 450},
			{Name: "Hosting", Quantity: 1, UnitAmount: 9900, Recurring: &quote.Recurring{Interval: "month", IntervalCount: 1}},
		},
		Discount: &quote.Discount{Percent: "12.5", Duration: quote.DurationOnce}, Tax: &quote.Tax{Name: "VAT", Amount: 2300},
		ExpiresAt: "2026-12-31",
		Owner:     quote.Owner{Name: "Olga Owner", Email: "olga@seller.example", TimeZone: "Europe/Warsaw"},
		Contact:   quote.Contact{Email: "carl@customer.example", FirstName: "Carl", LastName: "Customer", Company: "Customer & Sons"},
		Payment:   quote.PaymentOptions{Stripe: true, ThreeDSecure: &secure},
	}
}

// wire holds one event of each kind as version 1 writes it.
func wire(t *testing.T) map[string]event.Envelope {
	t.Helper()
	at := time.Date(2026, 11, 20, 23, 30, 15, 0, time.UTC)
	const seller, id = "main", "q_mfrggzdfmztwq2lknnwg23tpob"
	number := event.PaymentFact{
		Seller: seller, QuoteID: id, Revision: 1, DealID: "deal_42", Amount: 118587, Currency: "pln", OccurredAt: at,
		Mode: "test", Account: "platform", CheckoutSession: "cs_test_1", PaymentIntent: "pi_1", StripeEvent: "evt_1",
	}
	object := func(id string) event.PaymentFact { f := number; f.Object = id; return f }
	refund := object("pi_1")
	refund.Full = true
	envelopes := map[string]event.Envelope{}
	for _, e := range []struct {
		name, n, source string
		data            any
	}{
		{event.NameDrafted, "1", event.SourceQuotes, event.Drafted{Seller: seller, QuoteID: id, Version: 1, Document: document(), RequestKey: "5e88", RequestHash: "9f86", DraftedAt: at}},
		{event.NamePublished, "1", event.SourceQuotes, event.Published{
			Seller: seller, QuoteID: id, Revision: 1, Version: 1, Document: document(), Amount: 118587, Currency: "pln", Account: "platform", Mode: "test",
			PublishedAt: at, ExpiresAt: time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC), URLToken: "mfrggzdfmztwq2lknnwg23tpob", RequestKey: "5e88",
		}},
		{event.NameRecalled, "1", event.SourceQuotes, event.Recalled{Seller: seller, QuoteID: id, Revision: 1, RecalledAt: at, RequestKey: "5e88"}},
		{event.NameExpired, "1", event.SourceQuotes, event.Expired{Seller: seller, QuoteID: id, Revision: 1, ExpiredAt: at}},
		{event.NameExpiring, "1", event.SourceQuotes, event.Expiring{
			Seller: seller, QuoteID: id, Revision: 1, DealID: "deal_42", Amount: 118587, Currency: "pln",
			ExpiresAt: time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC), RemindedAt: at, Mode: "test", Account: "platform",
		}},
		{event.NamePaid, "1", event.SourcePayments, event.Paid{
			Seller: seller, QuoteID: id, Revision: 1, DealID: "deal_42", Amount: 118587, Currency: "pln", PaidAt: at,
			Mode: "test", Account: "platform", CheckoutSession: "cs_test_1", PaymentIntent: "pi_1", StripeEvent: "evt_1",
		}},
		{event.NamePaymentProcessing, "cs_test_1", event.SourcePayments, object("cs_test_1")},
		{event.NamePaymentFailed, "ch_1", event.SourcePayments, object("ch_1")},
		{event.NameRefunded, "pi_1", event.SourcePayments, refund},
		{event.NameDisputed, "dp_1", event.SourcePayments, object("dp_1")},
		{event.NameDuplicatePayment, "1", event.SourcePayments, number},
	} {
		s := event.QuoteSubject{Event: e.name, Seller: seller, Quote: id, N: e.n}
		env, err := event.New(s, e.source, at, e.data)
		if err != nil {
			t.Fatalf("New(%v) = %v", s, err)
		}
		env.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		envelopes[e.name] = env
	}
	return envelopes
}

// R66: the bytes on the wire are a contract. A file that differs is a break:
// add a version, do not edit.
func TestWireFormatStaysAsItWasWritten(t *testing.T) {
	for name, env := range wire(t) {
		path := filepath.Join("testdata", "quote."+name+".v1.json")
		var got bytes.Buffer
		if err := json.Indent(&got, env.Encode(), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v (write it with -update)", err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("quote.%s is written\n%s\nwant\n%s", name, got.Bytes(), want)
		}
	}
}

// R66
func TestOldEnvelopesDecodeForEver(t *testing.T) {
	for name, want := range wire(t) {
		b, err := os.ReadFile(filepath.Join("testdata", "quote."+name+".v1.json"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(b)
		if err != nil {
			t.Fatalf("Decode(quote.%s) = %v", name, err)
		}
		var flat bytes.Buffer
		if err := json.Compact(&flat, got.Data); err != nil {
			t.Fatal(err)
		}
		got.Data = flat.Bytes()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(quote.%s) = %+v\nwant %+v", name, got, want)
		}
		if got.Event() != name {
			t.Errorf("Event() of %s = %q", got.Type, got.Event())
		}
		again(t, name, got)
	}
}

// again checks that the data survives its Go type without a loss.
func again(t *testing.T, name string, env event.Envelope) {
	t.Helper()
	var data any
	var err error
	switch name {
	case event.NameDrafted:
		data, err = event.Data[event.Drafted](env)
	case event.NamePublished:
		data, err = event.Data[event.Published](env)
	case event.NameRecalled:
		data, err = event.Data[event.Recalled](env)
	case event.NameExpired:
		data, err = event.Data[event.Expired](env)
	case event.NameExpiring:
		data, err = event.Data[event.Expiring](env)
	case event.NamePaid:
		data, err = event.Data[event.Paid](env)
	default:
		data, err = event.Data[event.PaymentFact](env)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, env.Data) {
		t.Errorf("data of quote.%s through its type = %s, want %s", name, got, env.Data)
	}
}

// R77: what is kept for ever and read by many names no person.
func TestOnlyDraftsAndPublicationsCarryPersonalData(t *testing.T) {
	for name, env := range wire(t) {
		for _, personal := range []string{"olga", "carl", "Customer", "@", "Europe/Warsaw"} {
			has := bytes.Contains(env.Encode(), []byte(personal))
			if may := name == event.NameDrafted || name == event.NamePublished; has != may {
				t.Errorf("quote.%s contains %q: %v, want %v", name, personal, has, may)
			}
		}
	}
}

func TestReadersPassOverWhatANewerWriterAdds(t *testing.T) {
	env, err := event.Decode([]byte(`{"specversion":"1.1","id":"x","source":"/s","type":"quote.paid","subject":"quote/q_1","colour":"red",
		"time":"2026-11-20T23:30:15.5+01:00","dataschema":"urn:quittance:quote.paid:9","data":{"quote_id":"q_1","amount":7,"mood":{"a":[1]}}}`))
	if err != nil {
		t.Fatalf("Decode = %v", err)
	}
	paid, err := event.Data[event.Paid](env)
	if err != nil || paid.QuoteID != "q_1" || paid.Amount != 7 {
		t.Errorf("Data = %+v, %v", paid, err)
	}
}

func TestWhatIsNoEnvelopeIsRefused(t *testing.T) {
	for _, b := range []string{
		``, `null`, `[]`, `{}`, `{"specversion":"1.0"}`,
		`{"specversion":"0.3","id":"x","source":"/s","type":"quote.paid","data":{}}`,
		`{"specversion":"1.0","id":"","source":"/s","type":"quote.paid","data":{}}`,
		`{"specversion":"1.0","id":"x","source":"/s","type":"order.paid","data":{}}`,
		`{"specversion":"1.0","id":"x","source":"/s","type":"quote.paid"}`,
		`{"specversion":"1.0","id":"x","source":"/s","type":"quote.paid","data":null}`,
		`{"specversion":"1.0","id":"x","source":"/s","type":"quote.paid","data":[1]}`,
		`{"specversion":"1.0","id":"x","source":"/s","type":"quote.paid","data":{},"time":"yesterday"}`,
	} {
		if env, err := event.Decode([]byte(b)); err == nil {
			t.Errorf("Decode(%s) = %+v, want an error", b, env)
		}
	}
}

func TestEnvelopeOfAnInvalidSubjectIsRefused(t *testing.T) {
	if _, err := event.New(event.QuoteSubject{Event: "paid", Seller: "a.b", Quote: "q", N: "1"}, event.SourceQuotes, time.Unix(0, 0), event.Paid{}); err == nil {
		t.Error("New with a dot in the seller = nil, want an error")
	}
	s := event.QuoteSubject{Event: "paid", Seller: "a", Quote: "q", N: "1"}
	for _, data := range []any{nil, 1, []int{1}, func() {}} {
		if _, err := event.New(s, event.SourceQuotes, time.Unix(0, 0), data); err == nil {
			t.Errorf("New with data %T = nil, want an error", data)
		}
	}
	if _, err := event.New(s, event.SourceQuotes, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), event.Paid{}); err == nil {
		t.Error("New in the year 10000 = nil, want an error: it would never encode")
	}
}

// R33
func TestCardShowsTheDayInTheZone(t *testing.T) {
	warsaw, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 19, 23, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		status string
		at     time.Time
		zone   *time.Location
		want   string
	}{
		{"paid", at, warsaw, "Paid: Nov 20, 2026"},
		{"paid", at, time.UTC, "Paid: Nov 19, 2026"},
		{"paid", at, nil, "Paid: Nov 19, 2026"},
		{"paid", time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC), warsaw, "Paid: Jan 1, 2027"},
		{"paid", time.Time{}, warsaw, "Paid"},
		{"refunded", at, warsaw, "Refunded: Nov 20, 2026"},
		{"charged_back", at, warsaw, "Charged back: Nov 20, 2026"},
		{"processing", at, warsaw, "Payment processing"},
		{"review", at, warsaw, "Payment needs review"},
		{"pending", at, warsaw, "Awaiting payment"},
		{"published", at, warsaw, "Awaiting payment"},
		{"draft", at, warsaw, "Draft"},
		{"recalled", at, warsaw, "Recalled"},
		{"expired", at, warsaw, "Expired"},
		{"something_new", at, warsaw, "something_new"},
	} {
		if got := event.CardText(tt.status, tt.at, tt.zone); got != tt.want {
			t.Errorf("CardText(%q, %v, %v) = %q, want %q", tt.status, tt.at, tt.zone, got, tt.want)
		}
	}
}
