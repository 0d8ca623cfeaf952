package natsstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/jsonscan"
)

const (
	// maxPending bounds the publications of one process that wait for their PubAck; beyond it a publication waits up
	// to stallWait and then is ErrUnavailable.
	maxPending = 8192
	stallWait  = 2 * time.Second
	// ackTimeout ends the waiting of a caller who would wait longer.
	ackTimeout = 10 * time.Second
)

var (
	errStalled = errors.New("too many messages wait for their PubAck")
	errNoAck   = errors.New("the answer is no PubAck")
)

// publisher sends messages to streams and gives each caller the server's answer to its own. It stands in for nats.go's
// futures, which cost a message two channels and a timer more, and decode one answer after the other; the connection is
// nats.go's. Nothing is sent twice: whether to try again is the caller's to decide.
//
// A lost connection ends all that is under way, stored or not: its answers would go to the old connection.
type publisher struct {
	nc     *nats.Conn
	places chan struct{} // one is taken by each publication under way

	mu      sync.Mutex
	inbox   string // all answers come to subjects that begin so; "" before the first publication
	last    uint64 // the number of the newest publication, which ends the subject of its answer
	waiting map[uint64]chan *nats.Msg
}

func newPublisher(nc *nats.Conn) *publisher {
	return &publisher{nc: nc, places: make(chan struct{}, maxPending), waiting: map[uint64]chan *nats.Msg{}}
}

// publication is a message under way. Its channel gets the answer, or nil when the connection is lost before.
type publication struct {
	number uint64
	answer chan *nats.Msg
}

// send sends m, whose Reply it sets. Each publication is to be awaited.
func (p *publisher) send(ctx context.Context, m *nats.Msg) (publication, error) {
	if err := p.listen(); err != nil {
		return publication{}, err
	}
	if err := p.take(ctx); err != nil {
		return publication{}, err
	}
	under := publication{answer: make(chan *nats.Msg, 1)}
	p.mu.Lock()
	p.last++
	under.number = p.last
	p.waiting[under.number] = under.answer
	p.mu.Unlock()
	m.Reply = p.inbox + strconv.FormatUint(under.number, 36)
	if err := p.nc.PublishMsg(m); err != nil {
		p.remove(under.number)
		return publication{}, err
	}
	return under, nil
}

// await returns the answer to a publication. ctx must end.
func (p *publisher) await(ctx context.Context, under publication) Result {
	select {
	case m := <-under.answer:
		return readAck(m)
	case <-ctx.Done():
		if p.remove(under.number) == nil { // it was answered in this moment
			return readAck(<-under.answer)
		}
		return Result{Err: ctx.Err()}
	}
}

// publish is send and await.
func (p *publisher) publish(ctx context.Context, m *nats.Msg) Result {
	ctx, cancel := bounded(ctx)
	defer cancel()
	under, err := p.send(ctx, m)
	if err != nil {
		return Result{Err: err}
	}
	return p.await(ctx, under)
}

// bounded makes ctx end within ackTimeout.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= ackTimeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, ackTimeout)
}

// listen subscribes to the answers, once.
func (p *publisher) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inbox != "" {
		return nil
	}
	lost := p.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	inbox := p.nc.NewInbox() + "."
	if _, err := p.nc.Subscribe(inbox+"*", p.answered); err != nil {
		p.nc.RemoveStatusListener(lost)
		return fmt.Errorf("subscribe to PubAcks: %w", err)
	}
	p.inbox = inbox
	go p.watch(lost)
	return nil
}

// watch ends what is under way each time that the connection is lost, until it is closed.
func (p *publisher) watch(lost <-chan nats.Status) {
	for status := range lost {
		p.mu.Lock()
		under := p.waiting
		p.waiting = map[uint64]chan *nats.Msg{}
		p.mu.Unlock()
		for _, answer := range under {
			<-p.places
			answer <- nil
		}
		if status == nats.CLOSED {
			return
		}
	}
}

func (p *publisher) take(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	stalled := time.NewTimer(stallWait)
	defer stalled.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-stalled.C:
		return errStalled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered gets each answer; one that comes too late finds nobody.
func (p *publisher) answered(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil {
		return
	}
	if answer := p.remove(number); answer != nil {
		answer <- m
	}
}

// remove ends a publication and returns its channel, or nil when it has ended before.
func (p *publisher) remove(number uint64) chan *nats.Msg {
	p.mu.Lock()
	answer := p.waiting[number]
	delete(p.waiting, number)
	p.mu.Unlock()
	if answer != nil {
		<-p.places
	}
	return answer
}

// readAck reads an answer. The error is a *jetstream.APIError where the server refuses.
func readAck(m *nats.Msg) Result {
	if m == nil {
		return Result{Err: nats.ErrDisconnected}
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return Result{Err: jetstream.ErrNoStreamResponse}
	}
	var stored Stored
	var sequence int64
	var refusal *jetstream.APIError
	err := jsonscan.Object(m.Data, func(key, value []byte) error {
		switch string(key) {
		case "stream":
			stored.Stream, _ = jsonscan.String(value)
		case "seq":
			sequence, _ = jsonscan.Int(value)
		case "duplicate":
			stored.Taken, _ = jsonscan.Bool(value)
		case "error":
			return json.Unmarshal(value, &refusal)
		}
		return nil
	})
	switch {
	case err != nil:
		return Result{Err: fmt.Errorf("%w: %w", errNoAck, err)}
	case refusal != nil:
		return Result{Err: refusal}
	case stored.Stream == "" || sequence < 0 || sequence == 0 && !stored.Taken:
		return Result{Err: errNoAck}
	}
	stored.Sequence = uint64(sequence)
	return Result{Stored: stored}
}
