package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// statuses are what quotes of a seller can be listed by.
var statuses = []string{
	string(quote.LifecycleDraft), string(quote.LifecyclePublished), string(quote.LifecycleRecalled), string(quote.LifecycleExpired),
	string(quote.StatusProcessing), string(quote.StatusPaid), string(quote.StatusRefunded), string(quote.StatusChargedBack),
	string(quote.StatusReview),
}

// quoteRow is a quote in a list.
type quoteRow struct {
	ID, Seller, Title, Deal, Status, Card string
	Flags                                 []string
	Due                                   quote.Money
	Revision                              int
	At                                    time.Time // of its last event, or of its creation
	// Fault is why nothing more is known.
	Fault string
}

type quotesPage struct {
	frame
	Rows     []quoteRow
	Statuses []string
	Faults   []string
	Older    string
}

// listQuotes shows the quotes of one seller, by status or deal, or those of all
// sellers in the order of their last event.
func (s *Service) listQuotes(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	page := quotesPage{frame: s.frame(c, navQuotes, "Quotes"), Statuses: statuses}
	seller, status, deal := q.Get("seller"), q.Get("status"), q.Get("deal")
	switch {
	case seller != "" && !event.ValidSeller(seller):
		page.Faults = append(page.Faults, "seller: no seller can have this id")
	case status != "" && !slices.Contains(statuses, status):
		page.Faults = append(page.Faults, "status: it is one of "+strings.Join(statuses, ", "))
	case seller == "" && (status != "" || deal != ""):
		page.Faults = append(page.Faults, "seller: quotes are listed by status or deal of one seller; name it")
	}
	if len(page.Faults) > 0 {
		return s.render(w, http.StatusBadRequest, "quotes.html", page)
	}
	fill := s.recent
	if seller != "" {
		fill = s.ofSeller
	}
	if err := fill(c.Context(), &page, q); err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "quotes.html", page)
}

// ofSeller lists by the indexes of Redis.
func (s *Service) ofSeller(ctx context.Context, page *quotesPage, q url.Values) error {
	query := redisquote.Query{Seller: q.Get("seller"), Status: q.Get("status"), Deal: q.Get("deal"), Limit: listLength + 1}
	if created, id, ok := strings.Cut(q.Get("before"), "_q"); ok {
		n, err := strconv.ParseInt(created, 10, 64)
		if err == nil {
			query.Before = redisquote.Cursor{Created: n, ID: "q" + id}
		}
	}
	entries, err := s.reader.List(ctx, query)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if i == listLength {
			last := entries[i-1]
			page.Older = page.With("before", strconv.FormatInt(last.Created, 10)+"_"+last.ID)
			break
		}
		row, err := s.quoteRow(ctx, e.ID, query.Seller, time.UnixMilli(e.Created).UTC())
		if err != nil {
			return err
		}
		if query.Status == "" || row.Status == query.Status { // an index may be a moment behind
			page.Rows = append(page.Rows, row)
		}
	}
	return nil
}

// recent lists by the log: every quote once, at its last event.
func (s *Service) recent(ctx context.Context, page *quotesPage, q url.Values) error {
	after, err := strconv.ParseUint(or(q.Get("after"), "0"), 10, 64)
	if err != nil {
		after = 0
	}
	seen := map[string]bool{}
	var last uint64
	looking, cancel := context.WithTimeout(ctx, s.cfg.LookFor)
	defer cancel()
	o := selection.Options{Order: selection.NewestFirst, After: after}
	for e, err := range s.finder.Find(looking, selection.Selection{Stream: event.StreamQuotes}, o) {
		switch {
		case err != nil && ctx.Err() == nil && looking.Err() != nil && last > 0:
			page.Older = page.With("after", strconv.FormatUint(last, 10))
			return nil
		case err != nil:
			return err
		}
		subject, ok := event.ParseQuoteSubject(e.Record.Subject)
		if !ok || seen[subject.Quote] {
			last = e.Record.Sequence
			continue
		}
		if len(page.Rows) == listLength {
			page.Older = page.With("after", strconv.FormatUint(last, 10))
			return nil
		}
		last, seen[subject.Quote] = e.Record.Sequence, true
		if after > 0 && s.isLater(ctx, subject, after) {
			continue // stood on an earlier page
		}
		row, err := s.quoteRow(ctx, subject.Quote, subject.Seller, e.Record.Time)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, row)
	}
	return nil
}

// isLater reports whether a quote has an event at or after a place.
func (s *Service) isLater(ctx context.Context, subject event.QuoteSubject, place uint64) bool {
	r, err := s.stream.Read(ctx, event.StreamQuotes, event.QuoteFilter(subject.Seller, subject.Quote))
	return err == nil && r.Sequence >= place
}

// quoteRow reads one quote of a list from Redis, which may be a moment behind the
// log.
func (s *Service) quoteRow(ctx context.Context, id, seller string, at time.Time) (quoteRow, error) {
	row := quoteRow{ID: id, Seller: seller, At: at}
	q, err := s.reader.Quote(ctx, id)
	if errors.Is(err, redisquote.ErrNotFound) {
		row.Fault = "Redis does not know it yet."
		return row, nil
	}
	if err != nil {
		return row, err
	}
	a := q.Aggregate()
	a.ID = id
	d := q.Drafted.Document
	row.Title, row.Deal, row.Revision = d.Title, or(d.Deal.Name, d.Deal.ID), a.Revision()
	zone, err := d.Zone()
	if err != nil {
		zone = time.UTC
	}
	if row.Due, err = d.DueAtCheckout(); err != nil {
		row.Due = quote.Money{Currency: d.Currency}
	}
	var all []quote.Status
	var newest redisquote.Payment
	newestOn := ""
	for _, account := range q.Accounts() {
		p, err := s.reader.Payment(ctx, account, id)
		if errors.Is(err, redisquote.ErrNotFound) {
			continue
		}
		if err != nil {
			return row, err
		}
		all = append(all, quote.Status(p.Status))
		row.Flags = append(row.Flags, p.Flags...)
		if account == q.Revisions[row.Revision].Account {
			newest, newestOn = p, account
		}
	}
	row.Status = quote.Overall(a.StateAt(s.cfg.Now()), all...)
	row.Card = event.CardText(row.Status, time.Time{}, zone)
	if newestOn != "" && newest.Status == row.Status {
		if row.Card, err = story.Card(newest, newestOn, row.Revision, zone); err != nil {
			return row, err
		}
	}
	return row, nil
}

// quotePage is one quote's story.
type quotePage struct {
	frame
	*story.Story
}

func (s *Service) showQuote(w http.ResponseWriter, c *call) error {
	stories, err := s.teller.Find(c.Context(), c.PathValue("id"), event.Platform)
	if err != nil {
		return err
	}
	page := quotePage{frame: s.frame(c, navQuotes, "Quote "+stories[0].Quote).live(false), Story: stories[0]}
	if stories[0].Quote != c.PathValue("id") { // an id of something that belongs to the quote
		return leadTo(w, c, stories[0])
	}
	return s.render(w, http.StatusOK, "quote.html", page)
}

// leadTo sends the browser to the story's page.
func leadTo(w http.ResponseWriter, c *call, st *story.Story) error {
	target := "/quotes/" + url.PathEscape(st.Quote)
	if st.Quote == "" {
		target = "/events/" + url.PathEscape(c.URL.Query().Get("q"))
	}
	http.Redirect(w, c.Request, target, http.StatusSeeOther)
	return nil
}

// search leads to the page of whatever id was typed.
func (s *Service) search(w http.ResponseWriter, c *call) error {
	id := strings.TrimSpace(c.URL.Query().Get("q"))
	stream, place, isPlace := strings.Cut(id, ":")
	switch {
	case id == "":
		http.Redirect(w, c.Request, "/quotes", http.StatusSeeOther)
		return nil
	case isPlace && stream == event.StreamDead:
		http.Redirect(w, c.Request, "/dead/letter/"+url.PathEscape(place), http.StatusSeeOther)
		return nil
	case isPlace && (stream == event.StreamStripe || stream == event.StreamQuotes), strings.HasPrefix(id, "evt_"):
		http.Redirect(w, c.Request, "/events/"+url.PathEscape(id), http.StatusSeeOther)
		return nil
	}
	account := or(c.URL.Query().Get("account"), event.Platform)
	stories, err := s.teller.Find(c.Context(), id, account)
	if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
		return err
	}
	if len(stories) == 0 {
		return &problem{Status: http.StatusNotFound, Heading: "Nothing was found", Detail: "The log knows nothing of " + id + ".", Next: "quotectl explain " + id}
	}
	return leadTo(w, c, stories[0])
}
