package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator"
	"quittance.internal/services/sandbox"
)

const (
	solar = "acct_1Solar"
	wind  = "acct_1Wind"

	patience = 3 * time.Minute // for whatever must come by itself on a loaded machine
)

// world is the pipeline without quotes, and Stripe.
type world struct {
	*pipelinetest.Pipeline
	t      *testing.T
	client redis.UniversalClient
	ahead  atomic.Int64
	count  int
}

// newWorld starts it. version is the API version of Stripe's endpoints.
func newWorld(t *testing.T, version string) *world {
	t.Helper()
	w := &world{t: t, Pipeline: pipelinetest.Start(t, pipelinetest.Config{APIVersion: version, Accounts: []sandbox.Account{
		{ID: solar, Name: "Solar", Country: "PL", Activated: true, Connected: true}, {ID: wind, Name: "Wind", Country: "PL", Activated: true, Connected: true},
	}})}
	w.client = w.Redis.Client()
	w.Connect(solar, 1)
	w.Connect(wind, 2)
	return w
}

func (w *world) store(m natsstream.Message) natsstream.Stored {
	w.t.Helper()
	stored, err := w.Log.Fact(w.t.Context(), m)
	if err != nil || stored.Taken {
		w.t.Fatalf("store %s: %+v, %v", m.Subject, stored, err)
	}
	return stored
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	processtest.Until(w.t, patience, what, ok)
}

// call makes a request and fails unless it is answered with 200; the answer is decoded into into, if that is not nil.
func (w *world) call(method, address, body string, into any, headers ...string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s = %d %s, %v", method, address, res.StatusCode, b, err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			w.t.Fatalf("%s %s: %v", method, address, err)
		}
	}
}

// admin turns a knob of the sandbox.
func (w *world) admin(path, body string) { w.t.Helper(); w.call("POST", w.Stripe+path, body, nil) }

// at calls Stripe's API for an account.
func (w *world) at(account, method, path string, form url.Values, into any) {
	w.t.Helper()
	headers := []string{"Authorization", "Bearer " + sandbox.DefaultTestKey, "Content-Type", "application/x-www-form-urlencoded"}
	if account != event.Platform {
		headers = append(headers, "Stripe-Account", account)
	}
	w.call(method, w.Stripe+path, form.Encode(), into, headers...)
}

// sale is a published quote and its session at Stripe.
type sale struct{ quote, account, session string }

// offer publishes a quote of 100.00 EUR on an account and opens its Checkout Session.
func (w *world) offer(account string) sale {
	w.t.Helper()
	w.count++
	s := sale{quote: fmt.Sprintf("q_%d", w.count), account: account}
	now := time.Now().UTC()
	w.say(event.NamePublished, s.quote, "1", now, quote.Published{
		Seller: "main", QuoteID: s.quote, Revision: 1, Version: 1, Amount: 10000, Currency: "eur", Account: account, Mode: event.ModeTest, PublishedAt: now,
		URLToken: "token_" + s.quote,
	})
	s.session = w.session(account, claim("main", s.quote))
	w.say(event.NameCheckoutOpened, s.quote, "1_1", now, quote.CheckoutOpened{
		Seller: "main", QuoteID: s.quote, Revision: 1, Attempt: 1, Account: account, Mode: event.ModeTest, CheckoutSession: s.session,
		ExpiresAt: now.Add(time.Hour), OpenedAt: now,
	})
	return s
}

func claim(seller, id string) url.Values {
	return url.Values{"seller": {seller}, "quote_id": {id}, "quote_revision": {"1"}}
}

// session opens a Checkout Session at Stripe with metadata.
func (w *world) session(account string, metadata url.Values) string {
	w.t.Helper()
	form := url.Values{
		"mode": {"payment"}, "success_url": {"https://quotes.example/done"}, "line_items[0][quantity]": {"1"},
		"line_items[0][price_data][currency]": {"eur"}, "line_items[0][price_data][unit_amount]": {"10000"}, "line_items[0][price_data][product_data][name]": {"Roof"},
	}
	for name, values := range metadata {
		form["metadata["+name+"]"], form["payment_intent_data[metadata]["+name+"]"] = values, values
	}
	var made struct{ ID string }
	w.at(account, "POST", "/v1/checkout/sessions", form, &made)
	return made.ID
}

// say stores an event of a quote.
func (w *world) say(name, id, n string, at time.Time, data any) {
	w.t.Helper()
	subject := event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: n}
	e, err := event.New(subject, event.SourceQuotes, at, data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store(natsstream.Message{Subject: subject.String(), ID: e.ID, Data: e.Encode()})
}

func (w *world) pay(session string) {
	w.t.Helper()
	w.admin("/sandbox/sessions/"+session, `{"action":"pay","email":"anna@customer.example","name":"Anna"}`)
}

// lose makes Stripe deliver none of what happens from now on; with types, of those alone.
func (w *world) lose(types ...string) {
	w.t.Helper()
	b, err := json.Marshal(map[string]any{"drop": true, "types": types})
	if err != nil {
		w.t.Fatal(err)
	}
	w.admin("/sandbox/knobs", string(b))
}

func (w *world) deliver() { w.t.Helper(); w.call("DELETE", w.Stripe+"/sandbox/knobs", "", nil) }

// now is the clock of the comparison and, moved by advance, of the sandbox.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.admin("/sandbox/clock", `{"advance":"`+d.String()+`"}`)
	w.ahead.Add(int64(d))
}

// config is that of a Reconciler to whom nothing is too young to be missed.
func (w *world) config() reconcile.Config {
	return reconcile.Config{
		Log: w.Log, Reader: w.reader(), Stripe: stripegate.New(stripegate.Config{Key: env.NewSecret(sandbox.DefaultTestKey), Base: w.Stripe}),
		Door: door.Door{URL: w.Ingress, Secret: env.NewSecret(pipelinetest.ReconcileSecret), Source: event.SourceReconcile, Now: time.Now, HTTP: http.DefaultClient},
		Mode: event.ModeTest, Grace: -1, Pause: time.Millisecond, Now: w.now,
	}
}

func (w *world) reader() *redisquote.Reader {
	return redisquote.NewReader(w.client, redisquote.NewKeys(event.FirstGeneration))
}

func (w *world) report(since time.Duration) *reconcile.Report {
	w.t.Helper()
	return w.reportOf(w.config(), reconcile.Options{Since: w.now().Add(-since)})
}

func (w *world) reportOf(c reconcile.Config, o reconcile.Options) *reconcile.Report {
	w.t.Helper()
	report, err := reconcile.New(c).Report(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) repair(report *reconcile.Report) reconcile.Repaired {
	w.t.Helper()
	done, err := reconcile.New(w.config()).Repair(w.t.Context(), report, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// same fails unless there is no difference.
func (w *world) same(report *reconcile.Report) {
	w.t.Helper()
	if len(report.Rows) != 0 {
		w.t.Fatalf("differences: %+v", report.Rows)
	}
}

// classes counts the rows by class: "3 at_stripe 1 beyond".
func classes(r *reconcile.Report) string {
	var parts []string
	for _, c := range reconcile.Classes {
		if n := r.Gaps[c]; n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", c))
		}
	}
	return strings.Join(parts, " ")
}

func (w *world) status(s sale) string {
	w.t.Helper()
	p, err := w.reader().Payment(w.t.Context(), s.account, s.quote)
	if err != nil {
		return err.Error()
	}
	return p.Status
}

// stands waits until the quote has the status.
func (w *world) stands(s sale, want string) {
	w.t.Helper()
	w.until(s.quote+" is "+want, func() bool { return w.status(s) == want })
}

// paid are the quote.paid of a quote in the log.
func (w *world) paid(s sale) []quote.Paid {
	w.t.Helper()
	var all []quote.Paid
	for _, r := range w.read(event.StreamQuotes, "quote.paid.main."+s.quote+".*") {
		e, err := event.Decode(r.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		var p quote.Paid
		if err := json.Unmarshal(e.Data, &p); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// paidOnce waits until the quote is paid and fails unless that was said once.
func (w *world) paidOnce(s sale) quote.Paid {
	w.t.Helper()
	w.stands(s, "paid")
	return w.saidOnce(s)
}

// saidOnce waits until quote.paid is in the log, which comes after the status, and fails when there is a second one in the end.
func (w *world) saidOnce(s sale) quote.Paid {
	w.t.Helper()
	w.until(s.quote+" is said to be paid", func() bool { return len(w.paid(s)) > 0 })
	w.quiet()
	all := w.paid(s)
	if len(all) != 1 {
		w.t.Fatalf("%d quote.paid of %s", len(all), s.quote)
	}
	return all[0]
}

func (w *world) read(stream string, filters ...string) []natsstream.Record {
	w.t.Helper()
	all, err := w.Log.ReadAll(w.t.Context(), stream, filters...)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// stored are all events of Stripe's in the log.
func (w *world) stored() []natsstream.Record {
	w.t.Helper()
	all, err := w.Log.Scan(w.t.Context(), event.StreamStripe, 1, 2000)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// quiet waits until all that Stripe delivers is delivered and worked on.
func (w *world) quiet() {
	w.t.Helper()
	processtest.Eventually(w.t, patience, "everything is delivered and worked on", func() error { return w.Quiet(w.t.Context()) })
}

// quotectl runs the operators' command line and returns what it printed; code is the exit code that it must have.
func (w *world) quotectl(code int, args ...string) string {
	w.t.Helper()
	return w.quotectlWith(map[string]string{}, code, args...)
}

func (w *world) quotectlWith(over map[string]string, code int, args ...string) string {
	w.t.Helper()
	settings := map[string]string{
		"NATS_URL": w.NATS.URL, "REDIS_URL": w.Redis.URL, "INGRESS_URL": w.Ingress, "STRIPE_WEBHOOK_SECRETS": pipelinetest.Secrets, "TZ": "Europe/Warsaw",
		"STRIPE_API_KEY": sandbox.DefaultTestKey, "STRIPE_API_BASE": w.Stripe, "DATA_DIR": w.t.TempDir(),
	}
	for name, value := range over {
		settings[name] = value
	}
	var out, errs bytes.Buffer
	got := operator.Run(w.t.Context(), args, func(name string) (string, bool) { v, ok := settings[name]; return v, ok }, &out, &errs)
	if got != code {
		w.t.Fatalf("quotectl %s = %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// document checks that what quotectl printed begins with one JSON document, and has no other; notes of its follow.
func (w *world) document(printed string) {
	w.t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(printed))
	if err := d.Decode(&v); err != nil {
		w.t.Errorf("%v in:\n%s", err, printed)
	}
	if err := d.Decode(&v); err == nil {
		w.t.Errorf("two documents:\n%s", printed)
	}
}

func holds(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
}
