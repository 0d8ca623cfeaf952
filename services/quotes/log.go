package quotes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

// logTimeout bounds one read of a quote and one write: long enough for a
// reconnect or an election of a leader, short enough to tell the caller so.
const logTimeout = 3 * time.Second

// load folds a quote from the log; a quote that does not exist is an Aggregate
// that says so. The answer is one consistent prefix of the quote's events, so
// that a command which expects its Sequence cannot be stored over an event that
// was not seen.
func (s *Service) load(ctx context.Context, seller, id string) (*quote.Aggregate, error) {
	a, _, err := s.loadWithEvents(ctx, seller, id)
	return a, err
}

// loadWithEvents is load with the events that the quote was folded from.
func (s *Service) loadWithEvents(ctx context.Context, seller, id string) (*quote.Aggregate, []natsstream.Record, error) {
	filter := event.QuoteFilter(seller, id)
	if filter == "" {
		return &quote.Aggregate{}, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := s.readEvents(ctx, event.StreamQuotes, filter)
	if err != nil {
		return nil, nil, fmt.Errorf("load quote %s: %w", id, err)
	}
	a := &quote.Aggregate{}
	for _, r := range records {
		if err := event.Fold(a, r.Sequence, r.Subject, r.Data); err != nil {
			return nil, nil, fmt.Errorf("load quote %s: %w", id, err)
		}
	}
	return a, records, nil
}

// readEvents reads every event that the filter matches: one consistent prefix of
// them. Ctx must have a deadline.
func (s *Service) readEvents(ctx context.Context, stream, filter string) ([]natsstream.Record, error) {
	records, err := s.stream.ReadAll(ctx, stream, filter)
	if errors.Is(err, jetstreamext.ErrBatchUnsupported) {
		// This is how the client reads the server's "413 Too Many Results".
		records, err = s.readLong(ctx, stream, filter)
	}
	if err != nil {
		return nil, err
	}
	// The client ends the list without an error when its time is up.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", natsstream.ErrUnavailable, err)
	}
	return records, nil
}

// longPage is how many messages one request of readLong asks for.
const longPage = 500

// readLong reads more than 1,024 events, which a single answer of the server
// cannot hold: hundreds of failed charges make a quote such a one. It goes by
// sequence, so that the pages together are a prefix too. Slower, and rare.
func (s *Service) readLong(ctx context.Context, stream, filter string) ([]natsstream.Record, error) {
	var records []natsstream.Record
	for next := uint64(1); ; next = records[len(records)-1].Sequence + 1 {
		page, err := s.readPage(ctx, stream, filter, next)
		if err != nil {
			return nil, err
		}
		records = append(records, page...)
		if len(page) < longPage {
			return records, nil
		}
	}
}

func (s *Service) readPage(ctx context.Context, stream, filter string, from uint64) ([]natsstream.Record, error) {
	var page []natsstream.Record
	messages, err := jetstreamext.GetBatch(ctx, s.stream.JetStream(), stream, longPage,
		jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchSeq(from))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", filter, natsstream.ErrUnavailable, err)
	}
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return page, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w: %w", filter, natsstream.ErrUnavailable, err)
		}
		page = append(page, natsstream.Record{Subject: m.Subject, Sequence: m.Sequence, Data: m.Data})
	}
	return page, nil
}

// entry is what a command decided to append.
type entry struct {
	name string // of the event
	n    string // version, revision, or attempt
	data any
	at   time.Time
}

const (
	// attempts bounds how often a command is decided anew because the quote has
	// changed meanwhile. Every conflict means that another one went through.
	attempts = 12
	// conflictPause is the mean wait before the next decision, times its number:
	// on a replicated stream the new event may not be readable everywhere yet.
	conflictPause = 4 * time.Millisecond
)

// command decides on a quote and stores what was decided, until nothing came
// between. Decide returns nil when there is nothing to append. The answer is the
// quote as it is then, which holds what this caller just wrote.
func (s *Service) command(c *call, name, id string, decide func(*quote.Aggregate) (*entry, error)) (*quote.Aggregate, error) {
	a, stored, err := s.decide(c.Context(), scribe{c.token.Seller, c.trace}, name, id, decide)
	if err != nil {
		return nil, err
	}
	c.result = "unchanged"
	if stored {
		c.result = name
	}
	return a, nil
}

// scribe is for whom a quote is written, and the W3C trace context that its event
// carries on.
type scribe struct{ seller, trace string }

// decide is command for a scribe that is no call. It reports whether anything was
// stored.
func (s *Service) decide(ctx context.Context, w scribe, name, id string, decide func(*quote.Aggregate) (*entry, error)) (*quote.Aggregate, bool, error) {
	for attempt := range attempts {
		if err := pause(ctx, attempt); err != nil {
			return nil, false, err
		}
		a, err := s.load(ctx, w.seller, id)
		if err != nil {
			s.metrics.command(name, "failed")
			return nil, false, err
		}
		next, err := decide(a)
		if err != nil {
			s.metrics.command(name, "refused")
			return nil, false, err
		}
		if next == nil {
			return a, false, s.unchanged(ctx, name)
		}
		err = s.store(ctx, w, a, id, *next)
		if err == nil {
			s.metrics.command(name, "stored")
			return a, true, nil
		}
		if !errors.Is(err, natsstream.ErrConflict) {
			s.metrics.command(name, "failed")
			return nil, false, err
		}
		s.metrics.command(name, "conflict")
	}
	return nil, false, unavailable(fmt.Errorf("%s quote %s: %d conflicts", name, id, attempts))
}

// unchanged ends a command that has found done what it asks for. Its answer is as
// good as that of whoever did it, and he may not have waited for the sync.
func (s *Service) unchanged(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	if err := s.stream.Durable(ctx); err != nil {
		s.metrics.command(name, "failed")
		return fmt.Errorf("%s, unchanged: %w", name, err)
	}
	s.metrics.command(name, "unchanged")
	return nil
}

// pause waits before a further attempt; with a random part, so that those who
// met do not meet again.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	limit := 2 * int64(attempt) * int64(conflictPause)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(rand.Int64N(limit))): //nolint:gosec // G404: spreads load, guards nothing
		return nil
	}
}

// append is store for a call.
func (s *Service) append(c *call, a *quote.Aggregate, id string, e entry) error {
	return s.store(c.Context(), scribe{c.token.Seller, c.trace}, a, id, e)
}

// store stores an event of the quote if the quote is still as a says, and folds
// it into a. It returns natsstream.ErrConflict when it is not.
func (s *Service) store(ctx context.Context, w scribe, a *quote.Aggregate, id string, e entry) error {
	subject := event.QuoteSubject{Event: e.name, Seller: w.seller, Quote: id, N: e.n}
	envelope, err := event.New(subject, event.SourceQuotes, e.at, e.data)
	if err != nil {
		return err
	}
	envelope.TraceParent = w.trace
	body := envelope.Encode()
	header := nats.Header{}
	header.Set(event.HeaderContentType, event.ContentType)
	if w.trace != "" {
		header.Set(event.HeaderTraceParent, w.trace)
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	stored, err := s.stream.Command(ctx, natsstream.Message{
		Subject: subject.String(), ID: envelope.ID, Header: header, Data: body,
	}, event.QuoteFilter(w.seller, id), a.Sequence)
	if err != nil {
		return fmt.Errorf("%s quote %s: %w", e.name, id, err)
	}
	if stored.Taken {
		// Another one stored this event within the server's window of ids, which
		// it looks at before the expected sequence.
		return fmt.Errorf("%s quote %s: %w", e.name, id, natsstream.ErrConflict)
	}
	return event.Fold(a, stored.Sequence, subject.String(), body)
}
