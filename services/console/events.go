package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
)

// listLength is how many rows a page has.
const listLength = 50

// eventRow is an event in a list.
type eventRow struct {
	selection.Event
	Place, Href string
}

func rowOf(e selection.Event) eventRow {
	e.Outcome.Reason = mask.Text(e.Outcome.Reason)
	place := story.Reference(e.Record)
	return eventRow{e, place, "/events/" + url.PathEscape(place)}
}

// chip narrows a list to one outcome.
type chip struct {
	Word, Href string
	Current    bool
}

// eventsPage is a list of events.
type eventsPage struct {
	frame
	Chips  []chip
	Stream string
	Rows   []eventRow
	// Faults are what is wrong with the filter.
	Faults []string
	// Terms are the filter's words but stream, outcome and limit.
	Terms []selection.Term
	// Command is the filter as quotectl takes it; Replay plans a replay of it.
	Command, Replay string
	// Older goes on with the list; empty at its end. Looked says that the page ran
	// out of time, and up to where it looked.
	Older  string
	Looked uint64
	// After says that this is not the first page.
	After bool
}

// listEvents shows what the address selects; without an outcome in it, what
// failed.
func (s *Service) listEvents(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	if !q.Has("outcome") {
		q.Set("outcome", selection.OutcomeFailed)
		http.Redirect(w, c.Request, "/events?"+q.Encode(), http.StatusSeeOther)
		return nil
	}
	page := eventsPage{frame: s.frame(c, navEvents, "Events").live(false)}
	page.Terms = slices.DeleteFunc(slices.Clone(selection.Terms), func(t selection.Term) bool {
		return t.Name == "stream" || t.Name == "outcome" || t.Name == "limit"
	})
	sel, err := selection.Parse(q, page.now.In(s.cfg.Zone))
	page.Stream = sel.Stream
	page.Chips = chips(page.frame, sel)
	after, afterErr := strconv.ParseUint(or(q.Get("after"), "0"), 10, 64)
	if afterErr != nil {
		err = errors.Join(err, fmt.Errorf("after: %q is no sequence", q.Get("after")))
	}
	if err != nil {
		page.Faults = faultsOf(err)
		return s.render(w, http.StatusBadRequest, "events.html", page)
	}
	sel.Limit, page.After = 0, after > 0
	page.Replay = "/plan?" + sel.Values().Encode()
	page.Command = "quotectl events list " + sel.String()
	if err := s.fill(c.Context(), &page, sel, after); err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "events.html", page)
}

// fill finds one page of events, and gives up looking in time to show what it has.
func (s *Service) fill(ctx context.Context, page *eventsPage, sel selection.Selection, after uint64) error {
	looking, cancel := context.WithTimeout(ctx, s.cfg.LookFor)
	defer cancel()
	var last uint64
	o := selection.Options{Order: selection.NewestFirst, After: after, At: func(sequence uint64) { last = sequence }}
	for e, err := range s.finder.Find(looking, sel, o) {
		switch {
		case err != nil && ctx.Err() == nil && looking.Err() != nil && last > 0:
			page.Looked, page.Older = last, page.With("after", strconv.FormatUint(last, 10))
			return nil
		case err != nil:
			return err
		}
		if len(page.Rows) == listLength {
			page.Older = page.With("after", strconv.FormatUint(page.Rows[listLength-1].Record.Sequence, 10))
			return nil
		}
		page.Rows = append(page.Rows, rowOf(e))
	}
	return nil
}

// between reads since and until off an address; the error joins what is wrong with
// either.
func (s *Service) between(q url.Values) (since, until time.Time, err error) {
	now := s.cfg.Now().In(s.cfg.Zone)
	read := func(name string) (at time.Time) {
		text := q.Get(name)
		if text == "" {
			return at
		}
		at, fault := selection.ParseTime(text, now)
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, fault))
		}
		return at
	}
	since, until = read("since"), read("until")
	return since, until, err
}

// faultsOf are the errors that were joined, as lines for a page.
func faultsOf(err error) []string { return strings.Split(err.Error(), "\n") }

// chips are the outcomes that a list can be narrowed to, failed first.
func chips(f frame, sel selection.Selection) []chip {
	words := append([]string{selection.OutcomeFailed, selection.OutcomePending}, slices.DeleteFunc(slices.Clone(selection.Outcomes), func(word string) bool {
		return word == selection.OutcomeFailed || word == selection.OutcomePending
	})...)
	current := f.here.Query()["outcome"]
	all := make([]chip, 0, len(words)+1)
	for _, word := range words {
		on := len(current) == 1 && current[0] == word
		all = append(all, chip{word, f.With("outcome", word), on})
	}
	everything := f.here.Query()
	everything["outcome"] = []string{""}
	everything.Del("after")
	return append(all, chip{"all", "/events?" + everything.Encode(), len(sel.Outcomes) == 0})
}

// The tabs of an event's page.
const (
	tabDecoded = "decoded"
	tabHeaders = "headers"
	tabRaw     = "raw"
)

// eventPage is one event.
type eventPage struct {
	frame
	eventRow
	Tab string
	// Body is the decoded body, masked, or with tab raw as it is stored. Broken
	// says that it is no JSON.
	Body    string
	Broken  bool
	Headers [][2]string
	Steps   []story.Step
	Notes   []string
	// Others are further messages of the same event id.
	Others []eventRow
}

// eventOf finds the message that an id or a place names, and the others of its id.
func (s *Service) eventOf(ctx context.Context, id string) (eventRow, []eventRow, error) {
	var records []natsstream.Record
	if stream, _, ok := strings.Cut(id, ":"); ok {
		if stream != event.StreamStripe && stream != event.StreamQuotes {
			return eventRow{}, nil, advice.Missing("quotectl events get --help", "%s is no place of an event: STRIPE:88120, QUOTES:4410", id)
		}
		r, err := story.Message(ctx, s.stream, id)
		if err != nil {
			return eventRow{}, nil, err
		}
		records = append(records, r)
	} else {
		if !event.ValidToken(id) {
			return eventRow{}, nil, advice.Missing("quotectl events get --help", "%q is neither an event id (evt_…) nor a place in the log (STRIPE:88120)", id)
		}
		var err error
		if records, err = story.Events(ctx, s.stream, id); err != nil {
			return eventRow{}, nil, err
		}
	}
	rows := make([]eventRow, 0, len(records))
	for _, r := range records {
		e, err := s.finder.Decided(ctx, selection.Describe(r))
		if err != nil {
			return eventRow{}, nil, err
		}
		rows = append(rows, rowOf(e))
	}
	return rows[0], rows[1:], nil
}

func (s *Service) showEvent(w http.ResponseWriter, c *call) error {
	page, err := s.eventPage(c)
	if err != nil {
		return err
	}
	if page.Tab = c.URL.Query().Get("tab"); page.Tab != tabHeaders {
		page.Tab = tabDecoded
	}
	body, err := mask.JSON(page.Record.Data)
	page.Body, page.Broken = string(body), err != nil
	return s.render(w, http.StatusOK, "event.html", page)
}

func (s *Service) eventPage(c *call) (eventPage, error) {
	row, others, err := s.eventOf(c.Context(), c.PathValue("id"))
	if err != nil {
		return eventPage{}, err
	}
	page := eventPage{frame: s.frame(c, navEvents, row.Place), eventRow: row, Others: others}
	for _, name := range slices.Sorted(maps.Keys(row.Record.Header)) {
		if !strings.HasPrefix(name, "Nats-") {
			page.Headers = append(page.Headers, [2]string{name, mask.Text(strings.Join(row.Record.Header[name], ", "))})
		}
	}
	stories, err := s.teller.Find(c.Context(), row.Place, event.Platform)
	if err != nil {
		page.Notes = append(page.Notes, "What followed from it cannot be told: "+err.Error())
	}
	for _, st := range stories {
		page.Steps, page.Notes = append(page.Steps, st.Steps...), append(page.Notes, st.Notes...)
	}
	return page, nil
}

// planRaw asks why somebody wants to see an event as it is stored.
func (s *Service) planRaw(w http.ResponseWriter, c *call) error {
	act, err := s.rawAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

func (s *Service) rawAct(c *call) (actPage, error) {
	row, _, err := s.eventOf(c.Context(), c.PathValue("id"))
	if err != nil {
		return actPage{}, err
	}
	return actPage{
		frame: s.frame(c, navEvents, "Open the stored bytes of "+row.Place), Button: "Open", Back: row.Href, Action: row.Href + "/raw",
		Text:    "The body as Stripe sent it holds names and addresses of people. That you open it is recorded in the journal.",
		Numbers: []figure{{"Event", row.Place + "  " + row.Type}, {"Bytes", number(uint64(len(row.Record.Data)))}},
	}, nil
}

// showRaw shows an event as it is stored, after the journal has it.
func (s *Service) showRaw(w http.ResponseWriter, c *call) error {
	reason, fault := reasonOf(c)
	if fault != "" {
		act, err := s.rawAct(c)
		if err != nil {
			return err
		}
		act.Fault = fault
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	page, err := s.eventPage(c)
	if err != nil {
		return err
	}
	if err := s.opened(c, "event_opened", reason, page.Place); err != nil {
		return err
	}
	page.Tab, page.Body, page.Broken = tabRaw, string(page.Record.Data), !utf8.Valid(page.Record.Data)
	if page.Broken {
		page.Body = strconv.QuoteToASCII(page.Body)
	}
	return s.render(w, http.StatusOK, "event.html", page)
}
