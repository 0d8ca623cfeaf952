package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// silenceGrace is how old an event at Stripe must be before its webhook is missed: Stripe delivers within seconds.
	silenceGrace = 2 * time.Minute
	// silenceDepth is how many messages are looked at for the last webhook: what came by reconcile or in person lies between.
	silenceDepth = 20_000
	silencePage  = 1000
)

// AtStripe is an event that Stripe lists.
type AtStripe struct {
	Account, ID, Type string
	Created           time.Time
}

// Silence is what Run looks for: webhooks that do not come.
//
// No webhook for a day may mean that nothing was sold, or that everything is broken. With Stripe's own list both can be told
// apart: what Stripe has and no webhook brought, though later ones would have come, is a webhook that is missed.
type Silence struct {
	Log  *natsstream.Log
	Mode string
	Now  time.Time
	// Stripe lists the events of wanted types since a time, in any order; nil where there is no key.
	Stripe func(ctx context.Context, since time.Time) ([]AtStripe, error)
	// Missed judges how long the oldest event without its webhook has waited.
	Missed Limits
	// Quiet is from when on silence alone is worth a warning where Stripe cannot be asked.
	Quiet time.Duration
	// Signatures are ingress's counters since its start, nil where they cannot be read, which Unread then explains.
	Signatures *Signatures
	Unread     string
}

// Signatures counts what ingress made of requests.
type Signatures struct {
	// Good are requests whose signature was right; Bad those of each reason that says it was not.
	Good float64            `json:"good"`
	Bad  map[string]float64 `json:"bad"`
}

// failures are those that a sender with a wrong secret or clock causes. A request without a signature is anybody's.
func (s Signatures) failures() float64 {
	return s.Bad["no_matching_signature"] + s.Bad["stale"] + s.Bad["future"]
}

// heard is the newest webhook in the log.
type heard struct {
	id, secret string
	at         time.Time
	created    time.Time // how far back Stripe is asked: what is older than the last webhook is reconcile's business
}

// Run compares.
func (s Silence) Run(ctx context.Context) (*Verdict, error) {
	v := newVerdict("silence")
	last, err := s.last(ctx)
	if err != nil {
		return nil, err
	}
	good := "no webhook has ever come"
	if last.id != "" {
		quiet := s.Now.Sub(last.at)
		good = fmt.Sprintf("the last webhook came %s ago (%s, secret %s)", wait(quiet), last.id, last.secret)
		v.Measures = append(v.Measures, Limits{Warn: s.Quiet, Critical: s.Quiet}.seconds("last_webhook", quiet))
	}
	if s.Stripe == nil {
		v.skip("what Stripe has: STRIPE_API_KEY is not set, so that no sales and no webhooks look the same")
		s.uncalibrated(v, last, good)
	} else if good, err = s.calibrated(ctx, v, last, good); err != nil {
		return nil, err
	}
	s.signatures(v)
	return v.close(good), nil
}

// uncalibrated judges by the clock alone.
func (s Silence) uncalibrated(v *Verdict, last heard, said string) {
	if s.Quiet > 0 && (last.id == "" || s.Now.Sub(last.at) >= s.Quiet) {
		v.find(Warning, "quotectl doctor", "%s; whether Stripe has anything is not known", said)
	}
}

// calibrated compares with Stripe's list and returns what to say when all is well.
func (s Silence) calibrated(ctx context.Context, v *Verdict, last heard, good string) (string, error) {
	since := s.Now.Add(-30 * 24 * time.Hour)
	if last.created.After(since) {
		since = last.created
	}
	listed, err := s.Stripe(ctx, since)
	if err != nil {
		return "", advice.New("quotectl doctor", "ask Stripe for its events: %w", err)
	}
	var missed int
	oldest := AtStripe{Created: s.Now}
	for _, e := range listed {
		if s.Now.Sub(e.Created) < silenceGrace {
			continue
		}
		came, err := s.came(ctx, e)
		if err != nil {
			return "", err
		}
		if !came {
			missed++
			if e.Created.Before(oldest.Created) {
				oldest = e
			}
		}
	}
	age := s.Now.Sub(oldest.Created)
	v.Measures = append(v.Measures, Measure{Name: "missed_webhooks", Value: float64(missed), Warn: 1, Critical: 1}, s.Missed.seconds("oldest_missed", age))
	if level := s.Missed.Level(age); level != OK && missed > 0 {
		v.find(level, "quotectl doctor", "Stripe has %d events that no webhook brought, the oldest %s ago (%s, %s)", missed, wait(age), oldest.ID, oldest.Type)
	}
	if missed == 0 {
		good += "; Stripe has nothing that did not come"
	}
	return good, nil
}

// came reports whether a webhook brought the event. What reconcile or a customer's return brought is in the log too, and its
// webhook is missed all the same.
func (s Silence) came(ctx context.Context, e AtStripe) (bool, error) {
	m, err := s.Log.Read(ctx, event.StreamStripe, fmt.Sprintf("stripe.%s.%s.%s.>", s.Mode, e.Account, e.ID))
	if errors.Is(err, natsstream.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	source := m.Header.Get(event.HeaderSource)
	// A return that was faster than the webhook takes its place in the log: nothing tells whether the webhook came too.
	return source == event.SourceWebhook || source == event.SourceReturn, nil
}

// last finds the newest webhook, from the stream's end backwards.
func (s Silence) last(ctx context.Context) (heard, error) {
	stream, err := s.Log.JetStream().Stream(ctx, event.StreamStripe)
	if err != nil {
		return heard{}, advice.New("quotectl declare", "look up stream %s: %w", event.StreamStripe, err)
	}
	end := stream.CachedInfo().State.LastSeq
	for looked := 0; end > 0 && looked < silenceDepth; looked += silencePage {
		begin := uint64(1)
		if end > silencePage {
			begin = end - silencePage + 1
		}
		page, err := s.Log.Scan(ctx, event.StreamStripe, begin, int(end-begin+1)) //nolint:gosec // at most silencePage
		if err != nil {
			return heard{}, err
		}
		for i := len(page) - 1; i >= 0; i-- {
			m := page[i]
			subject, ok := event.ParseStripeSubject(m.Subject)
			if ok && m.Sequence <= end && m.Header.Get(event.HeaderSource) == event.SourceWebhook {
				return heard{id: subject.EventID, secret: m.Header.Get(event.HeaderSecretName), at: m.Time, created: m.Time.Add(-silenceGrace)}, nil
			}
		}
		end = begin - 1
	}
	return heard{}, nil
}

// signatures judges ingress's counters.
func (s Silence) signatures(v *Verdict) {
	if s.Signatures == nil {
		v.skip("signature failures: %s", s.Unread)
		return
	}
	bad := s.Signatures.failures()
	all := bad + s.Signatures.Good
	share := 0.0
	if all > 0 {
		share = bad / all
	}
	v.Measures = append(v.Measures, Measure{Name: "signature_failures", Value: bad}, Measure{Name: "signature_failure_percent", Value: float64(int(share*1000)) / 10, Warn: 5, Critical: 50})
	const enough = 5 // below it one forger makes a share
	switch text := fmt.Sprintf("%.0f of %.0f signatures have failed since ingress started", bad, all); {
	case bad < enough:
	case share >= 0.5:
		v.find(Critical, "quotectl doctor", "%s", text)
	case share >= 0.05:
		v.find(Warning, "quotectl doctor", "%s", text)
	}
}
