package operator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/operator"
)

const (
	secret = "whsec_Zm9yLXRlc3RzLW9ubHk"
	token  = "token-of-the-tests"
)

// world is everything around quotectl: a real log, a real Redis, and HTTP servers that behave as ingress, the quotes service
// and the mail catcher do. In place of the payments worker it folds each event with the domain's own functions, at once and
// without that worker's guarantees: what is tested here is quotectl.
type world struct {
	t         *testing.T
	log       *natsstream.Log
	nc        *nats.Conn
	redis     redis.UniversalClient
	keys      redisquote.Keys
	published quote.Published
	status    string // of the quote itself: draft, published, …
	settings  map[string]string

	mu      sync.Mutex
	facts   quote.Facts
	seen    map[string]bool
	links   map[string]bool
	waiting []stripeevent.Change
	mails   []mail
	headers []http.Header // of what ingress got

	// faults
	lose      func(typ string) bool // events that are stored and never folded
	mailTwice bool
	unready   int // so many 503 before the first 200
}

type mail struct{ ID, Subject, Text string }

func newWorld(t *testing.T, change ...func(*quote.Published)) *world {
	t.Helper()
	server := natstest.Start(t)
	store := redistest.Start(t)
	w := &world{
		t: t, log: server.Log("world"), nc: server.Conn("world2"), redis: store.Client(), keys: redisquote.NewKeys("g1"),
		status: "published", seen: map[string]bool{}, links: map[string]bool{}, lose: func(string) bool { return false },
	}
	w.published = somePublication()
	for _, f := range change {
		f(&w.published)
	}
	w.publish()
	p := w.published
	w.facts.Merge(quote.RevisionFacts(quote.Revision{
		Seller: p.Seller, Number: p.Revision, Amount: quote.Money{Amount: p.Amount, Currency: p.Currency}, Account: p.Account, Mode: p.Mode, Deal: p.Document.Deal.ID,
		PublishedAt: p.PublishedAt,
	}))
	w.settings = map[string]string{
		"QUOTES_URL": w.serve(w.quotes), "INGRESS_URL": w.serve(w.ingress), "MAILBOX_URL": w.serve(w.mailbox),
		"API_TOKEN": token, "STRIPE_WEBHOOK_SECRETS": "main=" + secret, "NATS_URL": server.URL, "REDIS_URL": store.URL,
		"TZ": "Europe/Warsaw",
	}
	return w
}

func somePublication() quote.Published {
	return quote.Published{
		Seller: "main", QuoteID: "q_1042", Revision: 2, Version: 3, Amount: 123450, Currency: "pln", Account: "platform", Mode: "test",
		PublishedAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), URLToken: "tok",
		Document: quote.Document{
			Title: "Solar roof", Deal: quote.Deal{ID: "d_17", Name: "Nowak"}, Currency: "pln",
			LineItems: []quote.LineItem{{Name: "Roof", Quantity: 1, UnitAmount: 123450}},
			Owner:     quote.Owner{Name: "Maria", Email: "maria@seller.example", TimeZone: "Europe/Warsaw"},
			Contact:   quote.Contact{Email: "anna@customer.example", FirstName: "Anna", LastName: "Nowak"},
			Payment:   quote.PaymentOptions{Stripe: true},
		},
	}
}

func monthly(p *quote.Published) {
	p.Document.LineItems[0].Recurring = &quote.Recurring{Interval: "month", IntervalCount: 1}
}

func onAccount(p *quote.Published) { p.Account = "acct_1Seller" }

// result is what one command line came to.
type result struct {
	code     int
	out, err string
}

// run runs one command line with the world's settings.
func (w *world) run(args ...string) result {
	w.t.Helper()
	return runWith(w.t, w.settings, args...)
}

func runWith(t *testing.T, settings map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := settings[name]; return v, ok }
	code := operator.Run(t.Context(), args, lookup, &out, &errs)
	return result{code, out.String(), errs.String()}
}

func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("output lacks %q\nstdout:\n%s\nstderr:\n%s", text, r.out, r.err)
		}
	}
}

func (w *world) serve(f http.HandlerFunc) string {
	s := httptest.NewServer(f)
	w.t.Cleanup(s.Close)
	return s.URL
}

// publish writes the quote's own events to the log.
func (w *world) publish() {
	p := w.published
	for i, d := range []any{
		quote.Drafted{Seller: p.Seller, QuoteID: p.QuoteID, Version: 3, Document: p.Document, DraftedAt: p.PublishedAt}, p,
	} {
		name, n := event.NameDrafted, p.Version
		if i == 1 {
			name, n = event.NamePublished, p.Revision
		}
		w.emit(event.QuoteSubject{Event: name, Seller: p.Seller, Quote: p.QuoteID, N: strconv.Itoa(n)}, p.PublishedAt, d)
	}
}

func (w *world) emit(s event.QuoteSubject, at time.Time, data any) natsstream.Stored {
	w.t.Helper()
	e, err := event.New(s, event.SourcePayments, at, data)
	if err != nil {
		w.t.Fatal(err)
	}
	stored, err := w.log.Fact(context.Background(), natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Encode()})
	if err != nil {
		w.t.Fatal(err)
	}
	return stored
}

// ingress stores signed events, as the real one does.
func (w *world) ingress(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.headers = append(w.headers, r.Header.Clone())
	switch {
	case r.URL.Path != "/webhooks/stripe" || r.Method != http.MethodPost:
		w.answer(rw, http.StatusNotFound, map[string]string{"code": "not_found"})
		return
	case webhook.ValidatePayload(body, r.Header.Get("Stripe-Signature"), secret) != nil:
		w.answer(rw, http.StatusBadRequest, map[string]string{"code": "bad_signature"})
		return
	case w.unready > 0:
		w.unready--
		w.answer(rw, http.StatusServiceUnavailable, map[string]string{"code": "unavailable", "detail": "log unavailable"})
		return
	}
	var e struct {
		ID, Type, Account string
		APIVersion        string `json:"api_version"`
		Livemode          bool
	}
	if err := json.Unmarshal(body, &e); err != nil {
		w.t.Error(err)
	}
	if e.Account == "" {
		e.Account = event.Platform
	}
	subject := event.StripeSubject{Mode: event.Mode(e.Livemode), Account: e.Account, EventID: e.ID, Type: e.Type}
	sum := sha256.Sum256(body)
	stored, err := w.log.Fact(r.Context(), natsstream.Message{Subject: subject.String(), ID: e.ID, Data: body, Header: nats.Header{
		event.HeaderReceivedAt: {time.Now().UTC().Format(time.RFC3339Nano)}, event.HeaderSecretName: {"main"},
		event.HeaderSource: {r.Header.Get("Quittance-Source")}, event.HeaderAPIVersion: {e.APIVersion}, event.HeaderBodySHA256: {hex.EncodeToString(sum[:])},
	}})
	if err != nil {
		w.t.Error(err)
	}
	if stored.Taken {
		w.answer(rw, http.StatusOK, map[string]string{"code": "duplicate"})
		return
	}
	if !w.lose(e.Type) {
		w.fold(body, e.ID, e.Type, e.Account, stored.Sequence)
	}
	w.answer(rw, http.StatusOK, map[string]string{"code": "stored"})
}

// fold does in memory and in Redis what the payments worker does.
func (w *world) fold(body []byte, id, typ, account string, seq uint64) {
	ctx := context.Background()
	before := quote.Derive(account, w.facts)
	out := redisquote.Outcome{Outcome: "ignored", EventID: id, Type: typ, At: time.Now().UTC(), Handler: "test"}
	change, err := stripeevent.Decode(body)
	if err != nil {
		w.t.Error(err)
	}
	if stripeevent.Wanted(typ) && change.Ignored == "" {
		w.waiting = append(w.waiting, change)
		w.release()
		after := quote.Derive(account, w.facts)
		out.Outcome, out.Account, out.Quote = "applied", account, w.published.QuoteID
		out.Before, out.After = string(before.Status), string(after.Status)
		w.due(account, after)
		for _, field := range []string{typ + "|" + change.Object, typ + "|" + change.Object + "|" + id} {
			w.redis.HSet(ctx, w.keys.PayEvents(account, w.published.QuoteID), field, fmt.Sprintf("%d %s", seq, id))
		}
		w.redis.HSet(ctx, w.keys.Pay(account, w.published.QuoteID), redisquote.FieldFacts, w.facts.Encode(), redisquote.FieldDigest, w.facts.Digest(),
			redisquote.FieldStatus, string(after.Status), redisquote.FieldFlags, flags(after))
	}
	text, err := json.Marshal(out)
	if err != nil {
		w.t.Error(err)
	}
	w.redis.HSet(ctx, w.keys.Outcomes(event.StreamStripe, seq), strconv.FormatUint(seq, 10), text)
}

// release folds what carries our metadata or belongs to an object that does, until nothing more does.
func (w *world) release() {
	for again := true; again; {
		again = false
		var still []stripeevent.Change
		for _, c := range w.waiting {
			linked := c.Claim.Quote == w.published.QuoteID
			for _, name := range c.Names {
				linked = linked || w.links[name]
			}
			if !linked {
				still = append(still, c)
				continue
			}
			w.facts.Merge(c.Facts)
			for _, o := range w.facts.Objects() {
				w.links[o] = true
				w.redis.HSet(context.Background(), w.keys.Link(w.published.Account, o), redisquote.LinkQuote+w.published.QuoteID, "1")
			}
			again = true
		}
		w.waiting = still
	}
}

// due publishes quote.paid and sends the mail, once.
func (w *world) due(account string, s quote.State) {
	p := w.published
	for _, e := range s.Due {
		key := e.Event + "." + e.N
		if e.Event != event.NamePaid || w.seen[key] {
			continue
		}
		w.seen[key] = true
		stored := w.emit(event.QuoteSubject{Event: e.Event, Seller: p.Seller, Quote: p.QuoteID, N: e.N}, e.At, quote.Paid{
			Seller: p.Seller, QuoteID: p.QuoteID, Revision: p.Revision, Amount: p.Amount, Currency: p.Currency, PaidAt: e.At, Mode: p.Mode,
			Account: account, CheckoutSession: e.Payment.Session, StripeEvent: e.Payment.Event,
		})
		w.sendMail(e.N, stored.Sequence)
	}
}

func (w *world) sendMail(n string, seq uint64) {
	p := w.published
	times := 1
	if w.mailTwice {
		times = 2
	}
	for range times {
		w.mails = append(w.mails, mail{
			ID: strconv.Itoa(len(w.mails)), Subject: "Paid: Solar roof", Text: "Number:   " + p.QuoteID + ", revision " + n,
		})
	}
	bucket, err := w.log.JetStream().KeyValue(context.Background(), event.BucketMail)
	if err != nil {
		w.t.Error(err)
		return
	}
	now := time.Now().UTC()
	entry, err := json.Marshal(map[string]any{
		"state": "sent", "attempts": 1, "first_at": now, "updated_at": now, "accepted_at": now, "message_id": "mid1@seller.example",
		"code": 250, "reply": "2.0.0 Ok: queued for maria@seller.example", "sequence": seq,
	})
	if err != nil {
		w.t.Error(err)
	}
	if _, err := bucket.Create(context.Background(), p.Seller+"."+p.QuoteID+"."+n+".paid", entry); err != nil {
		w.t.Error(err)
	}
}

func flags(s quote.State) string {
	names := make([]string, len(s.Flags))
	for i, f := range s.Flags {
		names[i] = string(f)
	}
	return strings.Join(names, ",")
}

// mailbox answers as the mail catcher does.
func (w *world) mailbox(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := strings.CutPrefix(r.URL.Path, "/api/v1/message/"); ok {
		n, err := strconv.Atoi(id)
		if err != nil || n >= len(w.mails) {
			http.NotFound(rw, r)
			return
		}
		w.answer(rw, http.StatusOK, w.mails[n])
		return
	}
	w.answer(rw, http.StatusOK, map[string]any{"messages": w.mails, "total": len(w.mails)})
}

// quotes answers as the API does.
func (w *world) quotes(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.published
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.problem(rw, http.StatusUnauthorized, "token is not valid")
		return
	}
	switch r.URL.Path {
	case "/v1/quotes":
		w.listQuotes(rw, r)
	case "/v1/quotes/" + p.QuoteID:
		w.answer(rw, http.StatusOK, w.document(p.QuoteID, false))
	case "/v1/quotes/q_1", "/v1/quotes/q_2", "/v1/quotes/q_3":
		w.answer(rw, http.StatusOK, w.document(strings.TrimPrefix(r.URL.Path, "/v1/quotes/"), false))
	case "/v1/sellers/main":
		w.answer(rw, http.StatusOK, map[string]any{"id": "main", "version": 3, "plan": "free", "account": "platform", "activated": true, "seats": []any{}})
	case "/v1/sellers/main/history":
		w.answer(rw, http.StatusOK, map[string]any{"data": []any{map[string]any{"sequence": 7, "event": "plan_set", "at": p.PublishedAt, "data": map[string]any{"plan": "free"}}}})
	case "/v1/policy":
		w.answer(rw, http.StatusOK, quote.DefaultPolicy())
	case "/v1/quotes/" + p.QuoteID + "/card":
		s := quote.Derive(p.Account, w.facts)
		zone, err := p.Document.Zone()
		if err != nil {
			w.t.Error(err)
		}
		shown := quote.Overall(quote.Lifecycle(w.status), s.Status)
		at := map[quote.Status]time.Time{"paid": s.PaidAt, "refunded": s.RefundedAt, "charged_back": s.ChargedBackAt}[s.Status]
		card := map[string]any{
			"text": event.CardText(shown, at, zone), "status": shown, "amount": p.Amount, "currency": p.Currency,
			"flags": append([]quote.Flag{}, s.Flags...),
		}
		card["paid_at"] = nil
		if !s.PaidAt.IsZero() {
			card["paid_at"] = s.PaidAt
		}
		w.answer(rw, http.StatusOK, card)
	default:
		w.problem(rw, http.StatusNotFound, "no such quote")
	}
}

func (w *world) problem(rw http.ResponseWriter, status int, detail string) {
	rw.Header().Set("Content-Type", "application/problem+json")
	w.answer(rw, status, map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

func (w *world) answer(rw http.ResponseWriter, status int, body any) {
	rw.WriteHeader(status)
	if err := json.NewEncoder(rw).Encode(body); err != nil {
		w.t.Error(err)
	}
}

// republishLive publishes one more revision, in live mode.
func (w *world) republishLive() {
	p := w.published
	p.Revision, p.Mode = p.Revision+1, "live"
	w.emit(event.QuoteSubject{Event: event.NamePublished, Seller: p.Seller, Quote: p.QuoteID, N: strconv.Itoa(p.Revision)}, p.PublishedAt, p)
}

// draftOnly adds the quote q_7, which was never published.
func (w *world) draftOnly() {
	p := w.published
	d := quote.Drafted{Seller: p.Seller, QuoteID: "q_7", Version: 1, Document: p.Document, DraftedAt: p.PublishedAt}
	w.emit(event.QuoteSubject{Event: event.NameDrafted, Seller: p.Seller, Quote: "q_7", N: "1"}, p.PublishedAt, d)
}
