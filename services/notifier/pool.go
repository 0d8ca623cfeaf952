package notifier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wneessen/go-mail"
)

const (
	// recycleAfter is how many mails one connection carries; relays limit it, often to 100.
	recycleAfter = 100
	// keepIdle is how long an unused connection is kept.
	keepIdle = 60 * time.Second
	// trustIdle is how long an unused connection is taken without asking the server whether it still listens.
	trustIdle = time.Second
)

// errNoConnection means that all connections were busy for too long.
var errNoConnection = errors.New("all SMTP connections are busy")

// Courier is one connection to the relay. One goroutine at a time may use it.
type Courier interface {
	// Send delivers one mail and returns the server's text after the final dot. The error is what classify sorts.
	Send(ctx context.Context, msg *mail.Msg) (reply string, err error)
	// Alive asks the server whether it still listens.
	Alive() bool
	// Quit says goodbye and closes the connection; Drop closes it without a word.
	Quit()
	Drop()
}

// kept is a connection and its history.
type kept struct {
	Courier

	mails int
	since time.Time
}

// fresh reports whether no mail has gone over the connection yet.
func (k *kept) fresh() bool { return k.mails == 0 }

// pool keeps a few connections: dialling for each mail costs a TLS handshake and a login each time. It is safe for
// concurrent use.
type pool struct {
	dial func(context.Context) (Courier, error)
	now  func() time.Time
	// slots holds one token per connection in use.
	slots chan struct{}

	mu sync.Mutex
	// idle is a stack: the connection used last is taken first, so that the others grow old and are recycled.
	idle []*kept
}

func newPool(size int, dial func(context.Context) (Courier, error), now func() time.Time) *pool {
	return &pool{dial: dial, now: now, slots: make(chan struct{}, size)}
}

// take returns a connection that works: a kept one that answers, or a new one. Each take is followed by a put. It
// returns errNoConnection when ctx ends before one is free.
func (p *pool) take(ctx context.Context) (*kept, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("take SMTP connection: %w: %w", errNoConnection, ctx.Err())
	}
	for k := p.pop(); k != nil; k = p.pop() {
		idle := p.now().Sub(k.since)
		switch {
		case idle > keepIdle:
			k.Quit()
		case idle <= trustIdle || k.Alive():
			return k, nil
		default:
			k.Drop()
		}
	}
	c, err := p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, fmt.Errorf("take SMTP connection: %w", err)
	}
	return &kept{Courier: c}, nil
}

// put gives a connection back after a mail; a broken one is closed.
func (p *pool) put(k *kept, broken bool) {
	defer func() { <-p.slots }()
	k.mails++
	switch {
	case broken:
		k.Drop()
	case k.mails >= recycleAfter:
		k.Quit()
	default:
		k.since = p.now()
		p.mu.Lock()
		p.idle = append(p.idle, k)
		p.mu.Unlock()
	}
}

func (p *pool) pop() *kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	k := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return k
}

// sweep closes connections that nobody used for keepIdle, until ctx ends; then it closes all that are idle.
func (p *pool) sweep(ctx context.Context) {
	ticker := time.NewTicker(keepIdle / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.close(0)
			return
		case <-ticker.C:
			p.close(keepIdle)
		}
	}
}

// close says goodbye on every connection that has been idle for at least that long.
func (p *pool) close(idle time.Duration) {
	now := p.now()
	p.mu.Lock()
	var old []*kept
	stay := p.idle[:0]
	for _, k := range p.idle {
		if now.Sub(k.since) >= idle {
			old = append(old, k)
			continue
		}
		stay = append(stay, k)
	}
	p.idle = stay
	p.mu.Unlock()
	for _, k := range old {
		k.Quit()
	}
}

// counted counts the dials of a relay.
func counted(dial func(context.Context) (Courier, error), dials *prometheus.CounterVec) func(context.Context) (Courier, error) {
	return func(ctx context.Context) (Courier, error) {
		c, err := dial(ctx)
		if err != nil {
			dials.WithLabelValues("failed").Inc()
			return nil, err
		}
		dials.WithLabelValues("ok").Inc()
		return c, nil
	}
}
