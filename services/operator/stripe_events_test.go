package operator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/stripeevent"
)

// What an operator is told to subscribe to at Stripe is everything that this version makes something of.
func TestStripeEventsListsAllThatIsWanted(t *testing.T) {
	line := runWith(t, nil, "stripe", "events", "--comma")
	line.want(t, 0)
	types := strings.Split(strings.TrimSpace(line.out), ",")
	for _, typ := range append(stripeevent.PaymentTypes(), stripeevent.AccountTypes()...) {
		if !slices.Contains(types, typ) {
			t.Errorf("%s is wanted and not in the list", typ)
		}
	}

	asJSON := runWith(t, nil, "stripe", "events", "-o", "json")
	asJSON.want(t, 0)
	var all []struct {
		Type             string
		Account, Connect bool
	}
	if err := json.Unmarshal([]byte(asJSON.out), &all); err != nil || len(all) != len(types) {
		t.Fatalf("-o json = %d types (%v), --comma %d", len(all), err, len(types))
	}
	for _, s := range all {
		// An account withdraws its authorization from a platform; nobody withdraws the platform's own.
		if want := s.Type != "account.application.deauthorized"; s.Account != want || !s.Connect {
			t.Errorf("%s: account %t, connect %t", s.Type, s.Account, s.Connect)
		}
	}
	runWith(t, nil, "stripe", "events", "--comma", "-o", "json").want(t, 2)
}
