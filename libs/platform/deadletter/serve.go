package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// storeTimeout bounds the reading and writing of one letter.
const storeTimeout = 10 * time.Second

// Handler works once more on a message that was set aside, and returns a word for what came of it. It must be safe to
// repeat. A permanent error (delivery.Permanent) sets the message aside for another round; any other leaves the letter as it
// stands. round is the number that the next letter would have.
type Handler func(ctx context.Context, m natsstream.Record, round int) (outcome string, err error)

// Server answers Requests for one service.
type Server struct {
	// Service is its name; Handlers are by consumer.
	Service  string
	Handlers map[string]Handler
	NATS     *nats.Conn
	Log      *natsstream.Log
	Logger   *zap.Logger
	Now      func() time.Time
	// Version is that of the program, for new letters.
	Version string
	// Timeout bounds a handler; 0 means that only the service's end does.
	Timeout time.Duration
}

// Serve answers until ctx ends, one request at a time; the one in hand is finished.
func (s *Server) Serve(ctx context.Context) error {
	requests := make(chan *nats.Msg, 256)
	sub, err := s.NATS.ChanQueueSubscribe(Subject(s.Service), s.Service, requests)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", Subject(s.Service), err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed already
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			answer := s.answer(ctx, m.Data)
			body, err := json.Marshal(answer)
			if err == nil {
				err = m.Respond(body)
			}
			if err != nil {
				s.Logger.Warn("request about a dead letter not answered", zap.Error(err))
			}
		}
	}
}

func (s *Server) answer(ctx context.Context, body []byte) Answer {
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		return Answer{Error: "request is not JSON"}
	}
	a, err := s.carryOut(context.WithoutCancel(ctx), r)
	if err != nil {
		a.Error = err.Error()
	}
	s.Logger.Info("request about a dead letter", zap.String("verb", r.Verb), zap.Stringer("letter", r.Key), zap.String("who", r.Who),
		zap.String("reason", r.Why), zap.String("state", string(a.Letter.State)), zap.String("outcome", a.Outcome), zap.String("error", a.Error))
	return a
}

func (s *Server) carryOut(ctx context.Context, r Request) (Answer, error) {
	handler := s.Handlers[r.Consumer]
	switch {
	case handler == nil:
		return Answer{}, fmt.Errorf("consumer %q does not run in this %s", r.Consumer, s.Service)
	case r.Who == "" || r.Why == "":
		return Answer{}, errors.New("the request does not say who asks, or why")
	}
	read, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	l, m, err := Find(read, s.Log, r.Key)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Letter: l, Before: l.State}
	if l.State == Resolved || l.State == Discarded && r.Verb == VerbDiscard {
		return a, fmt.Errorf("it is %s already, since %s", l.State, l.Decision.At.Format(time.RFC3339))
	}
	switch r.Verb {
	case VerbDiscard:
		return s.decide(ctx, a, Decision{State: Discarded, Who: r.Who, Why: r.Why})
	case VerbRetry:
		return s.retry(ctx, a, m, r, handler)
	default:
		return a, fmt.Errorf("verb %q is neither %s nor %s", r.Verb, VerbRetry, VerbDiscard)
	}
}

func (s *Server) retry(ctx context.Context, a Answer, m natsstream.Record, r Request, handler Handler) (Answer, error) {
	work := ctx
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		work, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	round := a.Letter.Rounds + 1
	outcome, err := handler(work, m, round)
	if delivery.IsPermanent(err) {
		aside, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		letter := natsstream.DeadLetter{Consumer: r.Consumer, Record: m, Reason: err.Error(), Attempts: 1, Round: round, Handler: s.Version}
		if err := s.Log.SetAside(aside, letter); err != nil {
			return a, err
		}
		if a.Letter, _, err = Find(aside, s.Log, r.Key); err != nil {
			return a, err
		}
		return a, fmt.Errorf("set aside again: %s", a.Letter.Reason)
	}
	if err != nil {
		return a, err
	}
	a.Outcome = outcome
	return s.decide(ctx, a, Decision{State: Resolved, Who: r.Who, Why: r.Why, Outcome: outcome})
}

// decide stores a decision. Where another one was stored meanwhile, that one stands.
func (s *Server) decide(ctx context.Context, a Answer, d Decision) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	d.At = s.Now().UTC()
	body, err := json.Marshal(d)
	if err != nil {
		return a, fmt.Errorf("encode decision: %w", err)
	}
	k := a.Letter.Key
	subject := event.DeadStateSubject(k.Consumer, k.Stream, k.Sequence, a.Letter.Decisions+1)
	if _, err := s.Log.Fact(ctx, natsstream.Message{Subject: subject, ID: subject, Data: body}); err != nil {
		return a, fmt.Errorf("store the decision: %w", err)
	}
	if a.Letter, _, err = Find(ctx, s.Log, k); err != nil {
		return a, err
	}
	if a.Letter.State != d.State {
		return a, fmt.Errorf("somebody else decided meanwhile: it is %s", a.Letter.State)
	}
	return a, nil
}
