package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/env"
	"quittance.internal/services/operator/scenario"
)

// webhookPath is where ingress takes Stripe's events; sourceHeader tells it that one was made by us.
const (
	webhookPath  = "/webhooks/stripe"
	sourceHeader = "Quittance-Source"
)

// post is one event on its way to ingress, and ingress's answer.
type post struct {
	EventID string `json:"event_id"`
	Type    string `json:"type"`
	// Attempts counts the requests that this delivery took; Stripe repeats what is not answered with 2xx, and so do we.
	Attempts int `json:"attempts"`
	// Answer is ingress's code: stored, duplicate or other_rendering.
	Answer string `json:"answer"`

	body []byte
	took time.Duration
}

// plan lists the deliveries: each event once and opts.duplicate times more. Without --shuffle all first deliveries come
// before all repetitions.
func plan(events []scenario.Event, opts simulation) []*post {
	var posts []*post
	for range opts.duplicate + 1 {
		for _, e := range events {
			posts = append(posts, &post{EventID: e.ID, Type: e.Type, body: e.Body})
		}
	}
	if opts.shuffle {
		random := rand.New(rand.NewPCG(uint64(opts.seed), 0)) //nolint:gosec // an order that can be repeated, not a secret
		random.Shuffle(len(posts), func(i, j int) { posts[i], posts[j] = posts[j], posts[i] })
	}
	return posts
}

// sender signs and posts events as Stripe does.
type sender struct {
	url    string
	secret env.Secret
	now    func() time.Time
	client *http.Client
}

func newSender(c Config, now func() time.Time) (*sender, error) {
	secret, err := firstSecret(c.WebhookSecrets)
	if err != nil {
		return nil, err
	}
	return &sender{url: c.IngressURL + webhookPath, secret: secret, now: now, client: &http.Client{Timeout: apiTimeout}}, nil
}

// firstSecret is the secret of "name=whsec_…,…" that signs.
func firstSecret(list env.Secret) (env.Secret, error) {
	const next = "export STRIPE_WEBHOOK_SECRETS=name=whsec_… as ingress has it, or name the runner's file with --env-file"
	if list.IsZero() {
		return env.Secret{}, advise(next, "STRIPE_WEBHOOK_SECRETS is set neither in the environment nor in a client.env file, so events cannot be signed")
	}
	entry, _, _ := strings.Cut(list.Reveal(), ",")
	_, secret, ok := strings.Cut(entry, "=")
	if !ok || secret == "" {
		return env.Secret{}, advise(next, "STRIPE_WEBHOOK_SECRETS is not of the form name=whsec_…,name2=whsec_…")
	}
	return env.NewSecret(secret), nil
}

// deliver posts until ingress answers 2xx, with a fresh signature each time, as Stripe repeats a delivery. It ends with ctx,
// or at once when ingress refuses for good.
func (s *sender) deliver(ctx context.Context, p *post) error {
	started := s.now()
	for {
		p.Attempts++
		again, err := s.attempt(ctx, p)
		p.took = s.now().Sub(started)
		if err == nil {
			return nil
		}
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delivery.Curve{Cap: 2 * time.Second}.After(uint64(p.Attempts))): //nolint:gosec // a small count
		}
	}
}

// attempt posts once; again says whether another attempt may do better.
func (s *sender) attempt(ctx context.Context, p *post) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(p.body))
	if err != nil {
		return false, fmt.Errorf("send %s: %w", p.Type, err)
	}
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{
		Payload: p.body, Secret: s.secret.Reveal(), Timestamp: s.now(), Scheme: "v1",
	})
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Stripe-Signature", signed.Header)
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set(sourceHeader, event.SourceSimulate)
	res, err := s.client.Do(req)
	if err != nil {
		return true, advise("check that ingress runs at INGRESS_URL="+strings.TrimSuffix(s.url, webhookPath), "send %s: %w", p.Type, trimURL(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return true, fmt.Errorf("send %s: read the answer: %w", p.Type, err)
	}
	return s.judge(p, res, body)
}

// judge reads ingress's answer.
func (s *sender) judge(p *post, res *http.Response, body []byte) (again bool, err error) {
	var answer struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &answer) != nil {
		answer.Code = res.Status
	}
	p.Answer = answer.Code
	switch {
	case answer.Code == "conflict", answer.Code == "unreadable":
		return false, advice.Of(advice.Difference, "quotectl explain "+p.EventID, "send %s: ingress stored the event aside as %s; with one --seed only equal quotes give equal events", p.Type, answer.Code)
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return false, nil
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return true, advise("look at ingress's /readyz and log", "send %s: ingress answers %s %s", p.Type, res.Status, answer.Detail)
	case res.StatusCode == http.StatusBadRequest:
		return false, advise("compare STRIPE_WEBHOOK_SECRETS here and at ingress, and the two clocks",
			"send %s: ingress refuses the signature: %s %s", p.Type, answer.Code, answer.Detail)
	default:
		return false, errors.New("send " + p.Type + ": ingress answers " + res.Status + " " + answer.Detail)
	}
}
