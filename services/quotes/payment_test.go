package quotes_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

var keys = redisquote.NewKeys("g1")

// project writes the quote's own events to Redis as the payments worker does.
func (f *fixture) project(t *testing.T, id string) {
	t.Helper()
	records, err := f.nats.Log("test").ReadAll(t.Context(), event.StreamQuotes, "quote.*.*."+id+".*")
	if err != nil {
		t.Fatal(err)
	}
	pipe := f.redis.Client().Pipeline()
	for _, r := range records {
		s, _ := event.ParseQuoteSubject(r.Subject)
		env, err := event.Decode(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		switch s.Event {
		case event.NameDrafted:
			d, err := event.Data[event.Drafted](env)
			if err != nil {
				t.Fatal(err)
			}
			pipe.HSet(t.Context(), keys.Quote(id), redisquote.FieldDocument, string(env.Data), redisquote.FieldVersion, s.N)
			if d.Version == 1 {
				z := redis.Z{Score: float64(d.DraftedAt.UnixMilli()), Member: id}
				pipe.ZAdd(t.Context(), keys.IndexSeller(s.Seller), z)
				pipe.ZAdd(t.Context(), keys.IndexDeal(s.Seller, d.Document.Deal.ID), z)
				for _, status := range []string{"draft", "published", "recalled", "paid"} { // an index that is behind holds too much
					pipe.ZAdd(t.Context(), keys.IndexStatus(s.Seller, status), z)
				}
			}
		case event.NamePublished:
			p, err := event.Data[event.Published](env)
			if err != nil {
				t.Fatal(err)
			}
			pipe.HSet(t.Context(), keys.Quote(id), redisquote.FieldRevision+s.N, string(env.Data))
			pipe.Set(t.Context(), keys.Token(p.URLToken), id+" "+s.N, 0)
		case event.NameRecalled:
			pipe.HSet(t.Context(), keys.Quote(id), redisquote.FieldRecalled+s.N, "1")
		}
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// payments writes payment facts of a quote to Redis as the payments worker does.
func (f *fixture) payments(t *testing.T, id string, facts quote.Facts) {
	t.Helper()
	facts.Merge(quote.RevisionFacts(quote.Revision{
		Seller: "main", Number: 1, Amount: quote.Money{Amount: 118587, Currency: "pln"}, Account: "platform", Mode: "test", Deal: "deal_42",
		PublishedAt: noon,
	}))
	state := quote.Derive("platform", facts)
	flags := make([]string, 0, len(state.Flags))
	for _, flag := range state.Flags {
		flags = append(flags, string(flag))
	}
	err := f.redis.Client().HSet(t.Context(), keys.Pay("platform", id), redisquote.FieldFacts, string(facts.Encode()),
		redisquote.FieldDigest, facts.Digest(), redisquote.FieldStatus, string(state.Status), redisquote.FieldFlags, strings.Join(flags, ",")).Err()
	if err != nil {
		t.Fatal(err)
	}
}

// settled are the facts of one payment of an amount, made at a time.
func settled(amount int64, at time.Time) quote.Facts {
	return quote.Facts{
		Intents: []quote.IntentFact{{
			ID: "pi_1", Origin: quote.Origin{Claims: quote.Set{quote.ClaimOf("main", 1)}, Test: true}, Charges: quote.Set{"ch_1"},
			Settled: []quote.Settlement{{Amount: amount, Currency: "pln", Rank: quote.RankEvent, At: at.Unix(), Event: "evt_1"}},
		}},
	}
}

func processing() quote.Facts {
	return quote.Facts{Sessions: []quote.SessionFact{{
		ID: "cs_1", Origin: quote.Origin{Claims: quote.Set{quote.ClaimOf("main", 1)}, Test: true},
		Complete: quote.Moment(noon.Unix()), Unpaid: quote.Moment(noon.Unix()),
	}}}
}

func refunded(at time.Time) quote.Facts {
	f := settled(118587, at)
	f.Refunds = []quote.RefundFact{{
		ID: "re_1", Origin: quote.Origin{Test: true}, Intents: quote.Set{"pi_1"}, Payments: quote.Set{"pi_1"}, Money: quote.Money{Amount: 118587, Currency: "pln"},
		At: quote.Moment(at.Add(48 * time.Hour).Unix()), Done: quote.Moment(at.Add(48 * time.Hour).Unix()),
	}}
	return f
}

// late is a quarter past eleven at night in UTC: the next day in Warsaw.
var late = time.Date(2026, 11, 19, 23, 15, 0, 0, time.UTC)

// R33, R47
func TestTheCardShowsWhenItWasPaid(t *testing.T) {
	f := start(t)
	type step func(id string)
	for name, tt := range map[string]struct {
		given        step
		text, status string
		paidAt       any
		flags        string
	}{
		"draft":     {func(string) {}, "Draft", "draft", nil, "[]"},
		"published": {func(id string) { f.publish(t, id) }, "Awaiting payment", "published", nil, "[]"},
		"processing": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, processing())
		}, "Payment processing", "processing", nil, "[]"},
		"paid in Redis": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, settled(118587, late))
		}, "Paid: Nov 20, 2026", "paid", "2026-11-19T23:15:00Z", "[]"},
		"paid in the log, Redis behind": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, processing())
			f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
		}, "Paid: Nov 20, 2026", "paid", "2026-11-19T23:15:00Z", "[]"},
		"paid in the log, Redis empty": {func(id string) {
			f.publish(t, id)
			f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
		}, "Paid: Nov 20, 2026", "paid", "2026-11-19T23:15:00Z", "[]"},
		"the stored event has the word on the date": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, settled(118587, late.Add(-72*time.Hour)))
			f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
		}, "Paid: Nov 20, 2026", "paid", "2026-11-19T23:15:00Z", "[]"},
		"refunded": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, refunded(late))
			f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
		}, "Refunded: Nov 22, 2026", "refunded", "2026-11-19T23:15:00Z", "[]"},
		"another amount": {func(id string) {
			f.publish(t, id)
			f.payments(t, id, settled(100, late))
		}, "Payment needs review", "review", nil, "[mismatch]"},
	} {
		t.Run(name, func(t *testing.T) {
			id := f.create(t)
			tt.given(id)
			got := f.call(t, "GET", "/v1/quotes/"+id+"/card", "").want(t, http.StatusOK)
			if got.text(t, "text") != tt.text || got.text(t, "status") != tt.status || got.field(t, "amount") != float64(118587) ||
				got.text(t, "currency") != "pln" || fmt.Sprint(got.field(t, "flags")) != tt.flags {
				t.Errorf("card = %s, want %q, %s, flags %s", got.body, tt.text, tt.status, tt.flags)
			}
			if tt.status != "review" && got.field(t, "paid_at") != tt.paidAt {
				t.Errorf("paid_at = %v, want %v", got.field(t, "paid_at"), tt.paidAt)
			}
			if shown := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK); shown.text(t, "status") != tt.status {
				t.Errorf("quote = %s, want status %s", shown.body, tt.status)
			}
		})
	}
}

// R27
func TestMoneyKeepsAQuoteFromBeingRecalled(t *testing.T) {
	f := start(t)
	object := event.PaymentFact{Seller: "main", Revision: 1, Object: "cs_1", Account: "platform", Mode: "test", Currency: "pln"}
	for name, tt := range map[string]struct {
		given func(id string)
		code  string
	}{
		"nothing":                 {func(string) {}, ""},
		"quote.paid in the log":   {func(id string) { f.fact(t, id, "paid", "1", paid(id, 1, noon)) }, "paid"},
		"an attempt in the log":   {func(id string) { f.fact(t, id, "payment_processing", "cs_1", object) }, "payment_open"},
		"processing in Redis":     {func(id string) { f.payments(t, id, processing()) }, "payment_open"},
		"paid in Redis":           {func(id string) { f.payments(t, id, settled(118587, noon)) }, "paid"},
		"refunded in Redis":       {func(id string) { f.payments(t, id, refunded(noon)) }, "paid"},
		"another amount in Redis": {func(id string) { f.payments(t, id, settled(90, noon)) }, "paid"},
		"pending in Redis":        {func(id string) { f.payments(t, id, quote.Facts{}) }, ""},
		"an attempt in the log that failed": {func(id string) {
			f.fact(t, id, "payment_processing", "cs_1", object)
			f.fact(t, id, "payment_failed", "cs_1", object)
		}, ""},
		"another attempt that failed before": {func(id string) {
			other := object
			other.Object = "ch_1"
			f.fact(t, id, "payment_failed", "ch_1", other)
			f.fact(t, id, "payment_processing", "cs_1", object)
		}, "payment_open"},
		"its own failure, told first": {func(id string) {
			f.fact(t, id, "payment_failed", "cs_1", object)
			f.fact(t, id, "payment_processing", "cs_1", object)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			id := f.create(t)
			f.publish(t, id)
			tt.given(id)
			got := f.call(t, "POST", "/v1/quotes/"+id+"/recall", "")
			if tt.code == "" {
				got.want(t, http.StatusOK)
				return
			}
			if codes := got.problem(t, http.StatusConflict, "conflict").codes(t); !slices.Equal(codes, []string{tt.code}) {
				t.Errorf("reasons = %v, want %s", codes, tt.code)
			}
		})
	}
}

// A payment that slips through after a recall: no newer revision may be offered.
func TestMoneyKeepsAQuoteFromBeingPublishedAgain(t *testing.T) {
	f := start(t)
	for name, given := range map[string]func(id string){
		"log":   func(id string) { f.fact(t, id, "paid", "1", paid(id, 1, noon)) },
		"redis": func(id string) { f.payments(t, id, settled(118587, noon)) },
	} {
		id := f.create(t)
		f.publish(t, id)
		f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
		given(id)
		if codes := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, 409, "conflict").codes(t); !slices.Equal(codes, []string{"paid"}) {
			t.Errorf("%s: reasons = %v, want paid", name, codes)
		}
	}
}

// R12
func TestTheListIsFilteredAndPaged(t *testing.T) {
	f := start(t)
	other := strings.Replace(document, "deal_42", "deal_43", 1)
	var all, drafts, deal []string
	for i := range 7 {
		f.clock.move(time.Second)
		body := document
		if i%3 == 0 {
			body = other
		}
		id := f.call(t, "POST", "/v1/quotes", body).want(t, 201).text(t, "id")
		if i%2 == 0 {
			f.publish(t, id)
		} else {
			drafts = append(drafts, id)
		}
		f.project(t, id)
		all = append(all, id)
		if i%3 == 0 {
			deal = append(deal, id)
		}
	}
	f.payments(t, all[6], settled(118587, noon))
	f.call(t, "POST", "/v1/quotes", document, "Authorization", "Bearer "+strangeToken).want(t, 201)

	ids := func(query string) []string {
		var got []string
		cursor := ""
		for range 20 {
			path := "/v1/quotes?" + query
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			a := f.call(t, "GET", path, "").want(t, http.StatusOK)
			var page struct {
				Data       []struct{ ID, Status, Title, Currency string }
				NextCursor *string `json:"next_cursor"`
			}
			if err := json.Unmarshal(a.body, &page); err != nil {
				t.Fatal(err)
			}
			for _, q := range page.Data {
				if q.Title != "Website" || q.Currency != "pln" || q.Status == "" {
					t.Errorf("listed %+v", q)
				}
				got = append(got, q.ID)
			}
			if page.NextCursor == nil {
				break
			}
			cursor = *page.NextCursor
		}
		slices.Reverse(got)
		return got
	}
	for query, want := range map[string][]string{
		"": all, "limit=2": all, "limit=7": all, "limit=3": all, "limit=100": all,
		"status=draft": drafts, "status=draft&limit=1": drafts, "status=published": {all[0], all[2], all[4]}, "status=paid": {all[6]},
		"status=recalled": nil, "deal=deal_43": deal, "deal=deal_43&status=draft": {all[3]}, "deal=deal_43&status=draft&limit=1": {all[3]}, "deal=none": nil,
	} {
		if got := ids(query); !slices.Equal(got, want) {
			t.Errorf("list %q = %v, want %v", query, got, want)
		}
	}
	for query, code := range map[string]string{
		"status=open": "invalid_choice status", "limit=0": "out_of_range limit", "limit=101": "out_of_range limit", "limit=x": "out_of_range limit",
		"cursor=%21": "invalid_text cursor", "cursor=eA": "invalid_text cursor", "state=draft": "unknown_field state", "deal=a&deal=b": "invalid_choice deal",
	} {
		if got := f.call(t, "GET", "/v1/quotes?"+query, "").problem(t, 400, "invalid-query").codes(t); !slices.Equal(got, []string{code}) {
			t.Errorf("list %q = %v, want %s", query, got, code)
		}
	}
	if got := f.call(t, "GET", "/v1/quotes", "", "Authorization", "Bearer "+strangeToken).want(t, 200); string(got.body) != `{"data":[],"next_cursor":null}`+"\n" {
		t.Errorf("another seller's list = %s", got.body)
	}
}
