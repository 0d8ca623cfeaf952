package invariants

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"regexp"
	"slices"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// Acked are the ids of the Stripe events that ingress answered 2xx, each with the hex SHA-256 of the bodies that were sent; none
// where the tester has not kept them.
type Acked map[string][]string

var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ReadAcked reads a tester's list: one event id on a line and, if it is known, the hex SHA-256 of the body that was sent. Empty
// lines and those that begin with # are left out. An id may come again, with another hash too.
func ReadAcked(r io.Reader) (Acked, error) {
	all := Acked{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		bad := len(fields) > 2 || !event.ValidToken(fields[0]) || len(fields) == 2 && !hexHash.MatchString(fields[1])
		if bad {
			return nil, advice.Of(advice.Usage, "quotectl check invariants --help", "line %d is not an event id and, if at all, the hex SHA-256 of its body", n)
		}
		all[fields[0]] = append(all[fields[0]], fields[1:]...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the acknowledged ids: %w", err)
	}
	return all, nil
}

// stored is one event of STRIPE: its id, as a hash, and where it lies.
type stored struct{ id, sequence uint64 }

// events gathers what I1 and I2 are judged by.
type events struct {
	acked Acked
	// found are the acknowledged ids that were read; other those of which the log has another body.
	found, other map[string]bool
	all          []stored
	seed         maphash.Seed
}

func newEvents(acked Acked) *events {
	return &events{acked: acked, found: map[string]bool{}, other: map[string]bool{}, seed: maphash.MakeSeed()}
}

func (e *events) read(m natsstream.Record) {
	s, ok := event.ParseStripeSubject(m.Subject)
	if !ok {
		return
	}
	e.all = append(e.all, stored{maphash.String(e.seed, s.EventID), m.Sequence})
	if bodies, ok := e.acked[s.EventID]; ok {
		e.judge(s.EventID, bodies, m.Data)
	}
}

// judge notes an acknowledged event that is there.
func (e *events) judge(id string, bodies []string, data []byte) {
	sum := sha256.Sum256(data)
	if len(bodies) > 0 && !slices.Contains(bodies, hex.EncodeToString(sum[:])) {
		e.other[id] = true
	}
	e.found[id] = true
}

// events judges I1 and I2.
func (r *run) events(ctx context.Context, e *events) error {
	if err := r.lost(ctx, e); err != nil {
		return err
	}
	r.line("I2").Looked = len(e.all)
	slices.SortFunc(e.all, func(a, b stored) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.sequence, b.sequence)) })
	for i := 1; i < len(e.all); i++ {
		if e.all[i-1].id != e.all[i].id {
			continue
		}
		if err := r.doubled(ctx, e.all[i-1].sequence, e.all[i].sequence); err != nil {
			return err
		}
	}
	return nil
}

// lost judges I1. What the reading did not find is asked for by its subject: a reading can be short while a server changes.
func (r *run) lost(ctx context.Context, e *events) error {
	line := r.line("I1")
	if e.acked == nil {
		line.NotChecked = "nobody has said which webhooks were acknowledged: --acked FILE"
		return nil
	}
	line.Looked = len(e.acked)
	for id, bodies := range e.acked {
		if !e.found[id] {
			m, err := r.Log.Read(ctx, event.StreamStripe, "stripe.*.*."+id+".>")
			if isNotFound(err) {
				r.fail("I1", "quotectl reconcile", "event %s was answered 2xx and is not in the log", id)
				continue
			}
			if err != nil {
				return err
			}
			e.judge(id, bodies, m.Data)
		}
		if e.other[id] {
			r.fail("I1", "quotectl explain "+id, "event %s is in the log with another body than the acknowledged one", id)
		}
	}
	return nil
}

// doubled judges two messages whose ids have the same hash.
func (r *run) doubled(ctx context.Context, first, second uint64) error {
	var ids [2]string
	for i, sequence := range []uint64{first, second} {
		m, err := r.Log.ReadSequence(ctx, event.StreamStripe, sequence)
		if isNotFound(err) {
			return nil // erased meanwhile
		}
		if err != nil {
			return err
		}
		s, _ := event.ParseStripeSubject(m.Subject)
		ids[i] = s.EventID
	}
	if first != second && ids[0] == ids[1] {
		r.fail("I2", fmt.Sprintf("quotectl explain %s", ids[0]), "event %s is in the log twice, as messages %d and %d", ids[0], first, second)
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, natsstream.ErrNotFound) }
