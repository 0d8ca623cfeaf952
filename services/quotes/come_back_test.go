package quotes_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/env"
	"quittance.internal/services/quotes"
)

// door is an ingress: it takes what is signed and from a return.
type door struct {
	mu     sync.Mutex
	bodies []string
	closed bool
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || d.closed {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	// The tests' clock stands in 2026: only the signature is looked at.
	if webhook.ValidatePayloadIgnoringTolerance(b, r.Header.Get("Stripe-Signature"), "whsec_tests") != nil ||
		r.URL.Path != "/webhooks/stripe" || r.Header.Get("Quittance-Source") != "return" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.bodies = append(d.bodies, string(b))
}

func (d *door) took() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.bodies
	d.bodies = nil
	return taken
}

func TestWhoComesBackBringsTheSessionsEvents(t *testing.T) {
	f := start(t)
	in := &door{}
	server := httptest.NewServer(in)
	t.Cleanup(server.Close)
	f.cfg.IngressURL, f.cfg.WebhookSecret = server.URL, env.NewSecret("whsec_tests")
	s := f.withStripe(t)
	f.sellerEvent(t, 1, event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	id, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	said := func(n, session string) map[string]any {
		return map[string]any{
			"id": "evt_" + n, "object": "event", "type": "checkout.session.completed", "livemode": false, "created": noon.Unix(),
			"data": map[string]any{"object": map[string]any{"id": session, "object": "checkout.session"}},
		}
	}
	s.with(func() {
		s.events = []map[string]any{said("3", "cs_test_1"), said("2", "cs_other"), said("1", "cs_test_1")}
	})

	for _, path := range []string{token, token + "?session_id=cs_other", token + "?session_id="} { // not this revision's session
		f.get(t, path).want(t, http.StatusOK)
		if got := in.took(); len(got) != 0 {
			t.Errorf("%s entered %v", path, got)
		}
	}
	f.get(t, token+"?session_id=cs_test_1").want(t, http.StatusOK)
	got := in.took()
	if len(got) != 2 || !strings.Contains(got[0], "evt_1") || !strings.Contains(got[1], "evt_3") {
		t.Fatalf("entered %v", got)
	}
	var e struct{ Account string }
	if err := json.Unmarshal([]byte(got[0]), &e); err != nil || e.Account != "acct_1" {
		t.Errorf("account = %q, %v", e.Account, err)
	}
	in.closed = true // the page is shown all the same
	f.get(t, token+"?session_id=cs_test_1").want(t, http.StatusOK)
	in.closed = false
	f.fact(t, id, "paid", "1", paid(id, 1, noon))
	f.get(t, token+"?session_id=cs_test_1").want(t, http.StatusOK)
	if got := in.took(); len(got) != 0 {
		t.Errorf("a paid quote entered %v", got)
	}
}

func TestIngressIsTalkedToWithASecretOnly(t *testing.T) {
	for secrets, want := range map[string]string{"": "STRIPE_WEBHOOK_SECRETS: is required", "main": "is required", "main=whsec_1,old=whsec_2": "whsec_1"} {
		set := map[string]string{"API_TOKENS": allTokens, "INGRESS_URL": "http://ingress:8080/", "STRIPE_WEBHOOK_SECRETS": secrets}
		c, err := quotes.ConfigFromEnv(func(name string) (string, bool) { v, ok := set[name]; return v, ok })
		if got := fmt.Sprint(c.WebhookSecret.Reveal(), err); !strings.Contains(got, want) {
			t.Errorf("%q: %s", secrets, got)
		}
	}
}
