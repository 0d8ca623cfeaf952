package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/operations/parked"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// silentAfter is how long nothing may come from Stripe before the clock turns
	// yellow. Whether that is a quiet night or a broken webhook it cannot tell.
	silentAfter = 6 * time.Hour
	// slowAfter is how long the oldest message may wait to be decided.
	slowAfter = time.Minute
	// tileTimeout bounds one tile: the others are shown without it.
	tileTimeout = 5 * time.Second
)

// tile is one figure of the overview.
type tile struct {
	Label, Value, Note string
	// Href leads to the list behind it; Tone is the colour.
	Href, Tone string
}

// overviewPage is how the whole stands.
type overviewPage struct {
	frame
	Tiles  []tile
	Counts counted
	// Outcomes are the totals by stream, each with the way to its events.
	Outcomes []outcomeRow
}

type outcomeRow struct {
	Stream   string
	Messages uint64
	Words    []outcomeWord
}

type outcomeWord struct {
	Word, Href string
	Count      uint64
}

func (s *Service) showOverview(w http.ResponseWriter, c *call) error {
	page := overviewPage{frame: s.frame(c, navOverview, "Overview").live(true)}
	makers := []func(context.Context, *overviewPage) (tile, error){
		s.paidToday, s.inFlight, s.parkedTile, s.deadTile, s.oldestTile, s.silence, s.gapTile, s.conservation,
	}
	names := []string{"Paid today", "In flight", "Parked", "Dead", "Oldest undecided", "Last word from Stripe", "Gap with Stripe", "Conservation"}
	page.Tiles = make([]tile, len(makers))
	var group errgroup.Group
	for i, make := range makers {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(c.Context(), tileTimeout)
			defer cancel()
			t, err := make(ctx, &page)
			if err != nil {
				t.Value, t.Note, t.Tone = "?", "Not known just now: "+err.Error(), "warn"
			}
			t.Label = names[i]
			page.Tiles[i] = t
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	page.Outcomes = outcomeRows(page.Counts.Accounts)
	return s.render(w, http.StatusOK, "overview.html", page)
}

func (s *Service) paidToday(ctx context.Context, page *overviewPage) (tile, error) {
	p, err := s.day.read(ctx, page.now)
	sums := make([]string, len(p.Sums))
	for i, m := range p.Sums {
		sums[i] = m.String()
	}
	return tile{Value: number(uint64(max(p.Count, 0))), Note: or(strings.Join(sums, " · "), "No quote was paid today yet."), Href: "/events?outcome=&stream=QUOTES&type=quote.paid&since=" + page.now.In(s.cfg.Zone).Format(time.DateOnly)}, err
}

// pending is what payments has yet to decide of one stream.
type pending struct {
	stream string
	natsstream.Behind
}

func (s *Service) undecided(ctx context.Context) ([]pending, error) {
	var all []pending
	for _, name := range []string{event.StreamStripe, event.StreamQuotes} {
		stream, err := s.stream.JetStream().Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		}
		consumer, err := stream.Consumer(ctx, natsstream.DurablePayments)
		if err != nil {
			return nil, fmt.Errorf("look up consumer %s of %s: %w", natsstream.DurablePayments, name, err)
		}
		behind, err := natsstream.ReadBehind(ctx, stream, consumer.CachedInfo())
		if err != nil {
			return nil, err
		}
		all = append(all, pending{name, behind})
	}
	return all, nil
}

func (s *Service) inFlight(ctx context.Context, _ *overviewPage) (tile, error) {
	all, err := s.undecided(ctx)
	t := tile{Href: "/events?outcome=pending"}
	var sum uint64
	var notes []string
	for _, p := range all {
		sum += p.Waiting
		notes = append(notes, p.stream+" "+number(p.Waiting))
	}
	t.Value, t.Note = number(sum), strings.Join(notes, " · ")
	return t, err
}

func (s *Service) oldestTile(ctx context.Context, page *overviewPage) (tile, error) {
	all, err := s.undecided(ctx)
	t := tile{Value: "none", Note: "Everything that was stored is decided.", Tone: "good", Href: "/events?outcome=pending"}
	var oldest pending
	for _, p := range all {
		if p.Oldest > 0 && (oldest.Oldest == 0 || p.Since.Before(oldest.Since)) {
			oldest = p
		}
	}
	if oldest.Oldest == 0 {
		return t, err
	}
	t.Value, t.Note, t.Tone = page.Since(oldest.Since), "In "+oldest.stream+". Is the payments worker running?", ""
	if page.now.Sub(oldest.Since) > slowAfter {
		t.Tone = "bad"
	} else {
		t.Note = "In " + oldest.stream + "."
	}
	return t, err
}

func (s *Service) parkedTile(ctx context.Context, page *overviewPage) (tile, error) {
	all, err := s.waiting.List(ctx, parked.Filter{})
	t := tile{Value: number(uint64(len(all))), Note: "Nothing waits for its quote.", Href: "/dead#parked"}
	if len(all) > 0 {
		t.Tone, t.Note = "warn", "The oldest since "+page.Since(all[0].Since)+"."
	}
	return t, err
}

func (s *Service) deadTile(ctx context.Context, _ *overviewPage) (tile, error) {
	all, err := s.letters.Letters(ctx, dead.Filter{States: []deadletter.State{deadletter.Open}})
	t := tile{Value: number(uint64(len(all))), Note: "No letter is open.", Href: "/dead"}
	if len(all) > 0 {
		t.Tone, t.Note = "bad", "Of "+count(len(dead.Groups(all)), "cause")+"."
	}
	return t, err
}

func (s *Service) silence(ctx context.Context, page *overviewPage) (tile, error) {
	t := tile{Href: "/events?outcome="}
	stream, err := s.stream.JetStream().Stream(ctx, event.StreamStripe)
	if err != nil {
		return t, fmt.Errorf("look up stream %s: %w", event.StreamStripe, err)
	}
	state := stream.CachedInfo().State
	if state.LastSeq == 0 {
		t.Value, t.Note = "never", "No webhook has come in yet."
		return t, nil
	}
	t.Value, t.Note = page.Since(state.LastTime)+" ago", number(state.Msgs)+" events are stored."
	if page.now.Sub(state.LastTime) > silentAfter {
		t.Tone, t.Note = "warn", "A quiet time, or no webhook arrives: compare with quotectl stripe events."
	}
	return t, nil
}

// staleAfter is how old the last comparison with Stripe may be; one is made every
// ten minutes.
const staleAfter = time.Hour

// gapTile tells what the last automatic comparison with Stripe could not make good.
func (s *Service) gapTile(ctx context.Context, page *overviewPage) (tile, error) {
	t := tile{Value: "never compared", Note: "quotes compares where it has a Stripe key.", Href: "/reconcile"}
	state, err := reconcile.LastState(ctx, s.stream)
	if errors.Is(err, natsstream.ErrNotFound) || err == nil && state.Ran.IsZero() {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.Value, t.Tone, t.Note = strconv.Itoa(state.Gap), "good", "Compared "+page.Since(state.Ran)+" ago."
	switch {
	case state.Gap > 0:
		t.Tone, t.Note = "bad", "Look at what differs. Compared "+page.Since(state.Ran)+" ago."
	case page.now.Sub(state.Ran) > staleAfter:
		t.Tone, t.Note = "warn", "The last comparison was "+page.Since(state.Ran)+" ago: look at the log of quotes."
	}
	return t, nil
}

func (s *Service) conservation(ctx context.Context, page *overviewPage) (tile, error) {
	page.Counts = s.books.read(ctx)
	t := tile{Href: "/conservation"}
	if err := page.Counts.Err; err != nil {
		if errors.Is(err, errCounting) {
			t.Value, t.Note = "counting", "Every outcome is being read."
			return t, nil
		}
		return t, err
	}
	t.Value, t.Tone = "holds", "good"
	t.Note = "Every message has one outcome, or is in flight. Counted " + page.Since(page.Counts.At) + " ago."
	if !page.Counts.Conserved() {
		t.Value, t.Tone, t.Note = "broken", "bad", "Some messages are not accounted for."
	}
	return t, nil
}

func outcomeRows(accounts []*check.Account) []outcomeRow {
	rows := make([]outcomeRow, 0, len(accounts))
	for _, a := range accounts {
		row := outcomeRow{Stream: a.Stream, Messages: a.Messages}
		for _, word := range slices.Sorted(maps.Keys(a.Outcomes)) {
			row.Words = append(row.Words, outcomeWord{word, "/events?stream=" + a.Stream + "&outcome=" + word, a.Outcomes[word]})
		}
		rows = append(rows, row)
	}
	return rows
}

// gapsShown bounds a page; quotectl check conservation -o jsonl has all.
const gapsShown = 100

// conservationPage lists what is not accounted for.
type conservationPage struct {
	frame
	Counts counted
	Gaps   []gap
	More   int
}

type gap struct {
	Stream, Why, Range, Href, Next string
	Count                          uint64
}

func (s *Service) showConservation(w http.ResponseWriter, c *call) error {
	page := conservationPage{frame: s.frame(c, navOverview, "Conservation").live(true)}
	ctx, cancel := context.WithTimeout(c.Context(), tileTimeout)
	defer cancel()
	page.Counts = s.books.read(ctx)
	for _, a := range page.Counts.Accounts {
		for _, r := range a.Unaccounted {
			page.Gaps = append(page.Gaps, gap{
				a.Stream, "acknowledged without an outcome", r.String(), "/events?outcome=&stream=" + a.Stream + "&seq=" + r.String(),
				fmt.Sprintf("quotectl replay %s:%d --reason \"not accounted for\"", a.Stream, r.From), r.Len(),
			})
		}
		for _, r := range a.Extra {
			page.Gaps = append(page.Gaps, gap{a.Stream, "an outcome without its message", r.String(), "", `quotectl rebuild --switch --reason "outcomes without messages"`, r.Len()})
		}
	}
	if len(page.Gaps) > gapsShown {
		page.More = len(page.Gaps) - gapsShown
		page.Gaps = page.Gaps[:gapsShown]
	}
	return s.render(w, http.StatusOK, "conservation.html", page)
}

// number is a count for people: 12 345.
func number(n uint64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + " " + text[at:]
	}
	return text
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
