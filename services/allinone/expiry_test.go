package allinone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

// shop is the paid pipeline on servers of the test's own, with the sandbox for Stripe. quotes has a clock that the test
// sets; Stripe's stands an hour back, so that there is time for a session of a quote which, by the clock of NATS, ends in
// seconds.
type shop struct {
	t           *testing.T
	api, stripe string
	behind      atomic.Bool // the clock of quotes
	end         time.Time   // of every quote
	pipeline    *pipelinetest.Pipeline
	token       string
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, token: "shop-token-0123456789abcdef"}
	s.behind.Store(true)
	an := func() time.Time { return time.Now().Add(-time.Hour) }
	p := pipelinetest.Start(t, pipelinetest.Config{StripeNow: an})
	s.pipeline, s.stripe = p, p.Stripe
	cfg := p.QuotesConfig("sue:seller:" + s.token)
	cfg.Now = func() time.Time {
		if s.behind.Load() {
			return an()
		}
		return time.Now()
	}
	s.api = "http://" + pipelinetest.Run(t, quotes.New, cfg).Addr().String()
	s.end = time.Now().Add(5 * time.Second).Truncate(time.Second)
	return s
}

// call makes a request and returns the status, where it leads, and the body.
func (s *shop) call(method, target, body string) (status int, location, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(target, s.api+"/v1/"):
		req.Header.Set("Authorization", "Bearer "+s.token)
	case strings.HasPrefix(target, s.stripe+"/v1/"):
		req.Header.Set("Authorization", "Bearer "+sandbox.DefaultTestKey)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Location"), string(b)
}

func (s *shop) field(body, name string) string {
	s.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	v, _ := m[name].(string)
	return v
}

// checkedOut publishes a quote and opens its session, as its customer does.
func (s *shop) checkedOut() (id, session string) {
	s.t.Helper()
	status, _, body := s.call("POST", s.api+"/v1/quotes", `{"title":"Roof","deal":{"id":"d_1","name":"Roof"},"currency":"eur",
		"line_items":[{"name":"Roof","quantity":1,"unit_amount":120000}],"expires_at":"`+s.end.UTC().Format(time.RFC3339)+`",
		"owner":{"name":"Ada","email":"ada@seller.example","time_zone":"Europe/Warsaw"},"contact":{"email":"pat@acme.example","company":"Acme"},"payment":{"stripe":true}}`)
	if status != http.StatusCreated {
		s.t.Fatalf("create = %d %s", status, body)
	}
	id = s.field(body, "id")
	status, _, body = s.call("POST", s.api+"/v1/quotes/"+id+"/publish", "")
	if status != http.StatusOK {
		s.t.Fatalf("publish = %d %s", status, body)
	}
	token := path.Base(s.field(body, "url"))
	var location string
	eventually(s.t, "the page is there", func() bool {
		status, location, body = s.call("POST", s.api+"/q/"+token+"/checkout", "")
		return status != http.StatusNotFound && status != http.StatusServiceUnavailable
	})
	if status != http.StatusSeeOther {
		s.t.Fatalf("check out = %d %s", status, body)
	}
	return id, path.Base(location)
}

func (s *shop) act(session, action string) (int, string) {
	s.t.Helper()
	status, _, body := s.call("POST", s.stripe+"/sandbox/sessions/"+session, `{"action":"`+action+`"}`)
	return status, body
}

func (s *shop) moveStripe(what, body string) {
	s.t.Helper()
	if status, _, answer := s.call("POST", s.stripe+"/sandbox/"+what, body); status != http.StatusOK {
		s.t.Fatalf("%s = %d %s", what, status, answer)
	}
}

func (s *shop) stands(id, want string) (card string) {
	s.t.Helper()
	eventually(s.t, id+" is "+want, func() bool {
		_, _, card = s.call("GET", s.api+"/v1/quotes/"+id+"/card", "")
		return s.field(card, "status") == want
	})
	return card
}

func (s *shop) said(name, id string) bool {
	s.t.Helper()
	records, err := s.pipeline.Log.ReadAll(s.t.Context(), event.StreamQuotes, "quote."+name+".main."+id+".1")
	if err != nil {
		s.t.Fatal(err)
	}
	return len(records) == 1
}

// listed are the ids that the seller's list of a status shows.
func (s *shop) listed(status string) []string {
	s.t.Helper()
	_, _, body := s.call("GET", s.api+"/v1/quotes?status="+status, "")
	var page struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	ids := make([]string, 0, len(page.Data))
	for _, q := range page.Data {
		ids = append(ids, q.ID)
	}
	slices.Sort(ids)
	return ids
}

// R44, stripe.md row 34: the timer ends what is open, and money that is there or under way wins, in either order.
func TestExpiryMeetsPaymentsOfEveryKind(t *testing.T) {
	s := openShop(t)
	open, openSession := s.checkedOut()
	card, cardSession := s.checkedOut()
	debit, debitSession := s.checkedOut()
	bounced, bouncedSession := s.checkedOut()
	s.moveStripe("knobs", `{"debit_after":"65m"}`) // five minutes after the quotes have ended
	for session, action := range map[string]string{cardSession: "pay", debitSession: "debit", bouncedSession: "debit_fail"} {
		if status, body := s.act(session, action); status != http.StatusOK {
			t.Fatalf("%s = %d %s", action, status, body)
		}
	}
	s.stands(card, "paid")
	s.stands(debit, "processing")
	s.stands(bounced, "processing")
	s.behind.Store(false)

	// Expiry first: the session is over, and nobody can pay it any more.
	s.stands(open, "expired")
	eventually(t, "quote.expired", func() bool { return s.said("expired", open) })
	eventually(t, "the open session has ended at Stripe", func() bool {
		_, _, body := s.call("GET", s.stripe+"/v1/checkout/sessions/"+openSession, "")
		return s.field(body, "status") == "expired"
	})
	if status, body := s.act(openSession, "pay"); status != http.StatusBadRequest {
		t.Errorf("paying after the expiry = %d %s, want a refusal", status, body)
	}
	eventually(t, "it goes from the list of published quotes to that of expired ones", func() bool {
		return slices.Equal(s.listed("expired"), []string{open}) && !slices.Contains(s.listed("published"), open)
	})
	if !s.said("expired", open) {
		t.Error("there is not one quote.expired of the open one")
	}

	// Payment first: the debits come to their end.
	s.moveStripe("clock", `{"advance":"66m"}`)
	if got := s.stands(debit, "paid"); !strings.Contains(got, `"flags":["late"]`) {
		t.Errorf("card of the late debit = %s, want the flag late", got)
	}
	if got := s.stands(card, "paid"); !strings.Contains(got, `"flags":[]`) {
		t.Errorf("card of the one that was paid in time = %s, want no flag", got)
	}
	s.stands(bounced, "expired")
	eventually(t, "quote.expired of the debit that bounced", func() bool { return s.said("expired", bounced) })
	eventually(t, "both lists are right", func() bool {
		expired, paid := []string{open, bounced}, []string{card, debit}
		slices.Sort(expired)
		slices.Sort(paid)
		return slices.Equal(s.listed("expired"), expired) && slices.Equal(s.listed("paid"), paid)
	})
	for _, id := range []string{card, debit} {
		eventually(t, "quote.paid of "+id, func() bool { return s.said("paid", id) })
	}
	processtest.Eventually(t, 2*time.Minute, "nothing is under way", func() error { return s.pipeline.Quiet(t.Context()) })
	for _, id := range []string{card, debit} {
		if !s.said("paid", id) || s.said("expired", id) {
			t.Errorf("%s: quote.paid %t, quote.expired %t", id, s.said("paid", id), s.said("expired", id))
		}
	}
	if dead, err := s.pipeline.Log.ReadAll(t.Context(), event.StreamDead, "dead.>"); err != nil || len(dead) > 0 {
		t.Errorf("dead letters: %v, %v", fmt.Sprint(dead), err)
	}
}
