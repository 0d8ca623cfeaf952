package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/console"
)

// line is a row of the doctor's table: its status, and what was found.
func (a answer) line(check string) (status, found string) {
	a.t.Helper()
	m := regexp.MustCompile(`data-label="Check">` + regexp.QuoteMeta(check) + `</th><td data-label="Status"><span class="badge [a-z]*">([^<]*)</span></td>\s*<td data-label="Found">([^<]*)<`).FindStringSubmatch(a.body)
	if m == nil {
		a.t.Fatalf("no line about %s in %s", check, a.body)
	}
	return m[1], m[2]
}

// The page makes the checks that the console's own rights allow, and says of all others where they are made: what was not
// looked at is never good.
func TestTheDoctorSaysWhatItCannotLookAt(t *testing.T) {
	var later atomic.Int64 // seconds
	begun := time.Now()
	f := start(t, func(c *console.Config) {
		c.Now = func() time.Time { return begun.Add(time.Duration(later.Load()) * time.Second) }
	})
	s := event.StripeSubject{Mode: "test", Account: "platform", EventID: "evt_1", Type: "charge.succeeded"}
	if _, err := f.log.Fact(t.Context(), natsstream.Message{Subject: s.String(), ID: "evt_1", Data: []byte(`{}`), Header: nats.Header{
		event.HeaderSource: {event.SourceWebhook}, event.HeaderSecretName: {"new"}, event.HeaderReceivedAt: {time.Now().UTC().Format(time.RFC3339Nano)},
	}}); err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	relay := `{"relay":"mail.example:587, encryption starttls","error":"550 no, postmaster@kowalski.example"}`
	f.nats.Answer("notifier", doctor.SubjectRelay, func(m *nats.Msg) { tries.Add(1); _ = m.Respond([]byte(relay)) })

	page := f.signedIn(viewerToken).open("/doctor").want(http.StatusOK).hides("postmaster@")
	for check, want := range map[string]string{
		"nats": "ok", "redis": "ok", "secret new": "ok", "mail relay": "fail",
		"rights on nats": "warn", "rights on redis": "warn", // the servers of these tests ask nobody who he is
	} {
		if got, found := page.line(check); got != want {
			t.Errorf("%s is %q (%s), want %q", check, got, found, want)
		}
	}
	for _, check := range []string{"streams and consumers", "nats storage", "signatures", "stripe key, clock, endpoints", "services and their versions", "certificates"} {
		if got, _ := page.line(check); got != "not checked" {
			t.Errorf("%s is %q, want not checked", check, got)
		}
	}
	if fail, ok := strings.Index(page.body, ">mail relay<"), strings.Index(page.body, ">nats<"); fail > ok {
		t.Error("the worst is not the first")
	}
	for _, c := range []struct{ after, want int }{{0, 1}, {29, 1}, {30, 2}} {
		later.Store(int64(c.after))
		f.signedIn(operatorToken).open("/doctor").want(http.StatusOK)
		if n := int(tries.Load()); n != c.want {
			t.Errorf("%d s after the first look the relay was tried %d times, want %d", c.after, n, c.want)
		}
	}
	for _, subject := range []string{"stripe.test.platform.evt_doctor.probe", "quote.paid.doctor.doctor.1"} {
		for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
			if _, err := f.log.Read(t.Context(), stream, subject); err == nil {
				t.Errorf("the probe %s took hold", subject)
			}
		}
	}
	if all := f.entries(); len(all) != 0 {
		t.Errorf("to look is journaled: %+v", all)
	}
}
