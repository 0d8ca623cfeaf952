package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/operations/past"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/operations/selection"
)

// axes are the two questions about the past, in the words of the form.
var axes = []struct {
	Axis past.Axis
	Word string
}{
	{past.True, "what was true, by Stripe's times"},
	{past.Known, "what was known here"},
}

// pastPage is one quote at another time, beside how it stands now.
type pastPage struct {
	frame
	Quote  string
	Axis   past.Axis
	Faults []string
	// View is nil where the question cannot be read.
	View *past.View
	// Lines are the two side by side; Earlier and Later the messages on both sides of the time.
	Lines          []past.Line
	Earlier, Later []pastMessage
}

// pastMessage is a message, and the address of the moment in which it had come.
type pastMessage struct {
	past.Message
	Href string
}

// Axes are the questions that can be asked.
func (pastPage) Axes() any { return axes }

// showPast shows a quote as of a time that stands in the address.
func (s *Service) showPast(w http.ResponseWriter, c *call) error {
	id, q := c.PathValue("id"), c.URL.Query()
	page := pastPage{frame: s.frame(c, navQuotes, "Quote "+id+" at another time"), Quote: id, Axis: past.Axis(or(q.Get("axis"), string(past.True)))}
	if page.Axis != past.True && page.Axis != past.Known {
		page.Faults = append(page.Faults, "axis: it is "+string(past.True)+" or "+string(past.Known))
	}
	at, err := selection.ParseTime(or(q.Get("at"), "0s"), page.now.In(page.zone))
	switch {
	case err != nil:
		page.Faults = append(page.Faults, "at: "+err.Error())
	case at.After(page.now):
		page.Faults = append(page.Faults, "at: this is still to come")
	}
	if len(page.Faults) > 0 {
		return s.render(w, http.StatusBadRequest, "past.html", &page)
	}
	rules, err := rebuild.Rules(c.Context(), s.stream)
	if err != nil {
		return err
	}
	archive := past.Archive{Log: s.stream, Reader: s.reader, Rules: rules, Now: s.cfg.Now}
	if page.View, err = archive.At(c.Context(), id, page.Axis, at); err != nil {
		return err
	}
	page.Lines = page.View.Lines(func(t time.Time) string { return t.In(page.zone).Format("2006-01-02 15:04:05") })
	page.Earlier, page.Later = page.moments(page.View.Earlier), page.moments(page.View.Later)
	return s.render(w, http.StatusOK, "past.html", &page)
}

// moments link each message to the time from which on it counts, the newest first.
func (p *pastPage) moments(all []past.Message) []pastMessage {
	list := make([]pastMessage, 0, len(all))
	for _, m := range slices.Backward(all) {
		q := url.Values{"axis": {string(p.Axis)}, "at": {m.At.Format(time.RFC3339Nano)}}
		list = append(list, pastMessage{m, "/quotes/" + url.PathEscape(p.Quote) + "/past?" + q.Encode()})
	}
	return list
}

// Changed reports whether a line is another one now.
func (pastPage) Changed(l past.Line) bool { return l.Then != l.Now }

// Command is the same question for quotectl.
func (p *pastPage) Command() string {
	flag := map[past.Axis]string{past.True: "--as-of ", past.Known: "--as-known-at "}[p.Axis]
	return strings.Join([]string{"quotectl status", p.Quote, flag + p.View.At.Format(time.RFC3339Nano)}, " ")
}
