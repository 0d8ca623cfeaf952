package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"quittance.internal/services/notifier"
)

var sender = netmail.Address{Name: "Quittance", Address: "quotes@seller.example"}

const (
	parkedFor = 72 * time.Hour
)

// post is the mail ledger, the relay, and what the relay knows that no notifier can.
type post struct {
	w        *world
	entries  map[string]*held // by key
	letters  map[string]*held // by Message-ID, as the ledger says
	revision uint64
	// digests are of the bytes of each letter: Core shares letters, so they are worked out once.
	digests map[*mail.Msg]paper
}

// held is the ledger's entry about one mail, and the truth about it.
type held struct {
	value    []byte
	revision uint64
	writer   *process // who wrote it

	accepted   int      // mails that the relay took
	digest     [32]byte // of the first one
	ambiguous  *process // whose conversation ended without an answer, last
	rejected   bool
	unanswered int // attempts that truly ended without an answer, or were cut off
}

// paper is a letter as the relay sees it.
type paper struct {
	id     string
	digest [32]byte
}

func newPost(w *world) post {
	return post{w: w, entries: map[string]*held{}, letters: map[string]*held{}, digests: map[*mail.Msg]paper{}}
}

func (m *post) clear() {
	clear(m.entries)
	clear(m.letters)
	m.revision = 0
}

// ledger is the mail ledger as one process reaches it.
type ledger struct{ p *process }

// Read returns an entry.
func (l ledger) Read(_ context.Context, key string) ([]byte, uint64, error) {
	if err := l.p.read("read ledger"); err != nil {
		return nil, 0, err
	}
	m := &l.p.w.mail
	e := m.entries[key]
	if e == nil || e.revision == 0 {
		return nil, 0, notifier.ErrNoEntry
	}
	return l.p.w.seen(e.value), e.revision, nil
}

// Write is a compare-and-set.
func (l ledger) Write(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	w := l.p.w
	f := l.p.effect("write ledger", key)
	if f.lost() {
		return 0, errLost
	}
	next, err := w.mail.write(l.p, key, value, revision)
	if f == twice {
		next, err = w.mail.write(l.p, key, value, revision)
	}
	l.p.after(f)
	if f == mute || f == deadAfter {
		return 0, errLost
	}
	return next, err
}

var (
	saysSending   = []byte(`"state":"sending"`)
	saysAmbiguous = []byte(`"ambiguous":`)
)

func (m *post) write(p *process, key string, value []byte, revision uint64) (uint64, error) {
	e := m.entries[key]
	if e == nil {
		e = &held{}
		m.entries[key] = e
	}
	if e.revision != revision {
		return 0, notifier.ErrTaken
	}
	if bytes.Contains(value, saysAmbiguous) && bytes.Contains(e.value, saysSending) {
		m.checkUnanswered(p, key, e, value)
	}
	m.revision++
	e.value, e.revision, e.writer = value, m.revision, p
	if _, rest, ok := bytes.Cut(value, []byte(`"message_id":"`)); ok {
		m.letters[string(rest[:bytes.IndexByte(rest, '"')])] = e
	}
	if m.w.tracing {
		m.w.note("   ledger:", string(value))
	}
	return e.revision, nil
}

// checkUnanswered: an attempt may be called unanswered only by itself, when it is, or when its lease is over.
func (m *post) checkUnanswered(p *process, key string, e *held, value []byte) {
	before, err := notifier.DecodeEntry(e.value)
	after, err2 := notifier.DecodeEntry(value)
	if err != nil || err2 != nil {
		m.w.violate("I6 mail", "the ledger holds an entry that cannot be read: %s", value)
		return
	}
	if after.Ambiguous <= before.Ambiguous {
		return
	}
	e.unanswered++
	if m.w.now.Before(before.LeaseUntil) && e.ambiguous != p {
		m.w.violate("I6 mail", "%s: an attempt that was neither unanswered nor over its lease is recorded as unanswered", key)
	}
}

// relay is one connection to the mail server.
type relay struct {
	p      *process
	broken bool
}

func (p *process) dial(context.Context) (notifier.Courier, error) {
	f := p.effect("dial", "")
	p.after(f)
	if f != proceed && f != twice {
		return nil, errLost
	}
	return &relay{p: p}, nil
}

func (r *relay) Alive() bool {
	r.broken = r.broken || r.p.read("probe connection") != nil
	return !r.broken
}

func (*relay) Quit() {}
func (*relay) Drop() {}

// Send is the conversation about one mail.
func (r *relay) Send(_ context.Context, msg *mail.Msg) (string, error) {
	w := r.p.w
	letter := w.mail.read(msg)
	e := w.mail.letters[letter.id]
	if r.broken || e == nil {
		w.mail.mustBeKnown(letter, e)
		return "", errStale
	}
	w.mail.checkSender(r.p, letter, e)
	f := r.p.effect("mail", letter.id)
	if f == proceed && !w.quiet && w.budget > 0 && w.tape.chance(w.roughMail) {
		f = [...]fate{mute, deadAfter, dead}[w.tape.pick(3)]
		w.budget--
		w.counted.faults++
		w.note(r.p.slot.name, "mail FAULT:", f)
		if f == dead {
			r.p.die()
		}
	}
	if f != proceed && f != twice {
		r.broken = true
	}
	switch {
	case f == dead:
		return "", errLost
	case f == refused:
		return "", w.mail.refuse(e)
	case f == mute && w.tape.chance(96): // the relay was lost before it took the mail
		e.ambiguous = r.p
		return "", errNoAnswer
	}
	w.mail.accept(letter, e)
	if f == mute {
		e.ambiguous = r.p
		return "", errNoAnswer
	}
	r.p.after(f)
	if f == deadAfter {
		return "", errLost
	}
	return "ok", nil
}

func (m *post) mustBeKnown(letter paper, e *held) {
	if e == nil {
		m.w.violate("I6 mail", "%s: mailed without an entry in the ledger", letter.id)
	}
}

// checkSender: who sends holds the mail's lease.
func (m *post) checkSender(p *process, letter paper, e *held) {
	switch {
	case p.dead:
	case e.writer != p || !bytes.Contains(e.value, saysSending):
		m.w.violate("I6 mail", "%s: mailed by who does not hold it", letter.id)
	case e.unanswered > 1:
		m.w.violate("I6 mail", "%s: mailed again after %d attempts without an answer", letter.id, e.unanswered)
	case !m.w.now.Before(leaseOf(e.value)):
		m.w.violate("I6 mail", "%s: mailed after the lease was over", letter.id)
	}
}

// leaseOf reads until when somebody holds a mail.
func leaseOf(value []byte) time.Time {
	_, rest, _ := bytes.Cut(value, []byte(`"lease_until":"`))
	until, err := time.Parse(time.RFC3339Nano, string(rest[:max(bytes.IndexByte(rest, '"'), 0)]))
	if err != nil {
		return time.Time{}
	}
	return until
}

// refuse is one of the ways in which the mail is certainly not taken.
func (m *post) refuse(e *held) error {
	e.rejected = true // also what is put off may be rejected in the end
	switch m.w.tape.pick(8) {
	case 0, 1, 2:
		return errStale
	case 7:
		return refusals.forGood
	default:
		return refusals.forNow
	}
}

func (m *post) accept(letter paper, e *held) {
	e.accepted++
	m.w.counted.mails++
	if e.accepted == 1 {
		e.digest = letter.digest
	} else if e.digest != letter.digest {
		m.w.violate("I6 mail", "%s: a second copy has other bytes", letter.id)
	}
	m.w.note("   the relay takes the mail", letter.id)
}

// read finds out which mail a letter is.
func (m *post) read(msg *mail.Msg) paper {
	if known, ok := m.digests[msg]; ok {
		return known
	}
	var wire bytes.Buffer
	if _, err := msg.WriteTo(&wire); err != nil {
		panic(fmt.Sprintf("write mail: %v", err))
	}
	p := paper{strings.Trim(msg.GetMessageID(), "<>"), sha256.Sum256(wire.Bytes())}
	m.digests[msg] = p
	return p
}
