package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/platform/fault"
)

const (
	// readTimeout bounds the reads of the log for one mail.
	readTimeout = 10 * time.Second
	// connectionWait bounds the wait for a free connection; then the mail gives its claim back and comes again.
	connectionWait = 45 * time.Second
	// leaseWait is the longest time until one looks again at a mail that somebody else holds.
	leaseWait = 30 * time.Second
	// finalWrite bounds a write of the ledger that must still be made while the service drains.
	finalWrite = 8 * time.Second
)

// sender carries out the protocol of reliability.md §3.2 for one mail at a time: render, "sending", send, "sent". "sending" is the
// claim, too: of two who render the same mail one gets it written. It is safe for concurrent use.
//
// Before "sending" is written nothing has been sent, and a crash costs nothing. After it, a crash or a lost answer leaves
// open whether the server took the mail: the one window that SMTP cannot close, bounded by the policy.
type sender struct {
	log       reader
	ledger    *ledger
	rules     rules
	compose   func(receipt) (letter, error)
	pool      *pool
	metrics   *metrics
	now       func() time.Time
	newOwner  func() string
	pause     func(context.Context, time.Duration) error
	publicURL string
	// sendTimeout bounds one mail's conversation, also one that trickles byte by byte.
	sendTimeout time.Duration
	watch       watch
}

// newSender lacks compose.
func newSender(c Config, log reader, s Shelf, p *pool, m *metrics) *sender {
	return &sender{
		log: log, ledger: &ledger{shelf: s, now: c.Now}, rules: c.rules(), pool: p, metrics: m, now: c.Now, newOwner: c.NewOwner, pause: pause,
		publicURL: c.PublicURL, sendTimeout: c.Relay.SendTimeout,
	}
}

// job is one mail to bring out.
type job struct {
	key      string
	news     news
	sequence uint64
	rules    rules
}

// errLater says that a mail has to wait, and how long; it is no trouble.
type errLater struct {
	after time.Duration
	why   string
}

func (e errLater) Error() string { return e.why }

// sendReceipt brings the mail as far as it gets now. It returns the ledger's entry: when final, with no error; else an
// error that says why it has to come again, permanent where that is of no use.
func (s *sender) sendReceipt(ctx context.Context, j job) (Entry, error) {
	fault.Hit("notifier.before-claim")
	mail, claimed, err := s.claim(ctx, j)
	if err != nil || claimed.entry.Final() {
		return claimed.entry, err
	}
	composed, err := s.compose(mail)
	if errors.Is(err, errAddress) {
		return s.settle(ctx, claimed, rejected(claimed.entry, 0, "", "the owner's address is refused: "+err.Error()))
	}
	if err != nil {
		return s.giveBack(ctx, claimed, err)
	}
	if e := claimed.entry; e.Ambiguous > 0 && e.SHA256 != composed.digest {
		// Only the same bytes with the same Message-ID may go out twice: settings or build differ from the first time.
		e = j.rules.parked(e)
		e.Reason = "no answer after the data, and the mail would now have other bytes"
		return s.settle(ctx, claimed, e)
	}
	wait, cancel := context.WithTimeout(ctx, connectionWait)
	defer cancel()
	conn, err := s.pool.take(wait)
	if err != nil {
		return s.giveBack(ctx, claimed, err)
	}
	fault.Hit("notifier.before-sending")
	sending, err := s.markSending(ctx, j, claimed, composed)
	if err != nil {
		s.pool.put(conn, false)
		return claimed.entry, err
	}
	fault.Hit("notifier.after-sending")
	return s.conclude(ctx, j, sending, s.converse(ctx, conn, composed, sending.entry.LeaseUntil))
}

// claim prepares the entry that takes the mail's lease, as a line that is not written yet, or tells why there is none to take.
// Where nothing is left to do it returns a final entry.
func (s *sender) claim(ctx context.Context, j job) (receipt, line, error) {
	old, err := s.ledger.read(ctx, j.key)
	for ; err == nil; old, err = s.ledger.read(ctx, j.key) {
		move, wait := j.rules.next(old.entry, s.now(), s.watch.unchanged(old, s.now()))
		var next Entry
		switch move {
		case moveDone:
			return receipt{}, old, nil
		case moveWait:
			return receipt{}, old, later(old.entry, wait)
		case moveClaim:
			return s.take(ctx, j, old)
		case moveUnknown:
			next = j.rules.unanswered(old.entry, old.entry.UpdatedAt, "the attempt was cut off while it was sending")
		case movePark:
			next = j.rules.parked(old.entry)
		}
		if _, err := s.write(ctx, old, next); err != nil {
			return receipt{}, old, fmt.Errorf("claim mail: %w", err)
		}
	}
	if !errors.Is(err, ErrNoEntry) {
		return receipt{}, line{}, fmt.Errorf("claim mail: %w", err)
	}
	return s.take(ctx, j, line{key: j.key})
}

func later(e Entry, wait time.Duration) error {
	switch {
	case !e.LeaseUntil.IsZero():
		return errLater{after: min(wait, leaseWait), why: "somebody else holds the mail's lease"}
	case e.State == StateAmbiguous:
		return errLater{after: wait, why: "the resend of an unanswered mail is not due yet"}
	default:
		return errLater{after: wait, why: "the next attempt is not due yet"}
	}
}

// take gathers what the mail says and prepares the claim. A mail that must not be sent any more is written down as dropped.
func (s *sender) take(ctx context.Context, j job, old line) (receipt, line, error) {
	read, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	known, overtaken, err := j.news.read(read, s.log, s.now())
	if err != nil {
		return receipt{}, old, fmt.Errorf("claim mail: %w", err)
	}
	e := old.entry
	if old.revision == 0 {
		// What the words depend on is fixed now: every further attempt says the same.
		e = Entry{FirstAt: s.now().UTC(), Template: currentTemplate, Refund: known.refund, Sequence: j.sequence}
	}
	if overtaken != "" {
		left, err := s.write(ctx, old, dropped(e, overtaken))
		if err != nil {
			return receipt{}, old, fmt.Errorf("claim mail: %w", err)
		}
		return receipt{}, left, nil
	}
	claimed := line{key: old.key, entry: j.rules.claimed(e, s.now().UTC(), s.newOwner()), revision: old.revision}
	return receipt{
		news: j.news, published: known.published, refund: e.Refund, template: e.Template, publicURL: s.publicURL, key: j.key,
	}, claimed, nil
}

// markSending takes the lease and records, before a byte of the mail is sent, that one may have been.
func (s *sender) markSending(ctx context.Context, j job, claimed line, l letter) (line, error) {
	e := claimed.entry
	e.State, e.Attempts, e.MessageID, e.SHA256 = StateSending, e.Attempts+1, l.messageID, l.digest
	e.LeaseUntil = s.now().UTC().Add(j.rules.lease)
	sending, err := s.write(ctx, claimed, e)
	if err != nil {
		return line{}, fmt.Errorf("begin sending: %w", err)
	}
	return sending, nil
}

// converse sends the mail over the connection. A kept connection that turns out to be dead before the server has seen
// anything of the mail is replaced at once; the attempt goes on.
func (s *sender) converse(ctx context.Context, conn *kept, l letter, leaseUntil time.Time) verdict {
	ctx, cancel := context.WithTimeout(ctx, s.sendTimeout)
	defer cancel()
	for {
		if !s.now().Before(leaseUntil) {
			// The process stood still, and somebody else may have the mail by now.
			s.pool.put(conn, true)
			return verdict{result: resultRetry, reply: "the lease ended before the mail was sent"}
		}
		reply, err := conn.Send(ctx, l.msg)
		v := classify(err, reply)
		if v.result == resultSent {
			fault.Hit("notifier.after-data")
		}
		stale := v.early && !conn.fresh()
		s.pool.put(conn, v.broken)
		if !stale || ctx.Err() != nil {
			return v
		}
		if conn, err = s.pool.take(ctx); err != nil {
			return classify(err, "")
		}
	}
}

// conclude writes down what the conversation came to.
func (s *sender) conclude(ctx context.Context, j job, sending line, v verdict) (Entry, error) {
	now := s.now().UTC()
	switch v.result {
	case resultSent:
		s.metrics.accepted(j.news, now)
		e, err := s.settle(ctx, sending, accepted(sending.entry, now, v))
		fault.Hit("notifier.after-sent")
		return e, err
	case resultRejected:
		return s.settle(ctx, sending, rejected(sending.entry, v.code, v.reply, "refused by the server"))
	case resultAmbiguous:
		return s.settle(ctx, sending, j.rules.unanswered(sending.entry, now, v.reply))
	default:
		if v.code == 0 {
			return s.giveBack(ctx, sending, errors.New(v.reply))
		}
		return s.settle(ctx, sending, j.rules.deferred(sending.entry, now, v))
	}
}

// settle writes the entry that an attempt leaves behind, for as long as it takes: what happened is known here and
// nowhere else. It outlives the cancel of ctx for a last try. The error is nil where the entry is final.
func (s *sender) settle(ctx context.Context, held line, e Entry) (Entry, error) {
	for attempt := uint64(1); ; attempt++ {
		_, err := s.write(ctx, held, e)
		if errors.Is(err, ErrTaken) {
			return s.correct(ctx, held, e, err)
		}
		if err == nil && e.Final() {
			return e, nil
		}
		if err == nil {
			return e, later(e, max(e.NotBefore.Sub(s.now()), 0))
		}
		if s.pause(ctx, delivery.Backoff(attempt)) == nil {
			continue
		}
		// The service drains: one last try.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalWrite)
		defer cancel()
		if _, err := s.write(last, held, e); err != nil {
			return e, fmt.Errorf("settle mail as %s: %w", e.State, err)
		}
		return e, errLater{why: "the service is stopping"}
	}
}

// correct is for an attempt that lost its lease while it was busy. What it did is done; where the mail was accepted and
// the other one only waits, saying so spares the resend.
func (s *sender) correct(ctx context.Context, held line, e Entry, lost error) (Entry, error) {
	now, err := s.ledger.read(ctx, held.key)
	if err != nil {
		return e, fmt.Errorf("settle mail as %s: %w (reading it again: %w)", e.State, lost, err)
	}
	waits := now.entry.State == StateAmbiguous || now.entry.State == StateParked
	if e.State != StateSent || !waits {
		return now.entry, fmt.Errorf("settle mail as %s: %w", e.State, lost)
	}
	known := now.entry
	known.AcceptedAt, known.Code, known.Reply = e.AcceptedAt, e.Code, e.Reply
	known.State, known.Reason, known.NotBefore = StateSent, "", time.Time{}
	if _, err := s.write(ctx, now, known); err != nil {
		return now.entry, fmt.Errorf("settle mail as %s: %w", e.State, err)
	}
	return known, nil
}

// giveBack returns a mail that was not sent, and the cause.
func (s *sender) giveBack(ctx context.Context, held line, cause error) (Entry, error) {
	e, err := s.settle(ctx, held, released(held.entry))
	if _, waits := errors.AsType[errLater](err); waits || err == nil {
		return e, cause
	}
	return e, errors.Join(cause, err)
}

// write writes the ledger and counts the state that it reaches.
func (s *sender) write(ctx context.Context, old line, e Entry) (line, error) {
	written, err := s.ledger.write(ctx, old, e)
	if err != nil {
		return line{}, err
	}
	s.metrics.mails.WithLabelValues(string(e.State)).Inc()
	if e.Ambiguous > old.entry.Ambiguous {
		s.metrics.ambiguous.Inc()
	}
	return written, nil
}

// pause waits, or returns the error of a context that ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
