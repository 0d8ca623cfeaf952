package stripebody_test

import (
	"encoding/json"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/stripebody"
)

func TestPeekReadsTheTopLevelAlone(t *testing.T) {
	got, err := stripebody.Peek([]byte(`{"data":{"id":"ch_1","type":"x","account":"acct_2","livemode":true},"\u0069d":"evt_1",` +
		`"type":"charge.succeeded","account":"acct_1","livemode":false,"api_version":"2023-10-16"}`))
	want := stripebody.Peeked{Mode: "test", Account: "acct_1", ID: "evt_1", Type: "charge.succeeded", APIVersion: "2023-10-16"}
	if err != nil || got != want {
		t.Errorf("Peek = %+v, %v, want %+v", got, err, want)
	}
}

// Row "subject injection" of the security table. encoding/json is the oracle of what the top level says.
func FuzzEveryReadableEventHasASubjectOfItsOwn(f *testing.F) {
	f.Add([]byte(`{"id":"evt_1","type":"charge.succeeded","livemode":false}`))
	f.Add([]byte(`{"id":"evt_1","type":"a.b.c","livemode":true,"account":"acct_1","api_version":"2023-10-16"}`))
	f.Add([]byte(`{"id":"evt_1","type":"a","livemode":false,"account":"platform"}`))
	f.Add([]byte(`{"id":"evt_1.a","type":"b","livemode":false}`))
	f.Add([]byte(`{"id":"evt_1","type":"a.b","livemode":false} x`))
	f.Add([]byte(`{"id":"evt_1","type":"b","livemode":false}` + "\x00"))
	f.Add([]byte(`{"id":"*","type":">","livemode":false,"account":"a b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := stripebody.Peek(body)
		var top map[string]json.RawMessage
		if bad := json.Unmarshal(body, &top); bad != nil {
			if err == nil {
				t.Fatalf("Peek(%q) = %+v, and encoding/json says: %v", body, got, bad)
			}
			return
		}
		if err != nil {
			return
		}
		var id, typ string
		var account *string
		var live bool
		for key, into := range map[string]any{"id": &id, "type": &typ, "account": &account, "livemode": &live} {
			if raw, ok := top[key]; ok {
				if err := json.Unmarshal(raw, into); err != nil {
					t.Fatalf("Peek(%q) accepts a %s that is %s", body, key, raw)
				}
			}
		}
		if account == nil {
			account = new(event.Platform)
		} else if *account == event.Platform {
			t.Fatalf("Peek(%q) lets an event call itself the platform's", body)
		}
		// The subject gives back what the body says: two events that differ in it cannot share one.
		back, ok := event.ParseStripeSubject(got.Subject())
		want := event.StripeSubject{Mode: event.Mode(live), Account: *account, EventID: id, Type: typ}
		if !ok || back != want {
			t.Fatalf("Peek(%q).Subject() = %q, want that of %+v", body, got.Subject(), want)
		}
		if strings.Count(got.Subject(), ".") != 4+strings.Count(typ, ".") || strings.ContainsAny(got.Subject(), " *>\r\n\t\x00") {
			t.Fatalf("Peek(%q).Subject() = %q is not one token each", body, got.Subject())
		}
		if strings.ContainsAny(got.APIVersion, "\r\n: ") {
			t.Fatalf("Peek(%q).APIVersion = %q cannot be a header", body, got.APIVersion)
		}
	})
}
