//go:build upgrade

package upgrade_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// balancer stands before the replicas of a service and hands each request to the next of them. It tries nothing twice: what a
// replica answers is what the caller gets, and an address that does not answer is a 502.
type balancer struct {
	// URL is its own address.
	URL string

	mu       sync.Mutex
	idle     *sync.Cond
	replicas []*replica
	next     int
	statuses map[int]int
}

type replica struct {
	address string
	proxy   http.Handler
	open    int // requests in hand
}

func newBalancer(tb testing.TB) *balancer {
	tb.Helper()
	b := &balancer{statuses: map[int]int{}}
	b.idle = sync.NewCond(&b.mu)
	s := httptest.NewServer(b)
	tb.Cleanup(s.Close)
	b.URL = s.URL
	return b
}

// add sends requests to a replica from now on.
func (b *balancer) add(tb testing.TB, address string) {
	tb.Helper()
	to, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = append(b.replicas, &replica{address: address, proxy: proxy})
}

// remove sends a replica no more requests and waits until it has answered those in hand.
func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range b.replicas {
		if r.address == address {
			b.replicas = append(b.replicas[:i:i], b.replicas[i+1:]...)
			for r.open > 0 {
				b.idle.Wait()
			}
			return
		}
	}
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b.mu.Lock()
	if len(b.replicas) == 0 {
		b.statuses[http.StatusServiceUnavailable]++
		b.mu.Unlock()
		http.Error(w, "no replica", http.StatusServiceUnavailable)
		return
	}
	b.next++
	r := b.replicas[b.next%len(b.replicas)]
	r.open++
	b.mu.Unlock()
	watched := &watched{ResponseWriter: w, status: http.StatusOK}
	r.proxy.ServeHTTP(watched, q)
	b.mu.Lock()
	defer b.mu.Unlock()
	r.open--
	b.statuses[watched.status]++
	b.idle.Broadcast()
}

// answers are how many requests had each status.
func (b *balancer) answers() map[int]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[int]int{}
	for status, n := range b.statuses {
		all[status] = n
	}
	return all
}

// watched keeps the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
