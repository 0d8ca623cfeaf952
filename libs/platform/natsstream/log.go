package natsstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// What Log's methods answer besides transport errors.
var (
	// ErrUnavailable wraps whatever may go away by itself: no server, no answer in time, a full stream, a write of the
	// same subject in flight. Nothing is known to be stored; the same call may be repeated.
	ErrUnavailable = errors.New("log unavailable")
	// ErrGuard means that the subject that Message.Absent names is not empty; nothing was stored.
	ErrGuard = errors.New("guarded subject is taken")
	// ErrConflict means that the aggregate has grown since it was read; nothing was stored. Read it and decide again.
	ErrConflict = errors.New("aggregate has changed")
	// ErrNotFound means that no message is stored there.
	ErrNotFound = errors.New("no such message")
)

const (
	// codeWrongLastSequence: an Expected-Last-Subject-Sequence did not hold.
	codeWrongLastSequence jetstream.ErrorCode = 10071
	// codeStoreFailed is generic; only its text tells a taken subject from a full stream.
	codeStoreFailed jetstream.ErrorCode = 10077
	// codeInFlight: another write to the subject is not yet committed (replicated streams).
	codeInFlight jetstream.ErrorCode = 10164

	textSubjectTaken = "maximum messages per subject exceeded"

	headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
	headerPending         = "Nats-Num-Pending"
)

// Message is what to publish.
type Message struct {
	Subject string
	// ID goes out as Nats-Msg-Id: a repetition within the stream's window is answered as taken.
	ID     string
	Header nats.Header
	Data   []byte
	// Absent, for Fact, names another subject (wildcards allowed) that must be empty for the message to be stored; the
	// server checks it in the same step as it stores.
	Absent string
}

// Stored tells where a message lies.
type Stored struct {
	Stream   string
	Sequence uint64
	// Taken means that an earlier message holds the subject, and nothing was stored now. Its sequence is given where
	// the server tells it, else 0. Whether the two are equal only a Read can tell.
	Taken bool
}

// Record is a stored message.
type Record struct {
	Stream, Subject string
	Sequence        uint64
	Time            time.Time
	Header          nats.Header
	Data            []byte
}

// Log publishes to and reads from the product's streams. It is safe for concurrent use.
type Log struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	pub   *publisher
	store *store // nil without a barrier

	together bool // the server syncs each message by itself
}

// NewLog returns a Log over nc that takes the server's word for what is stored; see OpenLog.
func NewLog(nc *nats.Conn) (*Log, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &Log{nc: nc, js: js, pub: newPublisher(nc)}, nil
}

// JetStream gives access to consumers and buckets.
func (l *Log) JetStream() jetstream.JetStream { return l.js }

// Fact stores a message whose subject may be taken once, for ever. It answers Stored{Taken: true} when it was taken
// before, ErrGuard when m.Absent was not empty, and ErrUnavailable for everything that may be repeated.
func (l *Log) Fact(ctx context.Context, m Message) (Stored, error) {
	r := factAnswer(m, l.pub.publish(ctx, m.fact()))
	if r.Err == nil || errors.Is(r.Err, ErrGuard) {
		if err := l.Durable(ctx); err != nil {
			return Stored{}, err
		}
	}
	return r.Stored, r.Err
}

// Result is Fact's answer for one message of several.
type Result struct {
	Stored Stored
	Err    error
}

// Facts is Fact for several messages of one stream, all under way at one time. The answers are in the order of the messages.
func (l *Log) Facts(ctx context.Context, messages []Message) []Result {
	results := make([]Result, 0, len(messages))
	for part := range slices.Chunk(messages, togetherMost) {
		answers := l.factsTogether(ctx, part)
		if answers == nil {
			answers = l.eachFact(ctx, part)
		}
		results = append(results, answers...)
	}
	l.settle(ctx, results)
	return results
}

// eachFact publishes each message by itself.
func (l *Log) eachFact(ctx context.Context, messages []Message) []Result {
	ctx, cancel := bounded(ctx)
	defer cancel()
	results := make([]Result, len(messages))
	under := make([]publication, len(messages))
	for i, m := range messages {
		under[i], results[i].Err = l.pub.send(ctx, m.fact())
	}
	for i, m := range messages {
		if results[i].Err == nil {
			results[i] = l.pub.await(ctx, under[i])
		}
		results[i] = factAnswer(m, results[i])
	}
	return results
}

func factAnswer(m Message, r Result) Result {
	if r.Err == nil {
		return r
	}
	switch code, text := apiError(r.Err); {
	case code == codeWrongLastSequence && m.Absent != "":
		return Result{Err: fmt.Errorf("publish %s: %w: %s", m.Subject, ErrGuard, m.Absent)}
	case code == codeWrongLastSequence, code == codeStoreFailed && text == textSubjectTaken:
		return Result{Stored: Stored{Taken: true}}
	default:
		return Result{Err: fmt.Errorf("publish %s: %w: %w", m.Subject, ErrUnavailable, r.Err)}
	}
}

// Command stores a message if the last sequence stored under the aggregate's subjects (wildcards allowed) still is
// last; 0 means that there is none. It answers ErrConflict if not, also when the server still remembers m.ID, and
// ErrUnavailable for everything that may be repeated.
func (l *Log) Command(ctx context.Context, m Message, aggregate string, last uint64) (Stored, error) {
	msg := m.natsMsg()
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	msg.Header.Set(headerExpectedSubject, aggregate)
	r := l.pub.publish(ctx, msg)
	if r.Err == nil && !r.Stored.Taken {
		return l.settled(ctx, m.Subject, r.Stored)
	}
	code, text := apiError(r.Err)
	if r.Stored.Taken || code == codeWrongLastSequence || code == codeInFlight || code == codeStoreFailed && text == textSubjectTaken {
		return Stored{}, fmt.Errorf("publish %s: %w", m.Subject, ErrConflict)
	}
	return Stored{}, fmt.Errorf("publish %s: %w: %w", m.Subject, ErrUnavailable, r.Err)
}

// fact is natsMsg with the conditions of a Fact.
func (m Message) fact() *nats.Msg {
	msg := m.natsMsg()
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	if m.Absent != "" {
		msg.Header.Set(headerExpectedSubject, m.Absent)
	}
	return msg
}

// natsMsg makes the message to be sent. Its header has the caller's values and room for ours; Set replaces, it changes no value
// in place.
func (m Message) natsMsg() *nats.Msg {
	header := make(nats.Header, len(m.Header)+3)
	maps.Copy(header, m.Header)
	if m.ID != "" {
		header.Set(jetstream.MsgIDHeader, m.ID)
	}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}
}

func apiError(err error) (jetstream.ErrorCode, string) {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		return e.ErrorCode, e.Description
	}
	if e, ok := errors.AsType[jetstream.JetStreamError](err); ok && e.APIError() != nil {
		return e.APIError().ErrorCode, e.APIError().Description
	}
	return 0, ""
}

// Read returns the message stored under subject (wildcards allowed: then the latest of them), or ErrNotFound. It needs
// no right but the stream's direct get. On a replicated stream the answer may lag behind the newest write.
func (l *Log) Read(ctx context.Context, stream, subject string) (Record, error) {
	return l.direct(ctx, stream, subject, "$JS.API.DIRECT.GET."+stream+"."+subject, nil)
}

// ReadSequence returns the message with that sequence, or ErrNotFound.
func (l *Log) ReadSequence(ctx context.Context, stream string, seq uint64) (Record, error) {
	request, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return Record{}, fmt.Errorf("encode direct get: %w", err)
	}
	return l.direct(ctx, stream, strconv.FormatUint(seq, 10), "$JS.API.DIRECT.GET."+stream, request)
}

func (l *Log) direct(ctx context.Context, stream, what, subject string, request []byte) (Record, error) {
	msg, err := l.nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return Record{}, fmt.Errorf("read %s from %s: %w: %w", what, stream, ErrUnavailable, err)
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
	case "404":
		return Record{}, fmt.Errorf("read %s from %s: %w", what, stream, ErrNotFound)
	default:
		return Record{}, fmt.Errorf("read %s from %s: %w: status %s %s", what, stream, ErrUnavailable, status, msg.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("read %s from %s: sequence of the answer: %w", what, stream, err)
	}
	at, err := time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return Record{}, fmt.Errorf("read %s from %s: time of the answer: %w", what, stream, err)
	}
	return Record{
		Stream: stream, Subject: msg.Header.Get(jetstream.SubjectHeader),
		Sequence: seq, Time: at, Header: msg.Header, Data: msg.Data,
	}, nil
}

// AckFloor returns the sequence up to which a durable has been answered for everything; 0 for nothing.
func (l *Log) AckFloor(ctx context.Context, stream, durable string) (uint64, error) {
	consumer, err := l.js.Consumer(ctx, stream, durable)
	if err != nil {
		return 0, fmt.Errorf("read ack floor of %s: %w", stream, err)
	}
	return consumer.CachedInfo().AckFloor.Stream, nil
}

// readTimeout bounds one answer of several messages where the caller's context has no earlier end.
const readTimeout = 10 * time.Second

// ReadAll returns the latest message of each subject that matches filters, by sequence; none is no error. Filters must not
// match more than 1,024 subjects (the server's limit).
func (l *Log) ReadAll(ctx context.Context, stream string, filters ...string) ([]Record, error) {
	records, err := l.many(ctx, stream, 0, func(ctx context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error) {
		return jetstreamext.GetLastMsgsFor(ctx, l.js, stream, filters)
	})
	if err != nil {
		return nil, fmt.Errorf("read %v from %s: %w", filters, stream, err)
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return records, nil
}

// Scan returns up to limit (at most 2,048) messages of a stream in order, beginning at sequence from (at least 1). Fewer than
// limit mean that the stream ends there for now. A message that the server holds and cannot read may be passed over, or make it
// ErrUnavailable; see ScanWhole.
func (l *Log) Scan(ctx context.Context, stream string, from uint64, limit int) ([]Record, error) {
	if limit > answerMost {
		return nil, fmt.Errorf("scan %s from %d: a limit of %d is above %d", stream, from, limit, answerMost)
	}
	records, err := l.many(ctx, stream, limit, func(ctx context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error) {
		return jetstreamext.GetBatch(ctx, l.js, stream, limit, jetstreamext.GetBatchSeq(max(from, 1)))
	})
	if err != nil {
		return nil, fmt.Errorf("scan %s from %d: %w", stream, from, err)
	}
	return records, nil
}

// SequenceAt returns the sequence of the first message stored at or after a time, or ErrNotFound.
func (l *Log) SequenceAt(ctx context.Context, stream string, at time.Time) (uint64, error) {
	records, err := l.many(ctx, stream, 1, func(ctx context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error) {
		return jetstreamext.GetBatch(ctx, l.js, stream, 1, jetstreamext.GetBatchStartTime(at))
	})
	if err == nil && len(records) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("find %s in %s: %w", at, stream, err)
	}
	return records[0].Sequence, nil
}

// many collects an answer of several messages. It vouches for the answer's end: the iterator stops without a word when
// the time is over or the connection breaks, and a short answer taken for a whole one would make a rebuild that lacks
// messages. The end is told by the server: no messages (404), or nothing pending after the last one. limit is what was
// asked for, 0 for all.
func (l *Log) many(ctx context.Context, stream string, limit int,
	ask func(context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error),
) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	messages, err := ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	records := make([]Record, 0, limit)
	pending := "?"
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) && len(records) == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		records = append(records, Record{
			Stream: stream, Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Header: m.Header, Data: m.Data,
		})
		pending = m.Header.Get(headerPending)
	}
	if pending != "0" && (limit == 0 || len(records) < limit) {
		return nil, fmt.Errorf("%w: %w after %d messages", ErrUnavailable, errBrokeOff, len(records))
	}
	return records, nil
}
