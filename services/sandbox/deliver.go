package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// State of a delivery.
const (
	stateHeld      = "held" // until the API request that caused it is answered
	statePending   = "pending"
	stateDelivered = "delivered"
	stateFailed    = "failed"  // given up
	stateDropped   = "dropped" // by the knob: never sent unless by hand
)

// delivery is an event on its way to an endpoint.
type delivery struct {
	id       string
	event    *event
	endpoint *endpoint
	state    string
	next     time.Time // on the sandbox's clock
	extra    bool      // a duplicate or resend, which delivery_success does not count
	attempts []attempt
}

// attempt is one sending.
type attempt struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"` // 0 when there was no answer
	Error  string    `json:"error,omitempty"`
}

// Delays before the second and later attempts. Stripe publishes only the frame: three more tries over a few hours in test
// mode, exponential over three days in live mode.
var (
	testRetries = []time.Duration{time.Minute, 30 * time.Minute, 3 * time.Hour}
	liveRetries = []time.Duration{
		5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
		12 * time.Hour, 12 * time.Hour, 12 * time.Hour, 12 * time.Hour,
	}
)

// plan queues the event for an endpoint, as the knobs will have it.
func (s *sim) plan(e *event, p *endpoint) {
	k := s.knobs
	if !k.concern(e.typ) {
		k = knobs{}
	}
	d := s.queue(e, p, time.Duration(k.Late))
	if k.Drop {
		d.state = stateDropped
		return
	}
	if k.Duplicate {
		s.queue(e, p, time.Duration(k.Late)).extra = true
	}
}

func (s *sim) queue(e *event, p *endpoint, late time.Duration) *delivery {
	d := &delivery{id: s.id("del_", 16), event: e, endpoint: p, state: statePending, next: s.now().Add(late)}
	e.deliveries = append(e.deliveries, d)
	s.deliveries, s.open = append(s.deliveries, d), append(s.open, d)
	if s.request.id != "" {
		d.state = stateHeld
		s.held = append(s.held, d)
	}
	s.stir()
	return d
}

// release lets deliveries go that waited for the answer to their request.
func (s *sim) release(held []*delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range held {
		if d.state == stateHeld {
			d.state = statePending
		}
	}
	s.stir()
}

// await waits until each of the deliveries has been tried, at most five seconds: the webhook that overtakes the answer.
func (s *sim) await(ctx context.Context, held []*delivery) {
	for range 500 {
		s.mu.Lock()
		waiting := false
		for _, d := range held {
			waiting = waiting || d.state == statePending && len(d.attempts) == 0
		}
		s.mu.Unlock()
		if !waiting || ctx.Err() != nil {
			return
		}
		pause(ctx, 10*time.Millisecond, nil)
	}
}

// giveUp ends the retries to an endpoint that was disabled or deleted.
func (s *sim) giveUp(p *endpoint) {
	for _, d := range s.open {
		if d.endpoint == p && (d.state == statePending || d.state == stateHeld) {
			d.state = stateFailed
		}
	}
}

// deliver sends what is due and plays due tasks until ctx ends. An endpoint gets one request at a time, in the order in
// which the events happened unless a knob says otherwise.
func (s *sim) deliver(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	for ctx.Err() == nil {
		batches, wait := s.due()
		for p, batch := range batches {
			sending.Go(func() { s.send(ctx, p, batch) })
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due takes what has to be sent now, by endpoint, and says how long nothing more will fall due.
func (s *sim) due() (map[*endpoint][]*delivery, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	now, wait := s.now(), time.Minute
	batches := map[*endpoint][]*delivery{}
	s.open = slices.DeleteFunc(s.open, func(d *delivery) bool { return d.state != statePending && d.state != stateHeld })
	for _, d := range s.open {
		switch {
		case d.state != statePending || d.endpoint.busy:
		case d.next.After(now):
			wait = min(wait, d.next.Sub(now))
		default:
			batches[d.endpoint] = append(batches[d.endpoint], d)
		}
	}
	for p, batch := range batches {
		p.busy = true
		if s.knobs.Reorder {
			s.random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		}
	}
	if len(s.tasks) > 0 {
		wait = min(wait, s.tasks[0].due.Sub(now))
	}
	return batches, max(wait, time.Millisecond)
}

func (s *sim) send(ctx context.Context, p *endpoint, batch []*delivery) {
	for _, d := range batch {
		if ctx.Err() != nil {
			break
		}
		s.try(ctx, d)
	}
	s.mu.Lock()
	p.busy = false
	s.mu.Unlock()
	s.stir()
}

// try sends a delivery once and notes what came of it.
func (s *sim) try(ctx context.Context, d *delivery) {
	s.mu.Lock()
	if d.state != statePending {
		s.mu.Unlock()
		return
	}
	url := d.endpoint.o.str("url")
	payload, header, err := s.sign(d)
	s.mu.Unlock()
	a := attempt{}
	if err == nil {
		a.Status, err = s.post(ctx, url, payload, header)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.At = s.now()
	if err != nil {
		a.Error = err.Error()
	}
	d.attempts = append(d.attempts, a)
	retries := testRetries
	if d.event.world.live {
		retries = liveRetries
	}
	switch n := len(d.attempts); {
	case d.state != statePending: // disabled meanwhile
	case a.Status >= 200 && a.Status <= 299:
		d.state = stateDelivered
	case n > len(retries):
		d.state = stateFailed
	default:
		d.next = a.At.Add(retries[n-1])
	}
	s.log.Debug("webhook sent", zap.String("event_id", d.event.id), zap.String("event_type", d.event.typ), zap.Int("status", a.Status), zap.String("state", d.state), zap.Error(err))
}

func (s *sim) post(ctx context.Context, url string, payload []byte, header string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", header)
	res, err := s.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("send webhook: %w", err)
	}
	_ = res.Body.Close()
	return res.StatusCode, nil
}

// sign renders the event for the endpoint and signs it, anew at each attempt. The time of the signature is that of the wall
// clock: receivers compare it with theirs, which nobody moves.
func (s *sim) sign(d *delivery) (payload []byte, header string, err error) {
	o := d.event.render(d.endpoint.version())
	if d.event.world == d.endpoint.owner && !d.endpoint.connect {
		o = o.without("account")
	}
	if d.endpoint.thin {
		o = d.event.thin()
	}
	if payload, err = body(o); err != nil {
		return nil, "", err
	}
	t := strconv.FormatInt(s.cfg.Now().Unix(), 10)
	header = "t=" + t
	for _, secret := range d.endpoint.secrets {
		if secret.until.IsZero() || secret.until.After(s.now()) {
			header += ",v1=" + mac(secret.value, t, payload)
		}
	}
	if !d.event.world.live {
		header += ",v0=" + mac("v0", t, payload) // Stripe's fake scheme of test mode
	}
	return payload, header, nil
}

func mac(secret, t string, payload []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t + "."))
	h.Write(payload)
	return hex.EncodeToString(h.Sum(nil))
}
