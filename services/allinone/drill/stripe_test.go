package drill_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/sandbox"
)

// sale is a published quote and the Checkout Session that its customer has open.
type sale struct{ quote, owner, session string }

// offer publishes n quotes, each of an owner of its own, and opens the check out of each, as their customers do.
func (w *world) offer(n int) []sale {
	w.t.Helper()
	sales := make([]sale, n)
	var group errgroup.Group
	group.SetLimit(4)
	for i := range sales {
		w.count++
		number := w.count
		group.Go(func() (err error) {
			sales[i], err = w.tryOffer(number)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		w.t.Fatal(err)
	}
	return sales
}

func (w *world) tryOffer(number int) (sale, error) {
	s := sale{owner: fmt.Sprintf("owner%d@seller.example", number)}
	var made struct{ ID string }
	err := w.api("/v1/quotes", map[string]any{
		"title": fmt.Sprint("Roof ", number), "deal": map[string]any{"id": fmt.Sprint("d_", number), "name": "Roofs"}, "currency": "eur",
		"line_items": []any{map[string]any{"name": "Roof", "quantity": 1, "unit_amount": 100000 + number}},
		// A session of the sandbox whose clock lies behind may not last longer.
		"expires_at": time.Now().Add(12 * time.Hour).UTC().Format(time.RFC3339),
		"owner":      map[string]any{"name": "Ola", "email": s.owner, "time_zone": "Europe/Warsaw"},
		"contact":    map[string]any{"email": "anna@customer.example", "first_name": "Anna", "last_name": "Nowak"},
		"payment":    map[string]any{"stripe": true},
	}, &made)
	if err != nil {
		return s, err
	}
	var published struct{ URL string }
	if err := w.api("/v1/quotes/"+made.ID+"/publish", nil, &published); err != nil {
		return s, err
	}
	s.quote = made.ID
	for deadline := time.Now().Add(patience); ; {
		if s.session, err = w.checkOut(published.URL); err == nil || time.Now().After(deadline) || w.t.Context().Err() != nil {
			return s, err
		}
		select { // the page is found as soon as payments has folded the publication
		case <-time.After(20 * time.Millisecond):
		case <-w.t.Context().Done():
		}
	}
}

// checkOut clicks Check out on a quote's page and returns the session that this leads to.
func (w *world) checkOut(page string) (string, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, page+"/checkout", http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	id, ok := strings.CutPrefix(res.Header.Get("Location"), w.box+"/pay/")
	if res.StatusCode != http.StatusSeeOther || !ok {
		return "", fmt.Errorf("check out: %s %s %s", res.Status, res.Header.Get("Location"), body)
	}
	return id, nil
}

// pay pays the sessions at Stripe.
func (w *world) pay(sales ...sale) {
	w.t.Helper()
	for _, s := range sales {
		w.admin("/sandbox/sessions/"+s.session, map[string]any{"action": "pay", "email": "anna@customer.example", "name": "Anna"}, nil)
	}
	w.sales = append(w.sales, sales...)
}

func (w *world) api(path string, body, into any) error {
	return w.call(http.MethodPost, w.quotesURL+path, body, into, "Authorization", "Bearer "+token)
}

// admin moves the sandbox's world.
func (w *world) admin(path string, body, into any) {
	w.t.Helper()
	if err := w.call(http.MethodPost, w.box+path, body, into); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) call(method, address string, body, into any, headers ...string) error {
	return processtest.JSON(w.t.Context(), method, address, body, into, headers...)
}

// pass moves the sandbox's clock on.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.admin("/sandbox/clock", map[string]any{"advance": d.String()}, nil)
}

// present sets the sandbox's clock to the wall clock.
func (w *world) present() {
	w.t.Helper()
	w.admin("/sandbox/clock", map[string]any{"reset": true}, nil)
}

type webhookDelivery struct {
	Event, Type, State string
	Next               time.Time `json:"next_attempt"`
	Attempts           []struct{ Status int }
}

// deliveries are Stripe's webhooks in a state.
func (w *world) deliveries(state string) []webhookDelivery {
	w.t.Helper()
	var all struct{ Deliveries []webhookDelivery }
	if err := w.call(http.MethodGet, w.box+"/sandbox/deliveries?state="+state, nil, &all); err != nil {
		w.t.Fatal(err)
	}
	return all.Deliveries
}

// tried waits until each open webhook has been tried and waits for a later time.
func (w *world) tried(attempts int) {
	w.t.Helper()
	w.until("Stripe has tried its webhooks", func() error {
		var clock struct{ Now time.Time }
		if err := w.call(http.MethodGet, w.box+"/sandbox/clock", nil, &clock); err != nil {
			return err
		}
		for _, d := range w.deliveries("pending") {
			if len(d.Attempts) < attempts || !d.Next.After(clock.Now) {
				return fmt.Errorf("%s of %s was tried %d times", d.Type, d.Event, len(d.Attempts))
			}
		}
		return nil
	})
}

// roll has Stripe replace the endpoint's secret at once, as after a leak, and returns the new one.
func (w *world) roll() string {
	w.t.Helper()
	var endpoints struct{ Data []struct{ ID string } }
	if err := w.call(http.MethodGet, w.box+"/v1/webhook_endpoints", nil, &endpoints, "Authorization", "Bearer "+sandbox.DefaultTestKey); err != nil {
		w.t.Fatal(err)
	}
	if len(endpoints.Data) != 1 {
		w.t.Fatalf("%d endpoints, want 1", len(endpoints.Data))
	}
	var rolled struct{ Secret string }
	w.admin("/sandbox/webhook_endpoints/"+url.PathEscape(endpoints.Data[0].ID), map[string]any{"roll": true}, &rolled)
	return rolled.Secret
}
