package quotes

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
)

// liveEvents are those after which a quote's page may say something else.
var liveEvents = []string{
	event.NamePublished, event.NameRecalled, event.NameExpired, event.NamePaid, event.NamePaymentProcessing, event.NamePaymentFailed,
	event.NameRefunded, event.NameDisputed,
}

// maxPagesOfOne is how many pages one client may follow at one time.
const maxPagesOfOne = 24

// live wakes whoever follows a quote when one of its events is stored. It is a
// hint and no more: a wake-up may be lost with the connection to NATS, so that
// those who follow look by themselves too, every now and then. Safe for concurrent
// use.
type live struct {
	most int // followers at one time

	mu        sync.Mutex
	ended     chan struct{} // closed when the service stops
	followers map[string]map[*follower]bool
	count     int
	byClient  map[netip.Prefix]int
}

// follower is one open page. Woken holds at most one wake-up: they all mean the
// same.
type follower struct{ woken chan struct{} }

func newLive(most int) *live {
	return &live{most: most, ended: make(chan struct{}), followers: map[string]map[*follower]bool{}, byClient: map[netip.Prefix]int{}}
}

var errTooManyPages = &problem{
	Kind: "too-many-pages", Status: http.StatusServiceUnavailable,
	retryAfter: 30,
	Detail:     "Too many pages are followed at the moment; look at the page again instead.",
}

// follow begins to listen for a quote's events until leave is called. It returns
// errTooManyPages where there is no room.
func (l *live) follow(quote string, client netip.Prefix) (f *follower, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= l.most || l.byClient[client] >= maxPagesOfOne {
		return nil, nil, errTooManyPages
	}
	f = &follower{woken: make(chan struct{}, 1)}
	if l.followers[quote] == nil {
		l.followers[quote] = map[*follower]bool{}
	}
	l.followers[quote][f] = true
	l.count++
	l.byClient[client]++
	return f, func() { l.leave(quote, client, f) }, nil
}

func (l *live) leave(quote string, client netip.Prefix, f *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.followers[quote], f)
	if len(l.followers[quote]) == 0 {
		delete(l.followers, quote)
	}
	l.count--
	if l.byClient[client]--; l.byClient[client] == 0 {
		delete(l.byClient, client)
	}
}

// open is how many pages are followed.
func (l *live) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// wake tells everybody who follows the quote.
func (l *live) wake(quote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.followers[quote] {
		select {
		case f.woken <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// run listens to the server's copies of the events until ctx ends; then every
// stream ends, so that the drain need not wait for them.
func (l *live) run(ctx context.Context, nc *nats.Conn) error {
	defer close(l.ended)
	for _, name := range liveEvents {
		sub, err := nc.Subscribe(event.LiveSubject(name), func(m *nats.Msg) {
			if s, ok := event.ParseQuoteSubject(m.Header.Get(nats.JSSubject)); ok {
				l.wake(s.Quote)
			}
		})
		if err != nil {
			return fmt.Errorf("listen to %s: %w", event.LiveSubject(name), err)
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection closes next
	}
	<-ctx.Done()
	return nil
}
