// Package dead is what operators do with dead letters: see which there are, grouped by cause, and have them tried again or
// given up, one or a whole selection.
//
// It changes nothing by itself: each letter's owner is asked (package deadletter). quotectl and the console call it, and write
// the journal.
package dead

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

// Desk is where dead letters are dealt with.
type Desk struct {
	Log  *natsstream.Log
	NATS *nats.Conn
	// Shelf, which may be nil, keeps what was read for the next question.
	Shelf *Shelf
}

// Shelf keeps the letters between questions, so that each question reads only what is new. It is safe for concurrent use.
type Shelf struct {
	mu   sync.Mutex
	book *deadletter.Book
}

// Filter selects letters. Empty members select all.
type Filter struct {
	Cause, Consumer, Stream string
	// Type may hold * and ?; it is that of the message: checkout.session.*, quote.paid.
	Type   string
	States []deadletter.State
	// Since and Until bound the time of the last round.
	Since, Until time.Time
}

// Empty reports whether the filter selects every letter, whatever its state.
func (f Filter) Empty() bool {
	return f.Cause == "" && f.Consumer == "" && f.Stream == "" && f.Type == "" && f.Since.IsZero() && f.Until.IsZero()
}

// Takes reports whether the filter selects the letter.
func (f Filter) Takes(l *deadletter.Letter) bool {
	equal := func(want, have string) bool { return want == "" || want == have }
	ok, err := path.Match(f.Type, TypeOf(*l))
	return equal(f.Cause, l.Cause) && equal(f.Consumer, l.Consumer) && equal(f.Stream, l.Stream) &&
		(f.Type == "" || err == nil && ok) && (len(f.States) == 0 || slices.Contains(f.States, l.State)) &&
		(f.Since.IsZero() || !l.Last.Before(f.Since)) && (f.Until.IsZero() || l.Last.Before(f.Until))
}

// TypeOf is the type of the message that was set aside.
func TypeOf(l deadletter.Letter) string {
	return selection.Describe(natsstream.Record{Stream: l.Stream, Subject: l.Subject}).Type
}

// Letters returns the selected letters, the one that was set aside last first. There is no bound to how many.
func (d Desk) Letters(ctx context.Context, f Filter) ([]deadletter.Letter, error) {
	shelf := d.Shelf
	if shelf == nil {
		shelf = &Shelf{}
	}
	shelf.mu.Lock()
	defer shelf.mu.Unlock()
	if shelf.book == nil {
		shelf.book = deadletter.NewBook(d.Log)
	}
	book := shelf.book
	if err := book.Advance(ctx); err != nil {
		return nil, err
	}
	all := []deadletter.Letter{}
	for l := range book.Letters() {
		if f.Takes(l) {
			all = append(all, *l)
		}
	}
	slices.SortFunc(all, func(a, b deadletter.Letter) int { return cmp.Compare(b.Place, a.Place) })
	return all, nil
}

// Group is letters of one cause.
type Group struct {
	Cause    string `json:"cause"`
	Consumer string `json:"consumer"`
	Stream   string `json:"stream"`
	// Pattern is what the reasons have in common.
	Pattern string `json:"pattern"`
	Count   int    `json:"count"`
	// First and Last are when the first and the last of them was set aside.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Sample is the last one.
	Sample deadletter.Letter `json:"sample"`
}

// Groups groups letters that are ordered as Letters orders them, the largest group first.
func Groups(letters []deadletter.Letter) []Group {
	byCause := map[string]*Group{}
	for _, l := range letters {
		g := byCause[l.Cause]
		if g == nil {
			g = &Group{
				Cause: l.Cause, Consumer: l.Consumer, Stream: l.Stream, Pattern: deadletter.Pattern(l.Reason), First: l.First, Last: l.Last, Sample: l,
			}
			byCause[l.Cause] = g
		}
		g.Count++
		if l.First.Before(g.First) {
			g.First = l.First
		}
		if l.Last.After(g.Last) {
			g.Last = l.Last
		}
	}
	groups := make([]Group, 0, len(byCause))
	for _, g := range byCause {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause)) })
	return groups
}

// Find returns the letters that a reference names: DEAD:12 (a letter by its place), payments/STRIPE:88120 (a consumer's letter
// about a message), STRIPE:88120 or evt_… (all letters about a message).
func (d Desk) Find(ctx context.Context, ref string) ([]deadletter.Letter, error) {
	keys, err := d.keys(ctx, ref)
	if err != nil {
		return nil, err
	}
	var letters []deadletter.Letter
	for _, k := range keys {
		l, _, err := deadletter.Find(ctx, d.Log, k)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	if len(letters) == 0 {
		return nil, advice.Missing("quotectl dead list --letters", "%s: there is no such dead letter", ref)
	}
	return letters, nil
}

func (d Desk) keys(ctx context.Context, ref string) ([]deadletter.Key, error) {
	consumer, place, named := strings.Cut(ref, "/")
	if !named {
		place = ref
	}
	stream, number, isPlace := strings.Cut(place, ":")
	if !isPlace {
		return d.keysOfEvent(ctx, ref)
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || !event.ValidToken(stream) || named && !event.ValidToken(consumer) {
		return nil, advice.Of(advice.Usage, "quotectl dead show --help", "%q is none of DEAD:12, payments/STRIPE:88120, STRIPE:88120, evt_…", ref)
	}
	if named {
		return []deadletter.Key{{Consumer: consumer, Stream: stream, Sequence: seq}}, nil
	}
	if stream != event.StreamDead {
		return d.keysOf(ctx, stream, seq)
	}
	r, err := d.Log.ReadSequence(ctx, event.StreamDead, seq)
	if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
		return nil, err
	}
	letter, ok := event.ParseDeadSubject(r.Subject)
	if !ok {
		return nil, nil
	}
	return []deadletter.Key{{Consumer: letter.Consumer, Stream: letter.Stream, Sequence: letter.Sequence}}, nil
}

func (d Desk) keysOfEvent(ctx context.Context, id string) ([]deadletter.Key, error) {
	if !event.ValidToken(id) {
		return nil, advice.Of(advice.Usage, "quotectl dead show --help", "%q is none of DEAD:12, payments/STRIPE:88120, STRIPE:88120, evt_…", id)
	}
	records, err := d.Log.ReadAll(ctx, event.StreamStripe, "stripe.*.*."+id+".>", "stripe.conflict.*.*."+id+".*")
	if err != nil {
		return nil, err
	}
	var keys []deadletter.Key
	for _, r := range records {
		more, err := d.keysOf(ctx, r.Stream, r.Sequence)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// keysOf returns the letters of all consumers about one message.
func (d Desk) keysOf(ctx context.Context, stream string, seq uint64) ([]deadletter.Key, error) {
	records, err := d.Log.ReadAll(ctx, event.StreamDead, "dead.*."+stream+"."+strconv.FormatUint(seq, 10)+".*")
	if err != nil {
		return nil, err
	}
	var keys []deadletter.Key
	for _, r := range records {
		if l, ok := event.ParseDeadSubject(r.Subject); ok {
			k := deadletter.Key{Consumer: l.Consumer, Stream: l.Stream, Sequence: l.Sequence}
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}
