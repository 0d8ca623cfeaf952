package quotes

import (
	"bytes"
	"embed"
	"fmt"
	"net/http"
	"strings"
	"time"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/webui"
)

// pagesFS holds templates, styles, scripts and translations of all pages.
//
//go:embed pages
var pagesFS embed.FS

// templates are the pages by name, each with the layout around it and the parts
// (part_*.html) that several pages share.
var templates = webui.MustPages(pagesFS, "pages", assets)

// view is what the layout and every page need: the language and what is written
// in it. The data of a page embeds it; s.view makes one.
type view struct {
	// Title is that of the browser's tab.
	Title string
	Lang  string
	// Languages lead to the same page in each language; none where it has no address.
	Languages []languageLink
	// english leads to the English version of a page that has no address.
	english string
}

type languageLink struct {
	Lang, Name, Href string
	Current          bool
}

// view is the common part of the answer to a call.
func (s *Service) view(c *call) view {
	v := view{Lang: language(c.Request)}
	if c.Method != http.MethodGet && c.Method != http.MethodHead {
		return v // the answer to a command has no address of its own
	}
	for _, l := range []languageLink{{Lang: langEnglish, Name: "English"}, {Lang: langPolish, Name: "Polski"}} {
		l.Href, l.Current = inLanguage(c.URL, l.Lang), l.Lang == v.Lang
		v.Languages = append(v.Languages, l)
	}
	return v
}

// T writes a text in the reader's language.
func (v view) T(key text, args ...any) string { return translate(v.Lang, key, args...) }

// English leads to the canonical version; empty where this is it, or where there
// is no address to lead to.
func (v view) English() string {
	for _, l := range v.Languages {
		if l.Lang == langEnglish && !l.Current {
			return l.Href
		}
	}
	if v.Lang == langEnglish {
		return ""
	}
	return v.english
}

// Translated reports whether the page is not in the canonical language (R1).
func (v view) Translated() bool { return v.Lang != langEnglish }

// Date writes a day, Moment a time to the minute, in the zone that it is in.
func (v view) Date(at time.Time) string { return date(v.Lang, at) }

// Moment is Date with the time of day and the zone.
func (v view) Moment(at time.Time) string { return date(v.Lang, at) + at.Format(", 15:04 MST") }

// Every is how often a line is charged.
func (v view) Every(r *quote.Recurring) string {
	type frequency struct{ one, more text }
	known := map[string]frequency{
		"day": {text("every day"), text("every %d days")}, "week": {text("every week"), text("every %d weeks")},
		"month": {text("every month"), text("every %d months")}, "year": {text("every year"), text("every %d years")},
	}
	switch f, ok := known[r.Interval]; {
	case !ok:
		return fmt.Sprintf("%d × %s", r.IntervalCount, r.Interval)
	case r.IntervalCount == 1:
		return v.T(f.one)
	default:
		return v.T(f.more, r.IntervalCount)
	}
}

// render answers with a page: its file's name, and its data, which embeds view.
// It writes nothing when the page cannot be made.
func (s *Service) render(w http.ResponseWriter, c *call, status int, name string, data any, leads ...string) error {
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	s.rememberLanguage(w, c.Request)
	h := w.Header()
	webui.Headers(h, leads...)
	h.Set("Content-Language", language(c.Request))
	h.Add("Vary", "Accept, Accept-Language, Cookie")
	w.WriteHeader(status)
	// A failed write means that the reader has gone; there is nobody left to tell.
	_, _ = w.Write(b.Bytes())
	return nil
}

// messagePage says one thing: that something is not there, or was refused.
type messagePage struct {
	view
	Heading string
	// Lines say more; each is a paragraph.
	Lines []string
	// Back leads to where the reader came from; empty for nowhere.
	Back string
	// Forward, if not empty, leads on.
	Forward string
}

// wantsPage reports whether a person reads the answer: a browser asks for HTML by
// name. Programs, and everything under /v1, get problem documents.
func (c *call) wantsPage() bool {
	if strings.HasPrefix(c.URL.Path, "/v1/") {
		return false
	}
	for entry := range strings.SplitSeq(strings.Join(c.Header.Values("Accept"), ","), ",") {
		media, params, _ := strings.Cut(entry, ";")
		if strings.TrimSpace(media) == "text/html" {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}
