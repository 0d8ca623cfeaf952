package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"quittance.internal/libs/operations/journal"
)

// entryRow is an entry of the journal in a list.
type entryRow struct {
	journal.Record
	// Change is before → after, Details the rest, as JSON.
	Change, Details string
}

type journalPage struct {
	frame
	Rows   []entryRow
	Faults []string
	Older  string
}

func (s *Service) listJournal(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	page := journalPage{frame: s.frame(c, navJournal, "Journal")}
	f := journal.Filter{Action: q.Get("action"), Who: q.Get("who"), Target: q.Get("target"), Limit: listLength + 1}
	var err error
	if f.Since, f.Until, err = s.between(q); err != nil {
		page.Faults = faultsOf(err)
	}
	if text := q.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			page.Faults = append(page.Faults, fmt.Sprintf("before: %q is no sequence", text))
		}
		f.Before = n
	}
	if err := f.Check(); err != nil {
		page.Faults = append(page.Faults, err.Error())
	}
	if len(page.Faults) > 0 {
		return s.render(w, http.StatusBadRequest, "journal.html", page)
	}
	records, err := s.journal.List(c.Context(), f)
	if err != nil {
		return err
	}
	for i, r := range records {
		if i == listLength {
			page.Older = page.With("before", strconv.FormatUint(records[i-1].Sequence, 10))
			break
		}
		row := entryRow{Record: r, Details: plain(r.Detail)}
		if r.Before != nil || r.After != nil {
			row.Change = or(plain(r.Before), "-") + " → " + or(plain(r.After), "-")
		}
		page.Rows = append(page.Rows, row)
	}
	return s.render(w, http.StatusOK, "journal.html", page)
}

// plain is a value for people: a text as it is, all else as JSON.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// verifyPage is what a verification of the chain found.
type verifyPage struct {
	frame
	journal.Report
}

func (s *Service) verifyJournal(w http.ResponseWriter, c *call) error {
	page := verifyPage{frame: s.frame(c, navJournal, "The journal's chain")}
	report, err := s.journal.Verify(c.Context(), nil, nil)
	if err != nil && c.Context().Err() != nil {
		return &problem{Status: http.StatusServiceUnavailable, Heading: "The journal is too long for a page", Detail: "To verify all of it takes longer than a page may.", Next: "quotectl journal verify", cause: err}
	}
	if err != nil {
		return err
	}
	page.Report = report
	return s.render(w, http.StatusOK, "verify.html", page)
}
