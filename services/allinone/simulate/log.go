package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// ackWait is after how long JetStream delivers an unanswered message again.
const ackWait = 30 * time.Second

// stream is one stream of the log in memory: one message per subject, for ever.
type stream struct {
	name     string
	records  []natsstream.Record // by sequence, from 1
	subjects map[string]uint64   // sequences
}

func (s *stream) clear() {
	s.records = s.records[:0]
	clear(s.subjects)
}

// add stores a message unless its subject is taken.
func (s *stream) add(subject string, header nats.Header, data []byte, at time.Time) (sequence uint64, taken bool) {
	if have, ok := s.subjects[subject]; ok {
		return have, true
	}
	sequence = uint64(len(s.records) + 1)
	s.records = append(s.records, natsstream.Record{
		Stream: s.name, Subject: subject, Sequence: sequence, Time: at, Header: header, Data: data,
	})
	s.subjects[subject] = sequence
	return sequence, false
}

// durable is a consumer: where each message of its stream stands.
type durable struct {
	name   string
	stream *stream
	prefix string // of the subjects that it wants
	places []standing
}

// standing is where one message stands with a durable.
type standing struct {
	acked    bool
	due      time.Time // when it may be delivered, if it is not acked
	attempts uint64
}

func (d *durable) clear() { d.places = d.places[:0] }

// extend takes new messages into account.
func (d *durable) extend() {
	for len(d.places) < len(d.stream.records) {
		wanted := strings.HasPrefix(d.stream.records[len(d.places)].Subject, d.prefix)
		d.places = append(d.places, standing{acked: !wanted})
	}
}

// ready is the place of the first message from i on that may be delivered now, or -1. next is the earliest time at which
// one will be, if that is before the given time.
func (d *durable) ready(i int, now time.Time, next *time.Time) int {
	d.extend()
	for ; i < len(d.places); i++ {
		switch p := &d.places[i]; {
		case p.acked:
		case !p.due.After(now):
			return i
		case p.due.Before(*next):
			*next = p.due
		}
	}
	return -1
}

func (d *durable) done() bool {
	d.extend()
	return !slices.ContainsFunc(d.places, func(s standing) bool { return !s.acked })
}

// forget makes the server, which writes down a few times a second who acknowledged what, deliver some messages again.
func (d *durable) forget(from int) {
	for i := from; i < len(d.places); i++ {
		if strings.HasPrefix(d.stream.records[i].Subject, d.prefix) {
			d.places[i].acked, d.places[i].due = false, time.Time{}
		}
	}
}

func (d *durable) ackFloor() uint64 {
	for i := range d.places {
		if !d.places[i].acked {
			return uint64(i)
		}
	}
	return uint64(len(d.places))
}

// delivered is a delivery to a process.
type delivered struct {
	d      *durable
	p      *process
	place  int
	record *natsstream.Record
	meta   jetstream.MsgMetadata
	early  bool // sabotage: it is acknowledged already
}

var _ jetstream.Msg = (*delivered)(nil)

// deliver hands the message at a place to a process.
func (d *durable) deliver(p *process, place int) *delivered {
	s, r := &d.places[place], &d.stream.records[place]
	s.due = p.w.now.Add(ackWait)
	s.attempts++
	m := &delivered{d: d, p: p, place: place, record: r, meta: jetstream.MsgMetadata{
		Sequence: jetstream.SequencePair{Stream: r.Sequence}, NumDelivered: s.attempts, Timestamp: r.Time, Stream: r.Stream, Consumer: d.name,
	}}
	if p.w.sabotage == ackFirst {
		s.acked, m.early = true, true
	}
	return m
}

func (m *delivered) Metadata() (*jetstream.MsgMetadata, error) { return &m.meta, nil }
func (m *delivered) Data() []byte                              { return m.record.Data }
func (m *delivered) Headers() nats.Header                      { return m.record.Header }
func (m *delivered) Subject() string                           { return m.record.Subject }
func (m *delivered) Reply() string                             { return "" }

// answer reaches the server, unless the process is dead or the line fails: the client is told nothing of that.
func (m *delivered) answer(what string, do func(*standing)) error {
	f := m.p.effect(what, m.record.Subject)
	if !f.lost() && !m.early {
		do(&m.d.places[m.place])
	}
	m.p.after(f)
	return nil
}

// Ack acknowledges.
func (m *delivered) Ack() error {
	return m.answer("ack", func(s *standing) { s.acked = true })
}

// NakWithDelay asks for another delivery.
func (m *delivered) NakWithDelay(after time.Duration) error {
	return m.answer("nak", func(s *standing) {
		if !s.acked {
			s.due = m.p.w.now.Add(after)
		}
	})
}

// TermWithReason ends the deliveries.
func (m *delivered) TermWithReason(string) error {
	return m.answer("term", func(s *standing) { s.acked = true })
}

func (m *delivered) DoubleAck(context.Context) error { panic("not used") }
func (m *delivered) Nak() error                      { panic("not used") }
func (m *delivered) InProgress() error               { panic("not used") }
func (m *delivered) Term() error                     { panic("not used") }

// journal is the log as one process reaches it.
type journal struct{ p *process }

func unavailable(err error) error { return fmt.Errorf("%w: %w", natsstream.ErrUnavailable, err) }

// Facts stores the messages one by one.
func (j journal) Facts(_ context.Context, messages []natsstream.Message) []natsstream.Result {
	results := make([]natsstream.Result, len(messages))
	f := j.p.effect("publish", messages[0].Subject)
	for i, m := range messages {
		switch {
		case f.lost():
			results[i].Err = unavailable(errLost)
			continue
		case (f == mute || f == deadAfter) && len(messages) > 1 && j.p.w.tape.chance(64):
			results[i].Err = unavailable(errLost) // this one did not arrive
			continue
		}
		results[i] = j.fact(m)
		if f != proceed {
			results[i] = natsstream.Result{Err: unavailable(errLost)}
		}
	}
	j.p.after(f)
	return results
}

func (j journal) fact(m natsstream.Message) natsstream.Result {
	w := j.p.w
	s := w.streamOf(m.Subject)
	if m.Absent != "" {
		if _, there := s.subjects[m.Absent]; there {
			return natsstream.Result{Err: natsstream.ErrGuard}
		}
	}
	if w.sabotage == transitionOnly && s == &w.quotes && !w.moved[m.Subject] {
		return natsstream.Result{Stored: natsstream.Stored{Taken: true}}
	}
	sequence, taken := s.add(m.Subject, m.Header, m.Data, w.now)
	w.note("   stored", m.Subject, taken)
	return natsstream.Result{Stored: natsstream.Stored{Stream: s.name, Sequence: sequence, Taken: taken}}
}

// SetAside stores a dead letter.
func (j journal) SetAside(_ context.Context, l natsstream.DeadLetter) error {
	f := j.p.effect("set aside", l.Record.Subject)
	defer j.p.after(f)
	if f.lost() {
		return unavailable(errLost)
	}
	subject := event.DeadSubject(l.Consumer, l.Record.Stream, l.Record.Sequence, max(l.Round, 1))
	j.p.w.deadLetters.add(subject, l.Record.Header, l.Record.Data, j.p.w.now)
	if f != proceed {
		return unavailable(errLost)
	}
	return nil
}

// LatestGeneration is always the first one: rebuilds are not part of the simulation.
func (j journal) LatestGeneration(context.Context) (natsstream.Generation, error) {
	if f := j.p.read("look up generation"); f != nil {
		return natsstream.Generation{}, unavailable(f)
	}
	return natsstream.Generation{Read: event.FirstGeneration, Write: event.FirstGeneration}, nil
}

// AckFloor returns how far the durable has come.
func (j journal) AckFloor(_ context.Context, name, _ string) (uint64, error) {
	if f := j.p.read("look up ack floor"); f != nil {
		return 0, unavailable(f)
	}
	d := j.p.w.durables[stripeToPayments]
	if name == event.StreamQuotes {
		d = j.p.w.durables[quotesToPayments]
	}
	return d.ackFloor(), nil
}

// Durable says that a crash of the server takes nothing back.
func (j journal) Durable(context.Context) error { return nil }

// ScanWhole returns messages in order. A page is short at times, so that a repair takes several.
func (j journal) ScanWhole(_ context.Context, name string, from uint64, limit int) (natsstream.Page, error) {
	w := j.p.w
	if f := j.p.read("scan"); f != nil {
		return natsstream.Page{}, unavailable(f)
	}
	if !w.quiet {
		limit = min(limit, 8-w.tape.pick(8))
	}
	records := w.stream(name).records
	first := min(from-1, uint64(len(records)))
	end := min(first+uint64(max(limit, 1)), uint64(len(records)))
	return natsstream.Page{Records: slices.Clone(records[first:end]), Next: end + 1, Last: end == uint64(len(records))}, nil
}

// ReadSequence returns one message.
func (j journal) ReadSequence(_ context.Context, name string, sequence uint64) (natsstream.Record, error) {
	if f := j.p.read("read"); f != nil {
		return natsstream.Record{}, unavailable(f)
	}
	records := j.p.w.stream(name).records
	if sequence < 1 || sequence > uint64(len(records)) {
		return natsstream.Record{}, natsstream.ErrNotFound
	}
	return records[sequence-1], nil
}

// Read returns the message under a subject.
func (j journal) Read(_ context.Context, name, subject string) (natsstream.Record, error) {
	if f := j.p.read("read"); f != nil {
		return natsstream.Record{}, unavailable(f)
	}
	s := j.p.w.stream(name)
	at, ok := s.subjects[subject]
	if !ok {
		return natsstream.Record{}, natsstream.ErrNotFound
	}
	return s.records[at-1], nil
}

// ReadAll returns the messages under subjects; a filter may end in a wildcard.
func (j journal) ReadAll(_ context.Context, name string, filters ...string) ([]natsstream.Record, error) {
	if f := j.p.read("read"); f != nil {
		return nil, unavailable(f)
	}
	var found []natsstream.Record
	for _, r := range j.p.w.stream(name).records {
		for _, f := range filters {
			if prefix, wild := strings.CutSuffix(f, "*"); r.Subject == f || wild && strings.HasPrefix(r.Subject, prefix) {
				found = append(found, r)
				break
			}
		}
	}
	return found, nil
}

// system is the bucket SYSTEM as one process reaches it.
type system struct{ p *process }

// entry is a value of the bucket.
type entry struct {
	jetstream.KeyValueEntry

	key   string
	value []byte
}

func (e entry) Key() string   { return e.key }
func (e entry) Value() []byte { return e.value }

// Get reads a key.
func (s system) Get(_ context.Context, key string) (jetstream.KeyValueEntry, error) {
	if f := s.p.read("read system"); f != nil {
		return nil, f
	}
	v, ok := s.p.w.system[key]
	if !ok {
		return nil, jetstream.ErrKeyNotFound
	}
	return entry{key: key, value: v}, nil
}

// Put writes a key.
func (s system) Put(_ context.Context, key string, value []byte) (uint64, error) {
	f := s.p.effect("write system", key)
	defer s.p.after(f)
	if f.lost() {
		return 0, errLost
	}
	s.p.w.system[key] = value
	if f != proceed {
		return 0, errLost
	}
	return 1, nil
}

func (system) Create(context.Context, string, []byte, ...jetstream.KVCreateOpt) (uint64, error) {
	panic("not used")
}

func (system) Update(context.Context, string, []byte, uint64) (uint64, error) { panic("not used") }
