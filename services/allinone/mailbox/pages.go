package mailbox

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/httpserve"
)

//go:embed web
var webFiles embed.FS

// Content security policies: of our own pages, and of the sender's HTML inside its frame. That one may neither run
// anything nor fetch anything; what is not in the mail itself does not load, and a link opens in a tab of its own.
const (
	pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

// pageSize is how many mails one page of the inbox shows.
const pageSize = 50

// handler serves the pages and the API.
type handler struct {
	store *store
	log   *zap.Logger
	page  *template.Template
}

// newHandler returns the HTTP side of the catcher.
func newHandler(st *store, log *zap.Logger) (http.Handler, error) {
	page, err := template.New("").Funcs(template.FuncMap{
		"who": who, "people": people, "when": when, "brief": brief, "size": size, "iso": func(t time.Time) string { return t.Format(time.RFC3339) },
	}).ParseFS(webFiles, "web/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	h := &handler{store: st, log: log, page: page}
	mux := http.NewServeMux()
	httpserve.Probes(mux, h.ready)
	h.apiRoutes(mux)
	mux.HandleFunc("GET /{$}", h.inbox)
	mux.HandleFunc("POST /delete", h.deleteAll)
	mux.HandleFunc("GET /mail/{id}", h.mail)
	mux.HandleFunc("GET /mail/{id}/{view}", h.mail)
	mux.HandleFunc("GET /mail/{id}/document", h.document)
	for _, name := range []string{"style.css", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, webFiles, "web/"+name)
		})
	}
	// A page of another origin may not empty the inbox by way of the reader's browser.
	return secured(http.NewCrossOriginProtection().Handler(mux)), nil
}

func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, v := range map[string]string{
			"Content-Security-Policy": pagePolicy, "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, v)
		}
		next.ServeHTTP(w, r)
	})
}

func (h *handler) inbox(w http.ResponseWriter, r *http.Request) {
	start, _, ok := window(r)
	if !ok {
		start = 0
	}
	page, total, unread := h.store.list(start, pageSize)
	data := struct {
		Mails                []Summary
		Total, Unread, First int
		Last, Newer, Older   int
		HasNewer, HasOlder   bool
	}{
		Mails: page, Total: total, Unread: unread, First: start + 1, Last: start + len(page),
		Newer: max(0, start-pageSize), Older: start + pageSize,
		HasNewer: start > 0, HasOlder: start+len(page) < total,
	}
	h.render(w, "inbox.html", data)
}

// mail shows one message in the view that the path names; the first view that the message has is the default.
func (h *handler) mail(w http.ResponseWriter, r *http.Request) {
	m, p, raw, ok := h.load(w, r)
	if !ok {
		return
	}
	views := p.views()
	view := orDefault(r.PathValue("view"), views[0])
	data := struct {
		Message
		View  string
		Views []string
		Raw   string
	}{Message: p.message(m.id, m.env), View: view, Views: views}
	switch view {
	case "html", "text":
	case "headers", "raw":
		head, _, _ := strings.Cut(strings.ReplaceAll(printable(raw), "\r\n", "\n"), "\n\n")
		data.Raw = head
		if view == "raw" {
			data.Raw = printable(raw)
		}
	default:
		http.NotFound(w, r)
		return
	}
	h.render(w, "mail.html", data)
}

// views names the tabs that this message has, the most readable one first.
func (p *parsed) views() []string {
	var v []string
	if p.html != "" {
		v = append(v, "html")
	}
	if p.text != "" || p.html == "" {
		v = append(v, "text")
	}
	return append(v, "headers", "raw")
}

// document is the sender's HTML, for the sandboxed frame alone.
func (h *handler) document(w http.ResponseWriter, r *http.Request) {
	_, p, _, ok := h.load(w, r)
	if !ok {
		return
	}
	h.sendersHTML(w, p.html)
}

func (h *handler) sendersHTML(w http.ResponseWriter, document string) {
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The first <base> of a document that has a target rules, wherever it stands; at the end it disturbs nothing.
	_, _ = w.Write([]byte(document + `<base target="_blank">`)) // the client may have gone
}

func (h *handler) deleteAll(w http.ResponseWriter, r *http.Request) {
	if err := h.store.remove(nil); err != nil {
		h.fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (h *handler) render(w http.ResponseWriter, name string, data any) {
	var b strings.Builder
	if err := h.page.ExecuteTemplate(&b, name, data); err != nil {
		h.fail(w, fmt.Errorf("render %s: %w", name, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // the client may have gone
}

// who names a person the way a reader does: by name, else by address.
func who(a Address) string { return orDefault(a.Name, orDefault(a.Address, "(nobody)")) }

// people lists addresses in full.
func people(list []Address) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.Address
		if a.Name != "" {
			out[i] = a.Name + " <" + a.Address + ">"
		}
	}
	return strings.Join(out, ", ")
}

func when(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04:05 MST") }

func brief(t time.Time) string { return t.UTC().Format("2 Jan, 15:04 MST") }

func size(n int) string {
	switch {
	case n < 1000:
		return strconv.Itoa(n) + " B"
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1000, 'f', 1, 64) + " kB"
	default:
		return strconv.FormatFloat(float64(n)/1_000_000, 'f', 1, 64) + " MB"
	}
}

func (h *handler) ready(context.Context) error { return h.store.usable() }
