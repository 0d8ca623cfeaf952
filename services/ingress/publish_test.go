package ingress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/ingress"
)

const chargeSubject = "stripe.test.platform.evt_1.charge.succeeded"

// R58; row 37 of the fault matrix.
func TestARepeatedEventIsStoredOnce(t *testing.T) {
	r := start(t)
	body := eventBody("evt_1", "charge.succeeded")
	r.wantPost(body, ingress.Stored)
	for range 3 {
		r.wantPost(body, ingress.Duplicate)
	}
	r.wantCount(1)
	r.wantMetric(`quittance_webhooks_received_total{outcome="duplicate"}`, "3")
}

// R58: of many at one time too.
func TestRacingDeliveriesOfOneEventAreStoredOnce(t *testing.T) {
	r := start(t)
	body := eventBody("evt_1", "charge.succeeded")
	outcomes := make([]string, 64)
	var wg sync.WaitGroup
	for n := range outcomes {
		req := r.request(body)
		wg.Go(func() {
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			outcomes[n] = res.Status
		})
	}
	wg.Wait()
	for _, status := range outcomes {
		if status != "200 OK" {
			t.Errorf("answer = %s, want 200", status)
		}
	}
	r.wantCount(1)
	r.wantMetric(`quittance_webhooks_received_total{outcome="stored"}`, "1")
	r.wantMetric(`quittance_webhooks_received_total{outcome="duplicate"}`, "63")
}

// forget makes the stream forget every message id that it has seen so far. It changes the window more than once:
// nats-server 2.15.2 starts the clean-up before it takes the new window over, and then looks again after the old one.
func (r *rig) forget() {
	r.tb.Helper()
	probe := 0
	r.eventually("the window of message ids has passed", func() bool {
		r.change(func(c *jetstream.StreamConfig) { c.Duplicates = time.Duration(100+probe%2) * time.Millisecond })
		probe++
		stored, err := r.stored.Fact(r.tb.Context(), natsstream.Message{Subject: fmt.Sprintf("stripe.probe.%d", probe), ID: "probe"})
		if err != nil {
			r.tb.Fatal(err)
		}
		return probe > 1 && !stored.Taken
	})
}

// R58: for as long as the log is kept, not for the server's window of minutes.
func TestARepeatedEventIsStoredOnceAlsoAfterTheWindow(t *testing.T) {
	r := start(t)
	body := eventBody("evt_1", "charge.succeeded")
	r.wantPost(body, ingress.Stored)
	r.forget()
	r.wantPost(body, ingress.Duplicate)
	r.wantPost(bytes.Replace(body, []byte(`"pending_webhooks":2`), []byte(`"pending_webhooks":1`), 1), ingress.OtherRendering)
	retyped := eventBody("evt_1", "charge.failed")
	r.wantPost(retyped, ingress.Conflict)
	if _, err := r.stored.Read(t.Context(), event.StreamStripe, "stripe.test.platform.evt_1.charge.failed"); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("Read of the other type's subject = %v, want ErrNotFound: one event id, one subject, for ever", err)
	}
	r.wantStored(chargeSubject, body)
}

// Decisions of architecture.md §3 about a taken event id.
func TestATakenEventIDIsCompared(t *testing.T) {
	first := `{"id":"evt_1","type":"charge.succeeded","livemode":false,"api_version":"2023-10-16","pending_webhooks":2,` +
		`"data":{"object":{"id":"ch_1","amount":10000,"rate":1.50,"big":9007199254740993,"note":"café","nested":{"a":[1,2],"b":null}},"previous_attributes":{"x":1}}}`
	swap := func(from, to string) string {
		if !strings.Contains(first, from) {
			t.Fatalf("%s is not in the first event", from)
		}
		return strings.Replace(first, from, to, 1)
	}
	pretty := "{\n  \"livemode\": false, \"type\": \"charge.succeeded\",\n \"id\": \"evt_1\",\n \"api_version\": \"2023-10-16\",\n" +
		" \"data\": {\"object\": {\"amount\": 10000, \"id\": \"ch_1\", \"nested\": {\"b\": null, \"a\": [1, 2]}, \"note\": \"caf\\u00e9\", \"rate\": 1.50, \"big\": 9007199254740993}}\n}\n"
	cases := []struct {
		name, body string
		outcome    ingress.Outcome
		detail     string
	}{
		{"same bytes", first, ingress.Duplicate, ""},
		{"another count of pending webhooks", swap(`"pending_webhooks":2`, `"pending_webhooks":0`), ingress.OtherRendering, ""},
		{"the API's formatting", pretty, ingress.OtherRendering, ""},
		{"another version, same object", swap("2023-10-16", "2025-03-31.basil"), ingress.OtherRendering, ""},
		{
			"another version, its own rendering of the object",
			strings.Replace(swap("2023-10-16", "2025-03-31.basil"), `"rate":1.50`, `"parent":{"rate":1.50}`, 1),
			ingress.OtherRendering, "",
		},
		{"same version, another amount", swap("10000", "10001"), ingress.Conflict, "another object"},
		{"same version, a number that a float cannot tell apart", swap("9007199254740993", "9007199254740992"), ingress.Conflict, "another object"},
		{"same version, array in another order", swap("[1,2]", "[2,1]"), ingress.Conflict, "another object"},
		{"same version, no object", swap(`"object":{"id"`, `"subject":{"id"`), ingress.Conflict, "another object"},
		{"another type", swap("charge.succeeded", "charge.failed"), ingress.Conflict, "another type"},
		{"another account", swap(`"livemode"`, `"account":"acct_1","livemode"`), ingress.Conflict, "another account"},
		{"another mode", swap(`"livemode":false`, `"livemode":true`), ingress.Conflict, "another mode"},
		{
			"another type and version", strings.Replace(swap("charge.succeeded", "charge.failed"), "2023-10-16", "2025-03-31.basil", 1),
			ingress.Conflict, "another type",
		},
	}
	r := start(t)
	var messages uint64
	for n, c := range cases {
		id := fmt.Sprintf("evt_%d", n+1)
		before := []byte(strings.Replace(first, "evt_1", id, 1))
		after := []byte(strings.Replace(c.body, "evt_1", id, 1))
		alerts := len(r.lines("webhook stored aside"))
		t.Run(c.name, func(t *testing.T) {
			r := r.in(t)
			r.wantPost(before, ingress.Stored)
			r.wantPost(after, c.outcome)
			r.wantStored("stripe.test.platform."+id+".charge.succeeded", before)
			messages++
			raised := r.lines("webhook stored aside")[alerts:]
			if c.outcome != ingress.Conflict {
				r.wantCount(messages)
				if len(raised) != 0 {
					t.Errorf("alerts = %v, want none", raised)
				}
				return
			}
			r.wantPost(after, ingress.Duplicate)
			messages++
			r.wantCount(messages)
			record, err := r.stored.Read(t.Context(), event.StreamStripe, "stripe.conflict.*.*."+id+".>")
			if err != nil || !bytes.Equal(record.Data, after) {
				t.Errorf("set aside: %q, %v, want the conflicting body", record.Data, err)
			}
			if len(raised) != 1 || raised[0]["level"] != "error" || raised[0]["detail"] != c.detail {
				t.Errorf("alerts = %v, want one error with detail %q", raised, c.detail)
			}
		})
	}
}

// R55: the stream's own limit refuses, nothing is dropped, nothing is taken for a duplicate. Row 14 of the fault matrix.
func TestAFullStreamIsAnsweredWith503(t *testing.T) {
	r := start(t, func(c *ingress.Config) { c.Budget = 300 * time.Millisecond })
	r.wantPost(eventBody("evt_1", "charge.succeeded"), ingress.Stored)
	r.change(func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	if got := r.post(eventBody("evt_2", "charge.succeeded")); got.status != http.StatusServiceUnavailable || got.code != "unavailable" {
		t.Errorf("answer of a full stream = %+v, want 503 unavailable", got)
	}
	r.wantPost(eventBody("evt_1", "charge.succeeded"), ingress.Duplicate)
	r.change(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
	r.wantPost(eventBody("evt_2", "charge.succeeded"), ingress.Stored)
	r.wantCount(2)
}

// R55, R61; rows 8 and 16 of the fault matrix.
func TestWhileNATSIsDownTheAnswerIs503AndLaterItIsStored(t *testing.T) {
	r := start(t, func(c *ingress.Config) { c.Budget = 200 * time.Millisecond })
	r.wantPost(eventBody("evt_1", "charge.succeeded"), ingress.Stored)
	r.nats.Stop()
	body := eventBody("evt_2", "charge.succeeded")
	got := r.post(body)
	if got.status != http.StatusServiceUnavailable || got.code != "unavailable" || got.header.Get("Retry-After") == "" {
		t.Errorf("answer without NATS = %+v, want 503 unavailable with Retry-After", got)
	}
	if lines := r.lines("webhook refused"); len(lines) != 1 || lines[0]["event_id"] != "evt_2" || lines[0]["error"] == nil {
		t.Errorf("log lines = %v, want one that names the event and the error", lines)
	}
	for _, url := range []string{r.url, r.admin} {
		if status := r.status(url + "/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("%s/readyz without NATS = %d, want 503", url, status)
		}
		if status := r.status(url + "/livez"); status != http.StatusOK {
			t.Errorf("%s/livez without NATS = %d, want 200", url, status)
		}
	}
	r.nats.Restart()
	r.eventually("ready after the server's return", func() bool { return r.status(r.url+"/readyz") == http.StatusOK })
	if got := r.post(body); got.status != http.StatusOK {
		t.Errorf("answer after the server's return = %+v, want 200", got)
	}
	r.eventually("the test's own connection is back", func() bool {
		_, err := r.stored.Read(t.Context(), event.StreamStripe, chargeSubject)
		return err == nil
	})
	r.wantStored("stripe.test.platform.evt_2.charge.succeeded", body)
	r.wantStored(chargeSubject, eventBody("evt_1", "charge.succeeded"))
	r.wantCount(2)
}

// scripted is a log that answers what a test tells it to.
type scripted struct {
	facts []func() (natsstream.Stored, error)
	reads []func() (natsstream.Record, error)
}

func (s *scripted) Fact(context.Context, natsstream.Message) (natsstream.Stored, error) {
	next := s.facts[0]
	s.facts = s.facts[1:]
	return next()
}

func (s *scripted) Read(context.Context, string, string) (natsstream.Record, error) {
	next := s.reads[0]
	s.reads = s.reads[1:]
	return next()
}

func (s *scripted) ReadSequence(ctx context.Context, stream string, _ uint64) (natsstream.Record, error) {
	return s.Read(ctx, stream, "")
}

// R55: what cannot be read back is not known to be stored. Real servers answer so only on lagging replicas.
func TestATakenIDThatCannotBeReadBackIsNotA200(t *testing.T) {
	taken := func() (natsstream.Stored, error) { return natsstream.Stored{Taken: true}, nil }
	stored := func() (natsstream.Stored, error) { return natsstream.Stored{Sequence: 7}, nil }
	nothing := func() (natsstream.Record, error) { return natsstream.Record{}, natsstream.ErrNotFound }
	broken := func() (natsstream.Record, error) { return natsstream.Record{}, errors.New("broken") }
	body := eventBody("evt_1", "charge.succeeded")
	t.Run("lost", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		log := &scripted{facts: []func() (natsstream.Stored, error){taken}, reads: []func() (natsstream.Record, error){nothing}}
		if got, err := ingress.NewPublisher(log).Publish(ctx, ingress.Delivery{Body: body}); !errors.Is(err, natsstream.ErrNotFound) {
			t.Errorf("Publish = %+v, %v, want ErrNotFound", got, err)
		}
	})
	t.Run("late", func(t *testing.T) {
		log := &scripted{facts: []func() (natsstream.Stored, error){taken, stored}, reads: []func() (natsstream.Record, error){nothing}}
		got, err := ingress.NewPublisher(log).Publish(t.Context(), ingress.Delivery{Body: body})
		if err != nil || got.Outcome != ingress.Stored || got.Sequence != 7 {
			t.Errorf("Publish = %+v, %v, want it stored at the second attempt", got, err)
		}
	})
	t.Run("broken", func(t *testing.T) {
		log := &scripted{facts: []func() (natsstream.Stored, error){taken}, reads: []func() (natsstream.Record, error){broken}}
		if got, err := ingress.NewPublisher(log).Publish(t.Context(), ingress.Delivery{Body: body}); err == nil {
			t.Errorf("Publish = %+v, want an error at once", got)
		}
	})
}
