package pipelinetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/ingress"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

// Config is what tests need otherwise than others. The zero value works.
type Config struct {
	// Accounts are the merchants' at Stripe; the sandbox's own if empty.
	Accounts []sandbox.Account
	// APIVersion is that of Stripe's webhook endpoints, "" for the sandbox's own.
	APIVersion string
	// Now is payments' clock, and that of quotes; time.Now if nil.
	Now func() time.Time
	// StripeNow is the clock at Stripe, and that of ingress, which judges by it how old a signature is; time.Now if nil.
	StripeNow func() time.Time
}

const (
	// WebhookSecret is what Stripe signs its webhooks with.
	WebhookSecret = "whsec_pipeline_0123456789abcdef"
	// ReconcileSecret is what we sign with when we enter events ourselves.
	ReconcileSecret = "whsec_reconcile_0123456789abcdef"
	// Secrets are both, as STRIPE_WEBHOOK_SECRETS takes them.
	Secrets = "hook=" + WebhookSecret + ",reconcile=" + ReconcileSecret
)

// Pipeline is what runs. The addresses are URLs without a path.
type Pipeline struct {
	NATS    *natstest.Server
	Redis   *redistest.Server
	Log     *natsstream.Log
	Ingress string
	Stripe  string

	tb  testing.TB
	now func() time.Time
}

// Start starts it all, ready for work; it ends with the test. Stripe has two webhook endpoints, one for the platform's own account and
// one for connected accounts.
func Start(tb testing.TB, cfg Config) *Pipeline {
	tb.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pipeline{tb: tb, NATS: natstest.Start(tb), Redis: redistest.Start(tb), now: cfg.Now}
	p.Log = p.NATS.Log("test")
	secrets, err := ingress.ParseSecrets(Secrets)
	if err != nil {
		tb.Fatal(err)
	}
	in := Run(tb, ingress.New, ingress.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: p.NATS.Config("ingress"), Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed},
		Secrets: secrets, Now: cfg.StripeNow,
	})
	p.Ingress = "http://" + in.Addr().String()
	own := sandbox.Webhook{URL: p.Ingress + "/webhooks/stripe", Secret: env.NewSecret(WebhookSecret), APIVersion: cfg.APIVersion}
	connected := own
	connected.Connect = true
	p.Stripe = Run(tb, sandbox.New, sandbox.Config{
		Addr: "127.0.0.1:0", Seed: tb.Name(), Accounts: cfg.Accounts, Webhooks: []sandbox.Webhook{own, connected}, Now: cfg.StripeNow,
	}).URL()
	worker := Run(tb, payments.New, payments.Config{
		NATS: p.NATS.Config("payments"), Redis: p.Redis.Config(), Addr: "127.0.0.1:0", Mode: event.ModeTest, Batch: 64, ParkedFor: 72 * time.Hour,
		Version: "test", Now: cfg.Now,
	})
	processtest.Eventually(tb, time.Minute, "payments is ready", func() error { return worker.Ready(tb.Context()) })
	return p
}

// QuotesConfig is that of an instance of quotes, to be changed as a test needs it. tokens are as API_TOKENS takes them.
func (p *Pipeline) QuotesConfig(tokens string) quotes.Config {
	p.tb.Helper()
	parsed, err := signin.ParseTokens(tokens)
	if err != nil {
		p.tb.Fatal(err)
	}
	return quotes.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: p.NATS.Config("quotes"), Redis: p.Redis.Config(), Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed},
		Tokens: parsed, PublicURL: "https://quotes.example", Now: p.now,
		Stripe: stripegate.Config{Key: env.NewSecret(sandbox.DefaultTestKey), Base: p.Stripe},
	}
}

// Connect stores that the seller main has connected an account, as the pages of Connect do. n tells his connections apart, from 1.
func (p *Pipeline) Connect(account string, n int) {
	p.tb.Helper()
	at := p.now()
	e, err := event.NewSeller(event.NameConnected, "main", n, at, seller.Connected{Seller: "main", Account: account, Mode: event.ModeTest, At: at.UTC()})
	if err != nil {
		p.tb.Fatal(err)
	}
	m := natsstream.Message{Subject: event.SellerSubject(event.NameConnected, "main", strconv.Itoa(n)), ID: e.ID, Data: e.Encode()}
	if stored, err := p.Log.Fact(p.tb.Context(), m); err != nil || stored.Taken {
		p.tb.Fatalf("connect %s: %+v, %v", account, stored, err)
	}
}

// Quiet is the function Quiet for this pipeline.
func (p *Pipeline) Quiet(ctx context.Context, further ...natstest.Consumer) error {
	return Quiet(ctx, p.Log, p.Stripe, further...)
}
