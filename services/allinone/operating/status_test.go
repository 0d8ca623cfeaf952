package operating_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/operations/past"
	"quittance.internal/services/operator/scenario"
)

func created(t *testing.T, e scenario.Event) time.Time {
	t.Helper()
	var body struct {
		Created int64 `json:"created"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatal(err)
	}
	return time.Unix(body.Created, 0).UTC()
}

// Sales saw "not paid" at a time at which it was paid already: the two axes tell why.
func TestStatusTellsWhatWasTrueApartFromWhatWasKnown(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.publish(1, 2)
	s, _ := scenario.Find("refund")
	b, err := s.Run(scenario.Target{
		Quote: "q_1", Seller: "main", Revision: 1, Title: "x", Amount: 1000, Currency: "eur", CustomerName: "Jan", CustomerEmail: "customer@buyer.example",
	}, 1, published.Add(time.Minute), scenario.V20231016)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(b.Events, func(x, y scenario.Event) int { return created(t, x).Compare(created(t, y)) })
	first := slices.IndexFunc(b.Events, func(e scenario.Event) bool { return strings.Contains(e.Type, "refund") })
	paid, refund := b.Events[:first], b.Events[first:]
	if len(paid) == 0 || len(refund) == 0 || !created(t, refund[0]).After(created(t, paid[len(paid)-1])) {
		t.Fatal("the scenario does not part payment and refund by time")
	}
	r.settled()
	unpaid := time.Now()
	for _, e := range paid {
		r.deliver(e)
	}
	r.settled()
	between := time.Now()
	for _, e := range refund {
		r.deliver(e)
	}
	r.settled()
	look := func(flag string, at time.Time) past.View {
		t.Helper()
		var v past.View
		r.quotectl("status", "q_1", flag, at.UTC().Format(time.RFC3339Nano), "-o", "json").want(t, 0).decode(t, &v)
		if v.Now.Status != "refunded" {
			t.Errorf("now = %+v, want refunded", v.Now)
		}
		return v
	}
	beforePublication, afterPayment := published.Add(-time.Second), created(t, paid[len(paid)-1])
	for _, c := range []struct {
		flag string
		at   time.Time
		want string
		card string
	}{
		{"--as-of", beforePublication, "", ""},
		{"--as-of", published.Add(time.Second), "published", "Awaiting payment"},
		{"--as-of", afterPayment, "paid", "Paid: Oct 9, 2025"},
		{"--as-of", unpaid, "refunded", ""}, // it was, though nobody here knew yet
		{"--as-known-at", unpaid, "published", "Awaiting payment"},
		{"--as-known-at", between, "paid", "Paid: Oct 9, 2025"},
	} {
		v := look(c.flag, c.at)
		if v.Then.Status != c.want || c.card != "" && v.Then.Card != c.card {
			t.Errorf("%s %v = %+v, want %s %s", c.flag, c.at, v.Then, c.want, c.card)
		}
	}
	if v := look("--as-known-at", between); len(v.Later) < len(refund) || v.Then.Digest == v.Now.Digest {
		t.Errorf("later = %v, want the %d events of the refund", v.Later, len(refund))
	}
	r.quotectl("status", "q_1", "--as-known-at", between.UTC().Format(time.RFC3339Nano)).
		want(t, 0, "what was known here at", "paid", "refunded", "changed", "came later:", "charge.refunded")
	r.quotectl("status", "q_1").want(t, 0, "refunded")
	r.quotectl("status", "q_none").want(t, 5, "there is no quote q_none")
	r.quotectl("status", "q_1", "--as-of", "tomorrow").want(t, 2, "is no time")
	r.quotectl("status", "q_1", "--as-of", "1h", "--as-known-at", "1h").want(t, 2, "ask one")
	r.quotectl("status", "q_1", "--as-of", "2199-01-01").want(t, 2, "still to come")
}
