package notifier

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// Stores are what a notifier works on.
type Stores struct {
	Log    reader
	Dead   deadLetters
	Ledger Shelf
	// Dial makes a connection to the relay.
	Dial func(context.Context) (Courier, error)
	// Pause waits, or returns an error when the notifier is to stop meanwhile.
	Pause func(context.Context, time.Duration) error
}

// Core is a notifier without its loops: a call handles one delivery of a quote.paid and returns. The simulation runs it on
// stores in memory; Service runs the same steps in loops.
//
// What a mail says is a function of its receipt alone, and rendering takes longer than all else of a delivery: a Core
// renders each receipt once and shares the letters with those that are restarted from it. So a quote's id must not come
// back with another document.
type Core struct {
	cfg       Config
	consumer  consumer
	log       *zap.Logger
	templates *renderer
	letters   map[letterKey]letter
}

// letterKey tells receipts apart within a Core.
type letterKey struct {
	key, refund string
	template    int
	paid        event.Paid
}

// NewCore returns the core of a notifier that has just started.
func NewCore(cfg Config, stores Stores, reg prometheus.Registerer, log *zap.Logger) (*Core, error) {
	templates, err := newRenderer()
	if err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg.withDefaults(), log: log, templates: templates, letters: map[letterKey]letter{}}
	c.connect(stores, newMetrics(reg), Version())
	return c, nil
}

// Restarted is a notifier on other connections to the same stores, that remembers nothing of what c did and counts into the
// same metrics.
func (c *Core) Restarted(stores Stores) *Core {
	fresh := &Core{cfg: c.cfg, log: c.log, templates: c.templates, letters: c.letters}
	fresh.connect(stores, c.consumer.metrics, c.consumer.version)
	return fresh
}

func (c *Core) connect(stores Stores, m *metrics, version string) {
	mails := newSender(c.cfg, stores.Log, stores.Ledger, newPool(c.cfg.Connections, counted(stores.Dial, m.dials), c.cfg.Now), m)
	mails.compose, mails.pause = c.compose, stores.Pause
	c.consumer = consumer{
		name: natsstream.DurableNotifier, kind: kindPaid, dead: stores.Dead, sender: mails, metrics: m, log: c.log, now: c.cfg.Now, version: version,
	}
}

func (c *Core) compose(rc receipt) (letter, error) {
	k := letterKey{rc.key, rc.refund, rc.template, rc.news.paid}
	if known, ok := c.letters[k]; ok {
		return known, nil
	}
	made, err := (&composer{renderer: c.templates, from: c.cfg.From}).compose(rc)
	if err == nil {
		c.letters[k] = made
	}
	return made, err
}

// Handle brings the message's mail as far as it gets and answers JetStream. An error means that the answer got lost.
func (c *Core) Handle(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	_, _, answer, _ := c.consumer.settle(ctx, msg, meta)
	return tell(msg, answer)
}
