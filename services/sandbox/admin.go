package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// adminRoutes are the means to move the sandbox's world by hand. The package comment describes them.
func (s *sim) adminRoutes(mux *http.ServeMux) {
	for pattern, f := range map[string]func(q *http.Request) (any, error){
		"GET /sandbox/clock":                   func(*http.Request) (any, error) { return s.clock(), nil },
		"POST /sandbox/clock":                  s.moveClock,
		"GET /sandbox/knobs":                   func(*http.Request) (any, error) { return s.knobs, nil },
		"POST /sandbox/knobs":                  s.turnKnobs,
		"DELETE /sandbox/knobs":                s.resetKnobs,
		"GET /sandbox/faults":                  func(*http.Request) (any, error) { return object{"faults": anys(s.faults)}, nil },
		"POST /sandbox/faults":                 s.addFault,
		"DELETE /sandbox/faults":               s.heal,
		"GET /sandbox/deliveries":              s.listDeliveries,
		"POST /sandbox/deliveries":             s.resend,
		"POST /sandbox/sessions/{id}":          s.adminPay,
		"POST /sandbox/disputes":               s.adminDispute,
		"POST /sandbox/disputes/{id}":          s.adminDisputeAction,
		"POST /sandbox/refunds/{id}":           s.adminRefund,
		"POST /sandbox/subscriptions/{id}":     s.adminSubscription,
		"GET /sandbox/accounts":                func(*http.Request) (any, error) { return s.adminAccounts(), nil },
		"POST /sandbox/accounts":               s.addAccount,
		"POST /sandbox/accounts/{id}":          s.changeAccount,
		"POST /sandbox/webhook_endpoints/{id}": s.adminEndpoint,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) { s.administer(w, q, f) })
	}
	mux.HandleFunc("/sandbox/", func(w http.ResponseWriter, q *http.Request) {
		s.administer(w, q, func(q *http.Request) (any, error) {
			return nil, &apiError{http.StatusNotFound, invalidRequest, "", "", "The sandbox's admin API has no " + q.Method + " " + q.URL.Path + "; see the package comment of services/sandbox."}
		})
	})
}

func (s *sim) administer(w http.ResponseWriter, q *http.Request, f func(q *http.Request) (any, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	v, err := f(q)
	s.keepAccounts()
	s.stir()
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{http.StatusBadRequest, invalidRequest, "", "", err.Error()}
		}
		writeJSON(w, e.status, e.render(""))
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := body(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"type":"api_error","message":"The sandbox could not encode its answer."}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that has gone needs no answer
}

// readJSON reads a body into v; unknown fields are an error, an empty body is none.
func readJSON(q *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(q.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return refuse("", "", "Invalid JSON: %v", err)
	}
	return nil
}

func (s *sim) clock() object {
	return object{"now": s.now().Format(time.RFC3339Nano), "offset": s.offset.String(), "planned": int64(len(s.tasks))}
}

func (s *sim) moveClock(q *http.Request) (any, error) {
	var in struct {
		Advance duration  `json:"advance"`
		Set     time.Time `json:"set"`
		Reset   bool      `json:"reset"`
	}
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Reset:
		s.offset = 0
	case !in.Set.IsZero():
		if in.Set.Before(s.now()) {
			return nil, refuse("", "set", "The clock goes forward only (or back to the wall clock by reset).")
		}
		s.offset += in.Set.Sub(s.now())
	default:
		s.offset += time.Duration(in.Advance)
	}
	s.settle()
	return s.clock(), nil
}

func (s *sim) turnKnobs(q *http.Request) (any, error) {
	k := s.knobs
	k.Types = slices.Clone(k.Types) // so that a refused request changes nothing
	if err := readJSON(q, &k); err != nil {
		return nil, err
	}
	s.knobs = k
	return k, nil
}

func (s *sim) resetKnobs(*http.Request) (any, error) {
	s.knobs = knobs{DebitAfter: duration(2 * time.Minute)}
	return s.knobs, nil
}

func (s *sim) addFault(q *http.Request) (any, error) {
	f := &fault{}
	if err := readJSON(q, f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	s.faults = append(s.faults, f)
	return f, nil
}

// heal takes the faults back; a request that one of them delays goes on.
func (s *sim) heal(*http.Request) (any, error) {
	s.faults = nil
	close(s.healed)
	s.healed = make(chan struct{})
	return object{"faults": []any{}}, nil
}

func (d *delivery) object() object {
	return object{
		"id": d.id, "event": d.event.id, "type": d.event.typ, "account": d.event.world.account.id, "livemode": d.event.world.live,
		"endpoint": d.endpoint.o["id"], "state": d.state, "next_attempt": d.next.Format(time.RFC3339), "attempts": anys(d.attempts),
		"object_id": d.event.snapshot["id"], "extra": d.extra,
	}
}

func (s *sim) listDeliveries(q *http.Request) (any, error) {
	var all []any
	for _, d := range s.deliveries {
		query := q.URL.Query()
		if v := query.Get("state"); v != "" && v != d.state {
			continue
		}
		if v := query.Get("event"); v != "" && v != d.event.id {
			continue
		}
		if v := query.Get("type"); v != "" && !matches(v, d.event.typ) {
			continue
		}
		all = append(all, d.object())
	}
	return object{"deliveries": all}, nil
}

// resend sends an event once more, to one endpoint or to all that had it. Planned retries stay.
func (s *sim) resend(q *http.Request) (any, error) {
	var in struct{ Event, Endpoint string }
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	var all []any
	for _, w := range s.worlds {
		for _, e := range w.events {
			if e.id != in.Event {
				continue
			}
			var done []*endpoint
			for _, d := range slices.Clone(e.deliveries) {
				p := d.endpoint
				if slices.Contains(done, p) || !p.enabled() || in.Endpoint != "" && in.Endpoint != p.o["id"] {
					continue
				}
				done = append(done, p)
				if d.state == stateDropped { // caught up
					d.state, d.next = statePending, s.now()
					if !slices.Contains(s.open, d) {
						s.open = append(s.open, d)
					}
					all = append(all, d.object())
					continue
				}
				again := s.queue(e, p, 0)
				again.extra = true
				all = append(all, again.object())
			}
		}
	}
	if len(all) == 0 {
		return nil, missing("event", in.Event, "event")
	}
	return object{"deliveries": all}, nil
}

func (s *sim) adminPay(q *http.Request) (any, error) {
	var in struct{ Action, Email, Name string }
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	w, o := s.session(q.PathValue("id"))
	if o == nil {
		return nil, missing("checkout.session", q.PathValue("id"), "id")
	}
	if in.Email == "" {
		in.Email = "customer@example.com"
	}
	if v := w.payView(o); v.FixedEmail {
		in.Email = v.Email
	}
	message, err := w.pay(o, in.Action, payer{in.Email, in.Name})
	return object{"message": nilIfEmpty(message), "session": o}, err
}

// anywhere finds an object in whatever world it is.
func (s *sim) anywhere(kind, id string) (*world, object, error) {
	for _, w := range s.worlds {
		if o := w.get(kind, id); o != nil {
			return w, o, nil
		}
	}
	return nil, nil, missing(kind, id, "id")
}

func (s *sim) adminDispute(q *http.Request) (any, error) {
	in := struct {
		Charge        string `json:"charge"`
		PaymentIntent string `json:"payment_intent"`
		Reason        string `json:"reason"`
		Inquiry       bool   `json:"inquiry"`
	}{Reason: "fraudulent"}
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	if in.PaymentIntent != "" {
		_, intent, err := s.anywhere("payment_intent", in.PaymentIntent)
		if err != nil {
			return nil, err
		}
		in.Charge = intent.str("latest_charge")
	}
	w, charge, err := s.anywhere("charge", in.Charge)
	if err != nil {
		return nil, err
	}
	if !charge.bool("paid") || charge.bool("disputed") {
		return nil, refuse("", "charge", "Only a paid charge that has no dispute can be disputed.")
	}
	return w.dispute(charge, in.Reason, in.Inquiry), nil
}

func (s *sim) adminDisputeAction(q *http.Request) (any, error) {
	var in struct{ Action string }
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	w, o, err := s.anywhere("dispute", q.PathValue("id"))
	if err != nil {
		return nil, err
	}
	switch in.Action {
	case "win":
		w.closeDispute(o, "won") // also of a lost one: a late reversal
	case "lose":
		w.closeDispute(o, "lost")
	case "close_inquiry":
		w.closeDispute(o, "warning_closed")
	case "reinstate":
		w.reinstate(o)
	case "withdraw":
		w.withdraw(o)
	default:
		return nil, refuse("", "action", "action is one of win, lose, close_inquiry, reinstate, withdraw")
	}
	return o, nil
}

func (s *sim) adminRefund(q *http.Request) (any, error) {
	var in struct{ Action string }
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	w, o, err := s.anywhere("refund", q.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if in.Action != "fail" || o.str("status") != "succeeded" {
		return nil, refuse("", "action", "action is fail, of a refund that has succeeded")
	}
	w.failRefund(o)
	return o, nil
}

func (s *sim) adminSubscription(q *http.Request) (any, error) {
	var in struct{ Renewals string }
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	_, o, err := s.anywhere("subscription", q.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if in.Renewals != "fail" && in.Renewals != "succeed" {
		return nil, refuse("", "renewals", "renewals is fail or succeed")
	}
	o[renewalFails] = in.Renewals == "fail"
	return o, nil
}

func (s *sim) adminAccounts() object {
	var all []any
	for _, a := range s.accounts {
		all = append(all, a.object().with(object{"connected_test": a.connectedTest, "connected_live": a.connectedLive}))
	}
	return object{"accounts": all}
}

var accountID = regexp.MustCompile(`^acct_[A-Za-z0-9]{1,64}$`)

func (s *sim) addAccount(q *http.Request) (any, error) {
	in := struct {
		ID, Name, Country string
		Activated         bool
	}{Country: "PL"}
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	if in.ID == "" {
		in.ID = s.id("acct_1", 15)
	}
	if !accountID.MatchString(in.ID) || s.account(in.ID) != nil {
		return nil, refuse("", "id", "id is acct_ and letters or digits, and not in use")
	}
	a := &account{id: in.ID, name: in.Name, country: in.Country, activated: in.Activated}
	s.accounts = append(s.accounts, a)
	return a.object(), nil
}

func (s *sim) changeAccount(q *http.Request) (any, error) {
	var in struct {
		Activated, Connected *bool
		Live                 bool
	}
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	a := s.account(q.PathValue("id"))
	if a == nil || a.id == PlatformAccount && in.Connected != nil {
		return nil, missing("account", q.PathValue("id"), "id")
	}
	if in.Connected != nil && *in.Connected {
		a.connect(in.Live, true)
	}
	if in.Connected != nil && !*in.Connected && a.connected(in.Live) {
		s.disconnect(a, in.Live)
	}
	if in.Activated != nil {
		s.setActivated(a, *in.Activated)
	}
	return a.object(), nil
}

func (s *sim) adminEndpoint(q *http.Request) (any, error) {
	var in struct {
		Roll bool     `json:"roll"`
		Keep duration `json:"keep"`
		Thin *bool    `json:"thin"`
	}
	if err := readJSON(q, &in); err != nil {
		return nil, err
	}
	p := s.endpoint(q.PathValue("id"))
	if p == nil {
		return nil, missing("webhook_endpoint", q.PathValue("id"), "id")
	}
	if in.Thin != nil {
		p.thin = *in.Thin
	}
	if in.Roll {
		if in.Keep > duration(24*time.Hour) {
			return nil, refuse("", "keep", "The old secret can be kept for 24h at most.")
		}
		p.roll("whsec_"+s.id("", 32), s.now(), time.Duration(in.Keep))
	}
	return p.o.with(object{"secret": p.secrets[0].value, "thin": p.thin}), nil
}
