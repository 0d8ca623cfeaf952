//go:build upgrade

package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// sale is a quote that its customer has paid.
type sale struct{ quote, owner string }

// load makes quotes and lets their customers pay them, on and on.
type load struct {
	w      *world
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex
	count  int
	sales  []sale
	faults []error
}

// sell starts so many sellers.
func (w *world) sell(sellers int) *load {
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &load{w: w, cancel: cancel}
	for range sellers {
		l.wait.Go(func() {
			for ctx.Err() == nil {
				l.mu.Lock()
				l.count++
				number := l.count
				l.mu.Unlock()
				s, err := w.one(number)
				l.mu.Lock()
				if err != nil {
					l.faults = append(l.faults, fmt.Errorf("sale %d: %w", number, err))
				} else {
					l.sales = append(l.sales, s)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// stop lets the sales in hand come to their end and returns all, with what went wrong.
func (l *load) stop() ([]sale, []error) {
	l.cancel()
	l.wait.Wait()
	return l.sales, l.faults
}

// more waits for so many further sales.
func (l *load) more(n int) {
	l.w.t.Helper()
	l.mu.Lock()
	until := len(l.sales) + n
	l.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		l.mu.Lock()
		have, faults := len(l.sales), l.faults
		l.mu.Unlock()
		if have >= until {
			return
		}
		if time.Now().After(deadline) {
			l.w.t.Fatalf("%d of %d sales within %s; what went wrong: %v", have, until, patience, errors.Join(faults...))
		}
	}
}

// one publishes a quote, checks it out and pays it.
func (w *world) one(number int) (sale, error) {
	s := sale{owner: fmt.Sprintf("owner%d@seller.example", number)}
	var made struct{ ID string }
	err := w.call(http.MethodPost, w.quotes.URL+"/v1/quotes", map[string]any{
		"title": fmt.Sprint("Roof ", number), "deal": map[string]any{"id": fmt.Sprint("d_", number), "name": "Roofs"}, "currency": "eur",
		"line_items": []any{map[string]any{"name": "Roof", "quantity": 1, "unit_amount": 100000 + number}},
		"owner":      map[string]any{"name": "Ola", "email": s.owner, "time_zone": "Europe/Warsaw"},
		"contact":    map[string]any{"email": "anna@customer.example", "first_name": "Anna", "last_name": "Nowak"},
		"payment":    map[string]any{"stripe": true},
	}, &made)
	if err != nil {
		return s, err
	}
	s.quote = made.ID
	var published struct{ URL string }
	if err := w.call(http.MethodPost, w.quotes.URL+"/v1/quotes/"+made.ID+"/publish", nil, &published); err != nil {
		return s, err
	}
	session, err := w.checkOut(published.URL)
	if err != nil {
		return s, err
	}
	pay := map[string]any{"action": "pay", "email": "anna@customer.example", "name": "Anna"}
	return s, w.call(http.MethodPost, w.box+"/sandbox/sessions/"+session, pay, nil)
}

// checkOut clicks Check out on a quote's page, which is there as soon as payments has folded the publication.
func (w *world) checkOut(page string) (string, error) {
	for deadline := time.Now().Add(patience); ; {
		session, status, err := w.tryCheckOut(page)
		if err == nil || status != http.StatusNotFound || time.Now().After(deadline) {
			return session, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-w.t.Context().Done():
			return "", w.t.Context().Err()
		}
	}
}

func (w *world) tryCheckOut(page string) (session string, status int, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, page+"/checkout", http.NoBody)
	if err != nil {
		return "", 0, err
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	id, ok := strings.CutPrefix(res.Header.Get("Location"), w.box+"/pay/")
	if res.StatusCode != http.StatusSeeOther || !ok {
		return "", res.StatusCode, fmt.Errorf("check out: %s %s %s", res.Status, res.Header.Get("Location"), body)
	}
	return id, res.StatusCode, nil
}
