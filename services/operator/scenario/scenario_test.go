package scenario_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/services/operator/scenario"
)

var start = time.Date(2026, 11, 20, 9, 2, 11, 0, time.UTC)

func oneTime() scenario.Target {
	return scenario.Target{
		Quote: "q_1042", Seller: "main", Revision: 2, Title: "Solar roof <10 kWp> & montage", Amount: 123000, Currency: "pln",
		Account: "acct_1Seller", CustomerName: "Anna Nowak", CustomerEmail: "anna@customer.example",
	}
}

func recurring() scenario.Target {
	t := oneTime()
	t.Interval, t.IntervalCount = "month", 1
	return t
}

// targetFor returns a quote to which the scenario can happen.
func targetFor(s scenario.Scenario) scenario.Target {
	if s.Name == "subscription" {
		return recurring()
	}
	return oneTime()
}

func run(t *testing.T, s scenario.Scenario, target scenario.Target, seed int64, v scenario.Version) scenario.Burst {
	t.Helper()
	b, err := s.Run(target, seed, start, v)
	if err != nil {
		t.Fatalf("Run(%s) = %v", s.Name, err)
	}
	return b
}

// decoded is what the tests read of an event.
type decoded struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Account    string `json:"account"`
	APIVersion string `json:"api_version"`
	Created    int64  `json:"created"`
	Livemode   *bool  `json:"livemode"`
	Type       string `json:"type"`
	Data       struct {
		Object map[string]any `json:"object"`
	} `json:"data"`
}

func decode(t *testing.T, body []byte) decoded {
	t.Helper()
	var d decoded
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("decode event: %v\n%s", err, body)
	}
	return d
}

func TestSameSeedMakesTheSameBytes(t *testing.T) {
	for _, s := range scenario.All() {
		for _, v := range []scenario.Version{scenario.V20231016, scenario.Basil} {
			a, b := run(t, s, targetFor(s), 7, v), run(t, s, targetFor(s), 7, v)
			if len(a.Events) != len(b.Events) {
				t.Fatalf("%s: %d and %d events of one seed", s.Name, len(a.Events), len(b.Events))
			}
			for i := range a.Events {
				if !bytes.Equal(a.Events[i].Body, b.Events[i].Body) {
					t.Errorf("%s: event %d differs between two runs of one seed", s.Name, i)
				}
			}
		}
	}
}

func TestAnotherSeedSharesNoIdentifier(t *testing.T) {
	ids := regexp.MustCompile(`"((?:evt|cs|pi|ch|py|in|sub|re|du|cus|pm)_[A-Za-z0-9_]+)"`)
	for _, s := range scenario.All() {
		seen := map[string]bool{}
		for _, e := range run(t, s, targetFor(s), 1, scenario.V20231016).Events {
			for _, m := range ids.FindAllSubmatch(e.Body, -1) {
				seen[string(m[1])] = true
			}
		}
		for _, e := range run(t, s, targetFor(s), 2, scenario.V20231016).Events {
			for _, m := range ids.FindAllSubmatch(e.Body, -1) {
				if seen[string(m[1])] {
					t.Errorf("%s: %s occurs with seeds 1 and 2", s.Name, m[1])
				}
			}
		}
	}
}

// One seed means one payment: what a refund is preceded by is the very payment of "paid".
func TestAnEventHasOneBodyInAllScenariosOfASeed(t *testing.T) {
	for _, v := range []scenario.Version{scenario.V20231016, scenario.Basil} {
		bodies := map[string][]byte{}
		for _, s := range scenario.All() {
			if s.Name == "subscription" {
				continue
			}
			for _, e := range run(t, s, oneTime(), 3, v).Events {
				if earlier, ok := bodies[e.ID]; ok && !bytes.Equal(earlier, e.Body) {
					t.Errorf("%s: event %s (%s) has another body than in an earlier scenario", s.Name, e.ID, e.Type)
				}
				bodies[e.ID] = e.Body
			}
		}
	}
}

func TestEveryEventIsComplete(t *testing.T) {
	token := regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)
	for _, s := range scenario.All() {
		for _, v := range []scenario.Version{scenario.V20231016, scenario.Basil} {
			ids := map[string]bool{}
			for _, e := range run(t, s, targetFor(s), 11, v).Events {
				d := decode(t, e.Body)
				if d.ID != e.ID || d.Type != e.Type || d.Created != e.Created.Unix() || d.Object != "event" {
					t.Errorf("%s: envelope of %s is %+v", s.Name, e.Type, d)
				}
				if d.APIVersion != string(v) || d.Account != "acct_1Seller" || d.Livemode == nil || *d.Livemode {
					t.Errorf("%s: %s has version %q account %q livemode %v", s.Name, e.Type, d.APIVersion, d.Account, d.Livemode)
				}
				id, _ := d.Data.Object["id"].(string)
				if !token.MatchString(d.ID) || !token.MatchString(id) {
					t.Errorf("%s: %s has ids %q and %q", s.Name, e.Type, d.ID, id)
				}
				if ids[d.ID] {
					t.Errorf("%s: event id %s twice", s.Name, d.ID)
				}
				ids[d.ID] = true
				if e.Created.Before(start) || e.Created.After(start.Add(time.Minute)) {
					t.Errorf("%s: %s is dated %s", s.Name, e.Type, e.Created)
				}
				if len(e.Body) > 12<<10 { // recorded events have 0.2 to 12 KB (stripe.md §3.4)
					t.Errorf("%s: %s has %d bytes", s.Name, e.Type, len(e.Body))
				}
			}
		}
	}
}

// The metadata rules of stripe.md §2.1: session to intent to charge in payment mode, subscription to invoice, none on
// refunds, disputes and the objects of a subscription's payment.
func TestMetadataAreCopiedAsStripeDoes(t *testing.T) {
	carries := map[string]bool{"checkout.session": true, "payment_intent": true, "charge": true, "refund": false, "dispute": false}
	for _, name := range []string{"refund", "dispute-lost", "bank-debit"} {
		s, _ := scenario.Find(name)
		for _, e := range run(t, s, oneTime(), 5, scenario.Basil).Events {
			obj := decode(t, e.Body).Data.Object
			kind, _ := obj["object"].(string)
			want, known := carries[kind]
			if got := names(obj["metadata"]); !known || got != want {
				t.Errorf("%s: metadata of %s name the quote: %v, want %v", name, kind, got, want)
			}
		}
	}

	carries = map[string]bool{
		"checkout.session": true, "payment_intent": false, "charge": false, "invoice": false, "subscription": true,
		"customer": false, "payment_method": false, "invoice_payment": false,
	}
	s, _ := scenario.Find("subscription")
	for _, v := range []scenario.Version{scenario.V20231016, scenario.Basil} {
		for _, e := range run(t, s, recurring(), 5, v).Events {
			obj := decode(t, e.Body).Data.Object
			kind, _ := obj["object"].(string)
			want, known := carries[kind]
			if got := names(obj["metadata"]); !known || got != want {
				t.Errorf("subscription at %s: metadata of %s name the quote: %v, want %v", v, kind, got, want)
			}
			if kind == "invoice" && !invoiceNames(obj, v) {
				t.Errorf("invoice at %s does not carry the subscription's metadata where that version has them", v)
			}
		}
	}
}

func names(metadata any) bool {
	m, _ := metadata.(map[string]any)
	return m["quote_id"] == "q_1042" && m["quote_revision"] == "2" && m["seller"] == "main"
}

func invoiceNames(invoice map[string]any, v scenario.Version) bool {
	if v == scenario.Basil {
		parent, _ := invoice["parent"].(map[string]any)
		details, _ := parent["subscription_details"].(map[string]any)
		_, old := invoice["subscription_details"]
		return names(details["metadata"]) && !old
	}
	details, _ := invoice["subscription_details"].(map[string]any)
	_, newer := invoice["parent"]
	return names(details["metadata"]) && !newer
}

func TestBurstsHaveTheSizesThatStripeSends(t *testing.T) {
	tests := []struct {
		name       string
		old, basil int
	}{
		{"paid", 5, 5},
		{"subscription", 14, 15},
		{"refund", 6, 9},
		{"dispute-lost", 9, 9},
		{"bank-debit", 7, 7},
		{"bank-debit-failed", 7, 7},
		{"duplicate-payment", 10, 10},
	}
	for _, tt := range tests {
		s, ok := scenario.Find(tt.name)
		if !ok {
			t.Fatalf("Find(%q): no such scenario", tt.name)
		}
		old := len(run(t, s, targetFor(s), 1, scenario.V20231016).Events)
		basil := len(run(t, s, targetFor(s), 1, scenario.Basil).Events)
		if old != tt.old || basil != tt.basil {
			t.Errorf("%s: %d and %d events, want %d and %d", tt.name, old, basil, tt.old, tt.basil)
		}
	}
}

func TestAScenarioThatCannotHappenIsRefused(t *testing.T) {
	free, freeSub := oneTime(), recurring()
	free.Amount, freeSub.Amount = 0, 0
	tests := []struct {
		name   string
		target scenario.Target
		want   string
	}{
		{"paid", recurring(), "the scenario for it is subscription"},
		{"subscription", oneTime(), "the scenario for it is paid"},
		{"refund", free, "the scenario for it is paid"},
		{"dispute-lost", freeSub, "the scenario for it is subscription"},
	}
	for _, tt := range tests {
		s, _ := scenario.Find(tt.name)
		_, err := s.Run(tt.target, 1, start, scenario.V20231016)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Run(%s) = %v, want an error that says %q", tt.name, err, tt.want)
		}
	}
}

func TestAQuoteWithNothingDueNeedsNoPayment(t *testing.T) {
	free := oneTime()
	free.Amount = 0
	s, _ := scenario.Find("paid")
	b := run(t, s, free, 1, scenario.V20231016)
	types := make([]string, len(b.Events))
	for i, e := range b.Events {
		types[i] = e.Type
	}
	if !slices.Equal(types, []string{"checkout.session.completed"}) {
		t.Fatalf("events = %v, want the session alone", types)
	}
	obj := decode(t, b.Events[0].Body).Data.Object
	if obj["payment_status"] != "no_payment_required" || obj["payment_intent"] != nil {
		t.Errorf("session has payment_status %v and intent %v", obj["payment_status"], obj["payment_intent"])
	}
}
