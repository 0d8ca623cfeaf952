package console

import (
	"bytes"
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/platform/webui"
)

// pagesFS holds templates, styles and scripts of all pages.
//
//go:embed pages
var pagesFS embed.FS

// assets are the files that browsers get.
var assets = webui.MustAssets(pagesFS, "pages")

// templates are the pages by name, each with the layout around it and the parts
// (part_*.html) that several pages share.
var templates = webui.MustPages(pagesFS, "pages", assets)

// The entries of the navigation.
const (
	navOverview    = "overview"
	navQuotes      = "quotes"
	navEvents      = "events"
	navDead        = "dead"
	navReplays     = "replays"
	navMail        = "mail"
	navSubscribers = "subscribers"
	navReconcile   = "reconcile"
	navDoctor      = "doctor"
	navJournal     = "journal"
)

type navEntry struct{ Key, Href, Name string }

var navigation = []navEntry{
	{navOverview, "/overview", "Overview"},
	{navQuotes, "/quotes", "Quotes"},
	{navEvents, "/events", "Events"},
	{navDead, "/dead", "Dead & parked"},
	{navReplays, "/replays", "Replays"},
	{navMail, "/mail", "Mail"},
	{navSubscribers, "/subscribers", "Subscribers"},
	{navReconcile, "/reconcile", "Reconcile"},
	{navDoctor, "/doctor", "Doctor"},
	{navJournal, "/journal", "Journal"},
}

// liveEvery is how often a page that is live is loaded again, in seconds.
const liveEvery = 10

// frame is what the layout and every page need. The data of a page embeds it.
type frame struct {
	// Title is that of the browser's tab.
	Title, Nav       string
	CSRF, User, Role string
	MayAct           bool
	// Test: the deployment takes no real money.
	Test bool
	// CanLive says that the page can load again by itself; Live is how often it
	// does, in seconds, 0 while it is paused.
	CanLive bool
	Live    int

	zone *time.Location
	now  time.Time
	here *url.URL
}

func (s *Service) frame(c *call, nav, title string) frame {
	return frame{
		Title: title, Nav: nav, CSRF: c.csrf, User: c.token.Name, Role: c.token.Role, MayAct: mayAct(c.token),
		Test: s.cfg.Mode == event.ModeTest, zone: s.cfg.Zone, now: s.cfg.Now(), here: c.URL,
	}
}

// live makes the page load again by itself, if the address says so, or on where
// it says nothing.
func (f frame) live(on bool) frame {
	if given := f.here.Query().Get("live"); given != "" {
		on = given != "off"
	}
	if f.CanLive = true; on {
		f.Live = liveEvery
	}
	return f
}

// Navigation is the list of areas.
func (f frame) Navigation() []navEntry { return navigation }

// Zone is the time zone that times are in, for people.
func (f frame) Zone() string {
	if f.zone == time.UTC {
		return "UTC"
	}
	return f.zone.String() + " (" + f.now.In(f.zone).Format("UTC-07:00") + ")"
}

// With is the address of this page with other parameters, given in pairs; an
// empty value takes one away. Where a list goes on is forgotten, unless it is said.
func (f frame) With(pairs ...string) string {
	q := f.here.Query()
	q.Del("after")
	q.Del("before")
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: f.here.Path, RawQuery: q.Encode()}).String()
}

// Link is an address with a query that is encoded already.
func (f frame) Link(path, query string) string { return path + "?" + query }

// Toggle is the address with live updates paused, or going on.
func (f frame) Toggle() string {
	q := f.here.Query()
	q.Set("live", "on")
	if f.Live > 0 {
		q.Set("live", "off")
	}
	return (&url.URL{Path: f.here.Path, RawQuery: q.Encode()}).String()
}

// Param is a parameter of this page's address.
func (f frame) Param(name string) string { return strings.Join(f.here.Query()[name], ",") }

// Params are the parameters of this page's address but the named ones, for a form
// that changes some of them.
func (f frame) Params(without ...string) []param {
	var all []param
	q := f.here.Query()
	for _, name := range append(without, "after", "before") {
		q.Del(name)
	}
	for name, values := range q {
		for _, value := range values {
			all = append(all, param{name, value})
		}
	}
	return all
}

type param struct{ Name, Value string }

// moment is a time as a page shows it.
type moment struct{ Text, Ago, Machine string }

// When is a time to the second; nothing for none.
func (f frame) When(at time.Time) *moment {
	if at.IsZero() {
		return nil
	}
	layout := "2006-01-02 15:04:05"
	if today := f.now.In(f.zone).Format(time.DateOnly); at.In(f.zone).Format(time.DateOnly) == today {
		layout = "15:04:05"
	}
	return &moment{at.In(f.zone).Format(layout), span(f.now.Sub(at)) + " ago", at.UTC().Format(time.RFC3339Nano)}
}

// Since is how long ago a time was.
func (f frame) Since(at time.Time) string { return span(f.now.Sub(at)) }

// Money writes an amount of minor units.
func (f frame) Money(amount int64, currency string) string {
	return quote.Money{Amount: amount, Currency: currency}.String()
}

// After is how long after the first step another one was, of milliseconds.
func (f frame) After(ms float64) string {
	if ms < 10_000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return span(time.Duration(ms * float64(time.Millisecond)))
}

// Masked hides the addresses in a text.
func (f frame) Masked(text string) string { return mask.Text(text) }

// Tone is the colour of a word of ours; the word stands beside it.
func (f frame) Tone(word string) string { return tones[word] }

var tones = map[string]string{
	"applied": "good", "corroborated": "good", "paid": "good", "sent": "good", "resolved": "good", "acknowledged": "good", "published": "accent",
	"parked": "warn", "review": "warn", "expired": "warn", "ambiguous": "warn", "pending": "accent", "claimed": "accent", "sending": "accent",
	"processing": "accent", "refused": "bad", "dead": "bad", "open": "bad", "rejected": "bad", "charged_back": "bad", "failed": "bad", "running": "accent",
	"done": "good", "differs": "bad", "interrupted": "warn", "cancelled": "warn", "refunded": "accent",
	"at_stripe": "bad", "here": "bad", "differing": "bad", "beyond": "bad", "ok": "good", "warn": "warn", "fail": "bad",
}

// span is a duration for people: the two greatest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// render answers with a page: its file's name, and its data, which embeds frame.
// It writes nothing when the page cannot be made.
func (s *Service) render(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	webui.Headers(w.Header())
	w.Header().Set("Content-Language", "en")
	w.WriteHeader(status)
	// A failed write means that the reader has gone; there is nobody left to tell.
	_, _ = w.Write(b.Bytes())
	return nil
}
