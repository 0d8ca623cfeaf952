package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

//go:embed pages
var pagesFS embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"money": money}).ParseFS(pagesFS, "pages/*.html"))

// page writes a page. leads are the places to which its forms may redirect, which the content security policy has to name.
func (s *sim) page(w http.ResponseWriter, status int, name string, view any, leads ...*url.URL) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, view); err != nil {
		s.log.Error("page not rendered", zap.String("page", name), zap.Error(err))
		http.Error(w, "The sandbox could not render this page.", http.StatusInternalServerError)
		return
	}
	targets := "'self'"
	for _, u := range leads {
		if u != nil && !strings.ContainsAny(u.Host, " ;,'\"") {
			targets += " " + u.Scheme + "://" + u.Host
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+targets)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone needs no page
}

func (s *sim) payRoutes(mux *http.ServeMux) {
	mux.Handle("GET /pages/style.css", http.FileServerFS(pagesFS))
	mux.HandleFunc("GET /pay/{id}", s.payPage)
	mux.HandleFunc("GET /pay/{id}/challenge", s.payPage)
	mux.HandleFunc("POST /pay/{id}", s.payAction)
	mux.HandleFunc("GET /receipts/{id}", func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, world := range s.worlds {
			if o := world.get("charge", q.PathValue("id")); o.bool("paid") {
				s.page(w, http.StatusOK, "receipt.html", payView{Seller: world.account.name, Total: money(o.int("amount"), o.str("currency")), ID: o.str("id"), Live: world.live})
				return
			}
		}
		s.page(w, http.StatusNotFound, "closed.html", payView{Message: "There is no such receipt."})
	})
}

// session finds a session in whatever world it is.
func (s *sim) session(id string) (*world, object) {
	for _, w := range s.worlds {
		if o := w.get("checkout.session", id); o != nil {
			return w, o
		}
	}
	return nil, nil
}

// payView is what the pay page shows.
type payView struct {
	ID, Seller, Message, Email, Name string
	FixedEmail, Live, Debit, Cancel  bool
	Challenge, Free                  bool
	Lines                            []payLine
	Subtotal, Discount, Total        string
	Coupon, Renewal                  string
}

type payLine struct{ Name, Description, Each, Amount string }

func (s *sim) payPage(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	world, o := s.session(q.PathValue("id"))
	if o == nil {
		s.page(w, http.StatusNotFound, "closed.html", payView{Message: "There is no such Checkout Session."})
		return
	}
	if o.str("status") != "open" {
		message := map[string]string{
			"complete": "You are all done here: this payment page has been completed.",
			"expired":  "This payment page has expired. Please go back to where you came from.",
		}[o.str("status")]
		s.page(w, http.StatusGone, "closed.html", payView{Message: message, Seller: world.account.name, Live: world.live})
		return
	}
	v := world.payView(o)
	v.Challenge = strings.HasSuffix(q.URL.Path, "/challenge")
	s.page(w, http.StatusOK, "pay.html", v, o.link("success_url"), o.link("cancel_url"))
}

func (w *world) payView(o object) payView {
	k, _ := o["_cart"].(*cart)
	v := payView{
		ID: o.str("id"), Seller: w.account.name, Message: o.str("_message"), Live: w.live, Debit: o.bool("_debit") && k.total > 0,
		Cancel: o.str("cancel_url") != "", Free: k.total == 0, Email: o.str("_email"), Name: o.str("_name"),
		Subtotal: money(k.subtotal, k.currency), Total: money(k.total, k.currency),
	}
	fixed := o.str("customer_email")
	if customer := w.objects[o.str("customer")]; customer != nil {
		fixed = customer.str("email")
		if v.Name == "" {
			v.Name = customer.str("name")
		}
	}
	if fixed != "" {
		v.Email, v.FixedEmail = fixed, true
	}
	if k.coupon != nil {
		v.Discount, v.Coupon = money(k.total-k.subtotal, k.currency), k.coupon.str("name")
	}
	for _, l := range k.lines {
		line := payLine{Name: l.name, Description: l.description, Amount: money(l.subtotal, k.currency)}
		if l.quantity != 1 && l.unit.IsInt() {
			line.Each = fmt.Sprintf("%d × %s", l.quantity, money(l.unit.Num().Int64(), k.currency))
		}
		if l.interval != "" {
			line.Each = strings.TrimSpace(line.Each + " " + every(l.interval, l.count))
		}
		v.Lines = append(v.Lines, line)
	}
	if o.str("mode") == "subscription" {
		interval, count := k.interval()
		renewal := k.renewal(k.coupon.str("duration") == "forever" || k.coupon.str("duration") == "repeating")
		v.Renewal = "Then " + money(renewal.total, k.currency) + " " + every(interval, int64(count))
	}
	return v
}

func every(interval string, count int64) string {
	if count == 1 {
		return "every " + interval
	}
	return fmt.Sprintf("every %d %ss", count, interval)
}

// link is a field as a URL, with the session's id filled in; nil when it is not set.
func (o object) link(name string) *url.URL {
	raw := o.str(name)
	if raw == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(raw, "{CHECKOUT_SESSION_ID}", o.str("id")))
	if err != nil {
		return nil
	}
	return u
}

// payAction plays a button of the page and leads on: to the seller, to the challenge, or back.
func (s *sim) payAction(w http.ResponseWriter, q *http.Request) {
	id, action := q.PathValue("id"), q.PostFormValue("action")
	s.mu.Lock()
	s.settle()
	world, o := s.session(id)
	if o == nil || o.str("status") != "open" {
		next := "/pay/" + url.PathEscape(id)
		if u := o.link("success_url"); u != nil && o.str("status") == "complete" { // a double click
			next = u.String()
		}
		s.mu.Unlock()
		http.Redirect(w, q, next, http.StatusSeeOther) //nolint:gosec // to the address that the session was made with
		return
	}
	from := len(s.deliveries)
	next := world.press(o, action, payer{strings.TrimSpace(q.PostFormValue("email")), strings.TrimSpace(q.PostFormValue("name"))})
	caused := append([]*delivery(nil), s.deliveries[from:]...)
	before := s.knobs.BeforeAnswer
	s.mu.Unlock()
	if before {
		s.await(q.Context(), caused)
	}
	http.Redirect(w, q, next, http.StatusSeeOther) //nolint:gosec // to the address that the session was made with
}

// press plays an action and says where to go.
func (w *world) press(o object, action string, who payer) string {
	here := "/pay/" + o.str("id")
	if action == "close" {
		if u := o.link("cancel_url"); u != nil {
			return u.String()
		}
		return here
	}
	v := w.payView(o)
	if v.FixedEmail {
		who.email = v.Email
	}
	if action == actionChallengePass || action == actionChallengeFail {
		who = payer{v.Email, v.Name}
	}
	if who.email == "" || checkEmail(who.email, "") != nil {
		o["_message"] = "Enter your e-mail address, such as name@example.com."
		return here
	}
	o["_email"], o["_name"], o["_message"] = who.email, who.name, ""
	message, err := w.pay(o, action, who)
	switch {
	case err != nil:
		o["_message"] = err.Error()
		return here
	case message != "":
		o["_message"] = message
		return here
	case action == actionChallenge && o.str("status") == "open":
		return here + "/challenge"
	}
	if u := o.link("success_url"); u != nil {
		return u.String()
	}
	return here
}
