package operating_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/ingress"
	"quittance.internal/services/operator/scenario"
)

// door is a real ingress with one signing secret.
type door struct {
	rig   *rig
	admin string
	url   string
	stop  func()
}

func (r *rig) ingress(secret string, now func() time.Time) *door {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	s, err := ingress.New(ctx, ingress.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: r.nats.Config("ingress"), Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed},
		Secrets: []ingress.Secret{{Name: "main", Key: env.NewSecret(secret)}}, Now: now,
	}, zap.NewNop())
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	d := &door{rig: r, admin: "http://" + s.AdminAddr().String(), url: "http://" + s.Addr().String() + ingress.WebhookPath, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("ingress ended with %v", err)
		}
	}}
	r.t.Cleanup(d.stop)
	return d
}

// deliver sends an event as Stripe does, signed now with a secret.
func (d *door) deliver(e scenario.Event, secret string, status int) {
	d.rig.t.Helper()
	at := time.Now()
	req, err := http.NewRequestWithContext(d.rig.t.Context(), http.MethodPost, d.url, bytes.NewReader(e.Body))
	if err != nil {
		d.rig.t.Fatal(err)
	}
	req.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%x", at.Unix(), webhook.ComputeSignature(at, e.Body, secret)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.rig.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != status {
		d.rig.t.Fatalf("ingress answers %s to %s, want %d", res.Status, e.ID, status)
	}
}

// A secret that was rotated at Stripe and not here, and a clock that is off, leave no event behind: ingress's own figures say so.
func TestAQuoteUnpaidForRefusedWebhooksSaysSo(t *testing.T) {
	const old, rotated = "whsec_old", "whsec_rotated"
	r := newRig(t)
	r.worker()
	r.publish(1, 2)
	s, _ := scenario.Find("bank-debit")
	b, err := s.Run(scenario.Target{
		Quote: "q_1", Seller: "main", Revision: 1, Title: "x", Amount: 1000, Currency: "eur", CustomerName: "Jan", CustomerEmail: "customer@buyer.example",
	}, 7, published, scenario.V20231016)
	if err != nil {
		t.Fatal(err)
	}
	// The debit is on its way; what says that the money came is held back.
	var first []scenario.Event
	var last scenario.Event
	for _, e := range b.Events {
		switch e.Type {
		case "checkout.session.completed", "payment_intent.processing":
			first = append(first, e)
		case "checkout.session.async_payment_succeeded":
			last = e
		}
	}
	ask := func(d *door, texts ...string) {
		t.Helper()
		r.env = map[string]string{"INGRESS_ADMIN_URL": d.admin}
		r.quotectl("explain", "q_1", "--why-not-paid").want(t, 0, texts...)
	}
	d := r.ingress(old, time.Now)
	for _, e := range first {
		d.deliver(e, old, http.StatusOK)
	}
	r.settled()
	ask(d, "?        ingress takes Stripe's webhooks", "no signature has failed since ingress started")

	d.deliver(last, rotated, http.StatusBadRequest)
	ask(d, "MISSING  ingress takes Stripe's webhooks", "1 no_matching_signature (a changed body, another endpoint's or mode's secret, or a forgery)", "none was right since", "next: quotectl doctor")
	r.quotectl("check", "silence", "--quiet", "0").want(t, 0)
	if a := r.quotectl("doctor"); !strings.Contains(a.out, "1 failed since ingress started: no_matching_signature") { // its exit code is this machine's
		t.Errorf("doctor does not name the failed signature:\n%s%s", a.out, a.err)
	}
	d.stop()
	ask(d, "?        ingress takes Stripe's webhooks", "not known: read metrics")

	// Stripe tries again, and this machine's clock is behind.
	d = r.ingress(rotated, func() time.Time { return time.Now().Add(-time.Hour) })
	d.deliver(last, rotated, http.StatusBadRequest)
	ask(d, "MISSING  ingress takes Stripe's webhooks", "1 future (genuine and dated ahead: this machine's clock is behind)", "next: quotectl doctor")
	d.stop()

	d = r.ingress(rotated, time.Now)
	d.deliver(last, rotated, http.StatusOK)
	r.settled()
	ask(d, "nothing is missing: the quote is paid")
	r.env = nil
	r.quotectl("explain", "q_1", "--why-no-email").want(t, 0, "the notifier is behind")
}
