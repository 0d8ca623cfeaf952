package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/fault"
)

// WebhookPath is the one path that takes events.
const WebhookPath = "/webhooks/stripe"

// SourceHeader is the request header by which a sender of ours labels an event: simulate, reconcile or return. It says where
// a stored event came from and decides nothing; a sender must sign like Stripe all the same.
const SourceHeader = "Quittance-Source"

// Store makes a genuine delivery durable. Publisher is the one that counts. Safe for concurrent use; it must not keep
// d.Body after it has returned.
type Store interface {
	Publish(ctx context.Context, d Delivery) (Published, error)
}

// ReceiverConfig holds the parts of a Receiver; all are required.
type ReceiverConfig struct {
	Verifier *Verifier
	Store    Store
	Log      *zap.Logger
	Metrics  *Metrics
	Now      func() time.Time
	// Budget bounds the storing of one event, read-back included.
	Budget time.Duration
	// MaxInFlight bounds the events being stored at one time; further ones get 503 at once.
	MaxInFlight int
}

// Receiver answers POST /webhooks/stripe: it reads the body, verifies its signature and has it stored, and only then answers
// 200. It decides nothing else.
type Receiver struct {
	ReceiverConfig
	bodies bodies
	slots  chan struct{}
}

// NewReceiver returns a Receiver.
func NewReceiver(cfg ReceiverConfig) *Receiver {
	return &Receiver{ReceiverConfig: cfg, slots: make(chan struct{}, cfg.MaxInFlight)}
}

// receipt is what is known of a request at its end: the answer and the log line are made of it.
type receipt struct {
	refusal   Reason // or
	published Published
	verdict   Verdict
	source    string
	size      int   // of the body, as far as it was read
	err       error // why it is Unavailable or IncompleteBody
	lent      bool  // the body, to a publication that has not ended
}

// ServeHTTP implements http.Handler.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := rc.Now()
	var got receipt
	if r.URL.Path != WebhookPath {
		got.refusal = NotFound
	} else if got.refusal = precheck(r); got.refusal == "" {
		b := rc.bodies.borrow()
		if rc.receive(w, r, b, &got); !got.lent {
			rc.bodies.giveBack(b)
		}
	}
	fault.Hit("ingress.before-response")
	answer(w, &got)
	rc.record(&got, began)
}

// precheck refuses what its header alone condemns, so that its body is never read.
func precheck(r *http.Request) Reason {
	if r.Method != http.MethodPost {
		return MethodNotAllowed
	}
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return UnsupportedEncoding
		}
	}
	if r.ContentLength > MaxBody {
		return TooLarge
	}
	if len(r.Header.Values("Stripe-Signature")) > 1 {
		return MalformedSignature
	}
	return ""
}

// receive takes one event in; got tells how it went.
func (rc *Receiver) receive(w http.ResponseWriter, r *http.Request, b *body, got *receipt) {
	var sig signature
	if got.refusal = sig.parse(r.Header.Get("Stripe-Signature")); got.refusal != "" {
		return
	}
	err := rc.bodies.read(http.MaxBytesReader(w, r.Body, MaxBody), b)
	if got.size = len(b.b); err != nil {
		got.refusal, got.err = unread(err), err
		return
	}
	if got.verdict = rc.Verifier.check(&sig, b.b); got.verdict.Refusal != "" {
		got.refusal = got.verdict.Refusal
		return
	}
	got.source = sourceOf(r)
	rc.store(r.Context(), Delivery{Body: b.b, Secret: got.verdict.Secret, Source: got.source, ReceivedAt: rc.Now()}, b, got)
	if got.err != nil {
		got.refusal = Unavailable
	}
}

func unread(err error) Reason {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return TooLarge
	}
	if errors.Is(err, errBusy) {
		return Unavailable
	}
	return IncompleteBody
}

func sourceOf(r *http.Request) string {
	switch label := r.Header.Get(SourceHeader); label {
	case event.SourceSimulate, event.SourceReconcile, event.SourceReturn:
		return label
	}
	return event.SourceWebhook
}

var (
	errInFlight = errors.New("too many events are being stored at one time")
	errLate     = errors.New("the publication has not ended within its budget")
)

// lastWord is how long after the end of its budget a publication may still say why it failed.
const lastWord = 100 * time.Millisecond

// stored is how a publication ended.
type stored struct {
	published Published
	err       error
}

// store publishes d, whose bytes are b's, within the budget. A client that goes away does not end it: the event is here and genuine.
//
// The client library waits for its own locks whatever the context says: for seconds while it calls a server behind a cut cable
// (19 s were seen). So the publication has a goroutine of its own, and the answer does not wait for one that is late; that one keeps
// its place and its body until it ends.
func (rc *Receiver) store(ctx context.Context, d Delivery, b *body, got *receipt) {
	select {
	case rc.slots <- struct{}{}:
	default:
		got.err = errInFlight
		return
	}
	rc.Metrics.inFlight.Inc()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rc.Budget)
	done := make(chan stored, 1)
	go func() {
		done <- rc.publish(ctx, d)
		cancel()
	}()
	select {
	case s := <-done:
		got.published, got.err = s.published, s.err
		return
	case <-ctx.Done():
	}
	select {
	case s := <-done:
		got.published, got.err = s.published, s.err
	case <-time.After(lastWord):
		got.err, got.lent = errLate, true
		go func() {
			<-done
			rc.bodies.giveBack(b)
		}()
	}
}

// publish publishes and gives the place among those in flight back.
func (rc *Receiver) publish(ctx context.Context, d Delivery) (s stored) {
	began := rc.Now()
	defer func() {
		if p := recover(); p != nil { // net/http would have caught it, and the next request been served
			s.err = fmt.Errorf("publish panicked: %v\n%s", p, debug.Stack())
		}
		rc.Metrics.published(rc.Now().Sub(began))
		rc.Metrics.inFlight.Dec()
		<-rc.slots
	}()
	s.published, s.err = rc.Store.Publish(ctx, d)
	return s
}

// answer writes the response. net/http closes the connection of a body that was too large or never read, and lingers so that
// the client gets to see the answer.
func answer(w http.ResponseWriter, got *receipt) {
	status, body := http.StatusOK, bodyOf[string(got.published.Outcome)]
	h := w.Header()
	if got.refusal != "" {
		how := refusals[got.refusal]
		status, body = how.status, bodyOf[string(got.refusal)]
		if how.header != "" {
			h.Set(how.header, how.value)
		}
	}
	h["Content-Type"], h["X-Content-Type-Options"] = contentJSON, noSniff // Set makes a list of each
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A failed write means that the client has gone; it will send the event again.
	_, _ = w.Write(body)
}

// Values of the answer's header; nobody changes them.
var contentJSON, noSniff = []string{"application/json"}, []string{"nosniff"}

// bodyOf holds every answer, by its code.
var bodyOf = func() map[string][]byte {
	bodies := map[string][]byte{}
	put := func(code, detail string) {
		b, err := json.Marshal(struct {
			Code   string `json:"code"`
			Detail string `json:"detail,omitempty"`
		}{code, detail})
		if err != nil {
			panic(err) // two strings
		}
		bodies[code] = append(b, '\n')
	}
	for _, o := range Outcomes {
		put(string(o), "")
	}
	for reason, how := range refusals {
		put(string(reason), how.detail)
	}
	return bodies
}()

// record writes the request's one log line and counts it. Nothing in the line is of a stranger's choosing: ids and types
// come from genuine events only and are tokens.
func (rc *Receiver) record(got *receipt, began time.Time) {
	now := rc.Now()
	took := now.Sub(began)
	outcome, level, message := got.published.Outcome, zapcore.InfoLevel, "webhook stored"
	switch {
	case got.refusal == Stale, got.refusal == Future:
		outcome, level, message = refused, zapcore.ErrorLevel, "webhook refused: valid signature, bad time; check the clocks"
	case got.refusal == NotFound, got.refusal == MethodNotAllowed: // strangers try every door
		outcome, message = refused, "webhook refused"
	case got.refusal != "":
		outcome, level, message = refused, zapcore.WarnLevel, "webhook refused"
	case outcome == Conflict, outcome == Unreadable:
		level, message = zapcore.ErrorLevel, "webhook stored aside"
	}
	rc.Metrics.count(outcome, got.refusal, now)
	if got.source == event.SourceWebhook { // told of genuine requests alone
		rc.Metrics.verified(now)
	}
	if line := rc.Log.Check(level, message); line != nil {
		line.Write(zap.String("outcome", string(outcome)), zap.Duration("took", took), zap.Inline(got))
	}
}

// MarshalLogObject implements zapcore.ObjectMarshaler: what is known goes into the line without a list of fields before.
func (got *receipt) MarshalLogObject(line zapcore.ObjectEncoder) error {
	line.AddInt("body_bytes", got.size)
	if got.refusal != "" {
		line.AddString("reason", string(got.refusal))
	}
	if got.verdict != (Verdict{}) {
		line.AddString("secret_name", got.verdict.Secret)
		line.AddDuration("signature_age", got.verdict.Age)
	}
	if got.source != "" {
		line.AddString("source", got.source)
	}
	if got.err != nil {
		line.AddString("error", got.err.Error())
	}
	if p := got.published; p.TraceID != "" {
		line.AddUint64("stream_sequence", p.Sequence)
		line.AddString("trace_id", p.TraceID)
	}
	if e := got.published.Event; e.ID != "" {
		line.AddString("event_id", e.ID)
		line.AddString("event_type", e.Type)
		line.AddString("account", e.Account)
		line.AddString("mode", e.Mode)
		line.AddString("api_version", e.APIVersion)
	}
	if detail := got.published.Detail; detail != "" {
		line.AddString("detail", detail)
	}
	return nil
}
