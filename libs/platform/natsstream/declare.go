package natsstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
)

// Schema is the number of this layout of streams. It stands in each stream's metadata; a service runs where the number
// is its own or greater, so that old and new versions run side by side.
const Schema = 1

const schemaKey = "quittance_schema"

// duplicateWindow is how long the server remembers message ids. It only makes quick retries cheap to answer: what
// refuses a second copy for ever is one message per subject.
const duplicateWindow = 2 * time.Minute

// Durable names of our own consumers.
const (
	DurablePayments  = "payments"
	DurableNotifier  = "notifier"
	DurableCustomers = "customers" // the quotes service: creates Stripe customers of paid quotes
	DurablePlanner   = "planner"   // the quotes service: plans the timers of published revisions
	DurableTimers    = "timers"    // the quotes service, on TIMERS: what is due
	DurableReminders = "reminders" // the notifier: mails of quote.expiring
)

const (
	// AckWait is how long JetStream waits for an answer, or for word that the message is still worked on, before it delivers it
	// again. What was under way to a service when the consumer's leader died waits for so long: with 30 s that was the whole of
	// the time until a backlog was gone (measured 2026-11, on three servers).
	AckWait = 15 * time.Second
	// ackWaitCalls is that of consumers which call Stripe for a message and send no such word.
	ackWaitCalls = 30 * time.Second
)

// Options of Declare.
type Options struct {
	// Replicas of each stream and bucket: 1, or 3 on a cluster. 0 leaves what is there as it is, and is 1 for what is new.
	Replicas int
}

// Declare creates what is missing and brings what differs to this version's configuration: streams, buckets, and the
// consumers of our own services. It may be repeated. Only one process may run it at a time: concurrent declarations
// raced inside nats-server 2.15.2 (measured 2026-11), which is why services only Check.
func Declare(ctx context.Context, nc *nats.Conn, opts Options) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	for _, cfg := range streamConfigs(opts.Replicas) {
		if cfg.Replicas, err = replicas(ctx, js, cfg.Name, opts); err != nil {
			return err
		}
		if _, err := js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("declare stream %s: %w", cfg.Name, err)
		}
	}
	for _, cfg := range bucketConfigs(opts.Replicas) {
		if cfg.Replicas, err = replicas(ctx, js, "KV_"+cfg.Bucket, opts); err != nil {
			return err
		}
		if _, err := js.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("declare bucket %s: %w", cfg.Bucket, err)
		}
	}
	for _, c := range consumerConfigs() {
		if _, err := js.CreateOrUpdateConsumer(ctx, c.stream, c.config); err != nil {
			return fmt.Errorf("declare consumer %s on %s: %w", c.config.Durable, c.stream, err)
		}
	}
	return nil
}

// replicas says how many copies of a stream are to be: a declaration that does not say must not take a cluster's away.
func replicas(ctx context.Context, js jetstream.JetStream, stream string, opts Options) (int, error) {
	if opts.Replicas > 0 {
		return opts.Replicas, nil
	}
	s, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	return s.CachedInfo().Config.Replicas, nil
}

// factStream is a stream that keeps one message per subject for ever and refuses a second.
func factStream(name string, replicas int, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 name,
		Subjects:             subjects,
		Retention:            jetstream.LimitsPolicy,
		Storage:              jetstream.FileStorage,
		Replicas:             replicas,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		MaxMsgSize:           -1,
		MaxConsumers:         -1,
		Duplicates:           duplicateWindow,
		AllowDirect:          true,
		Metadata:             map[string]string{schemaKey: strconv.Itoa(Schema)},
	}
}

// timerStream holds one schedule for each timer, and the timers that have fired. A schedule cannot be in a stream that
// refuses new messages (error 10052 of nats-server 2.15.2), so a second message of a subject replaces the first.
func timerStream(replicas int) jetstream.StreamConfig {
	cfg := factStream(event.StreamTimers, replicas, event.SubjectsTimers)
	cfg.Discard, cfg.DiscardNewPerSubject = jetstream.DiscardOld, false
	cfg.AllowMsgSchedules, cfg.AllowMsgTTL = true, true
	cfg.AllowRollup = true // the server removes a schedule that has fired
	return cfg
}

func streamConfigs(replicas int) []jetstream.StreamConfig {
	quotes := factStream(event.StreamQuotes, replicas, "quote.*.*.*.*")
	quotes.AllowAtomicPublish = true // payments makes many facts at one time
	quotes.RePublish = &jetstream.RePublish{Source: "quote.*.*.*.*", Destination: "quote.{{wildcard(1)}}"}
	return []jetstream.StreamConfig{
		factStream(event.StreamStripe, replicas, "stripe.>"),
		quotes,
		factStream(event.StreamSellers, replicas, event.SubjectsSellers),
		factStream(event.StreamDead, replicas, event.SubjectsDead, event.SubjectsDeadState),
		timerStream(replicas),
		journalStream(replicas),
	}
}

// journalStream takes many messages of a subject and, when it is full, refuses the next rather than forgets the first.
func journalStream(replicas int) jetstream.StreamConfig {
	c := factStream(event.StreamJournal, replicas, event.SubjectsJournal)
	c.DiscardNewPerSubject, c.MaxMsgsPerSubject = false, -1
	return c
}

func bucketConfigs(replicas int) []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{Bucket: event.BucketMail, Description: "mail ledger", History: 1, Storage: jetstream.FileStorage, Replicas: replicas},
		{Bucket: event.BucketSystem, Description: "redis generation and identities", History: 1, Storage: jetstream.FileStorage, Replicas: replicas},
		{Bucket: event.BucketReplays, Description: "replay plans", History: 1, Storage: jetstream.FileStorage, Replicas: replicas},
	}
}

type consumerConfig struct {
	stream string
	config jetstream.ConsumerConfig
}

// consumerConfigs are the durables of our own services. payments takes whole streams and skips by subject itself: five
// filters over one-subject-per-event took the server from 77,000 to 9,400 events a second (measured 2026-11).
func consumerConfigs() []consumerConfig {
	durable := func(stream, name, filter string, pending int, wait time.Duration) consumerConfig {
		return consumerConfig{stream, jetstream.ConsumerConfig{
			Durable:       name,
			FilterSubject: filter,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       wait,
			DeliverPolicy: jetstream.DeliverAllPolicy,
			MaxDeliver:    -1,
			MaxAckPending: pending,
		}}
	}
	return []consumerConfig{
		durable(event.StreamStripe, DurablePayments, "", 8192, AckWait),
		durable(event.StreamQuotes, DurablePayments, "", 8192, AckWait),
		// A mail that waits for its next attempt counts as pending: 256 greylisted ones held up all others for an hour.
		durable(event.StreamQuotes, DurableNotifier, "quote.paid.*.*.*", 65536, AckWait),
		durable(event.StreamQuotes, DurableCustomers, "quote.paid.*.*.*", 64, ackWaitCalls),
		durable(event.StreamQuotes, DurablePlanner, "quote.published.*.*.*", 256, ackWaitCalls),
		// A timer that waits for Stripe, or for a bank debit to end, counts as pending.
		durable(event.StreamTimers, DurableTimers, event.SubjectsTimersDue, 65536, ackWaitCalls),
		// A durable of its own, not a second filter of the notifier's: an older notifier would set quote.expiring aside.
		durable(event.StreamQuotes, DurableReminders, "quote.expiring.*.*.*", 65536, AckWait),
	}
}

// Check looks the named streams up and reports what in them would break a guarantee: each fault is one joined error.
func Check(ctx context.Context, js jetstream.JetStream, streams ...string) error {
	var faults []error
	for _, name := range streams {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			faults = append(faults, fmt.Errorf("look up stream %s (declare it with: quotectl declare): %w", name, err))
			continue
		}
		faults = append(faults, drift(stream.CachedInfo().Config)...)
	}
	return errors.Join(faults...)
}

// drift lists how the stream's configuration falls short of ours. More subjects, replicas or a longer window are fine.
func drift(have jetstream.StreamConfig) []error {
	i := slices.IndexFunc(streamConfigs(1), func(c jetstream.StreamConfig) bool { return c.Name == have.Name })
	if i < 0 {
		return []error{fmt.Errorf("stream %s is not one of ours", have.Name)}
	}
	want := streamConfigs(1)[i]
	var faults []error
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("stream %s: "+format, append([]any{have.Name}, args...)...))
		}
	}
	for _, s := range want.Subjects {
		expect(slices.Contains(have.Subjects, s), "does not take subject %s", s)
	}
	expect(have.Storage == want.Storage, "storage is %s, want %s", have.Storage, want.Storage)
	expect(have.Retention == want.Retention, "retention is %s, want %s", have.Retention, want.Retention)
	expect(have.Discard == want.Discard && have.DiscardNewPerSubject == want.DiscardNewPerSubject && have.MaxMsgsPerSubject == want.MaxMsgsPerSubject,
		"%s (discard %s, per subject %t, %d a subject)", secondMessage(want),
		have.Discard, have.DiscardNewPerSubject, have.MaxMsgsPerSubject)
	expect(!want.AllowMsgSchedules || have.AllowMsgSchedules && have.AllowMsgTTL, "does not take schedules that end (schedules %t, message TTL %t)",
		have.AllowMsgSchedules, have.AllowMsgTTL)
	expect(have.MaxAge == 0, "forgets messages after %s; the log is kept for ever", have.MaxAge)
	expect(have.AllowDirect, "does not allow direct reads")
	expect(have.Duplicates >= want.Duplicates, "remembers message ids for %s, want at least %s", have.Duplicates, want.Duplicates)
	expect(have.PersistMode == jetstream.DefaultPersistMode, "acknowledges before it writes (persist mode async)")
	schema, err := strconv.Atoi(have.Metadata[schemaKey])
	expect(err == nil && schema >= Schema, "is of schema %q, this version needs %d (run quotectl declare of this version)",
		have.Metadata[schemaKey], Schema)
	return faults
}

// secondMessage says what a stream fails to do with a second message of a subject.
func secondMessage(want jetstream.StreamConfig) string {
	switch {
	case want.DiscardNewPerSubject:
		return "does not refuse a second message of a subject"
	case want.MaxMsgsPerSubject < 0:
		return "does not keep every message"
	}
	return "does not replace the message of a subject"
}
