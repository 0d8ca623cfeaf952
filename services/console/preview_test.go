package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/operations/mail"
)

// writer answers in the place of the notifier, which makes the mails.
func (f *fixture) writer(answer string) <-chan string {
	f.t.Helper()
	asked := make(chan string, 10)
	nc := f.nats.Conn("notifier")
	sub, err := nc.Subscribe(mail.SubjectPreview, func(m *nats.Msg) {
		asked <- string(m.Data)
		if err := m.Respond([]byte(answer)); err != nil {
			f.t.Errorf("answer: %v", err)
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sub.Unsubscribe() })
	return asked
}

// A mail is opened by operators alone, with a reason that the journal has; what others wrote into it cannot act, and nothing of it
// gets into the log.
func TestAMailIsOpenedAsTextAndJournaled(t *testing.T) {
	f := start(t)
	const path = "/mail/main.q_1.2.paid.1/preview"
	b := f.signedIn(operatorToken)
	b.confirm(path, "ticket 4711").want(http.StatusBadGateway).shows("no notifier runs")
	asked := f.writer(`{"key":"main.q_1.2.paid.1","state":"sent","from":"a@b.example","to":"Maria <maria@kowalski.example>","subject":"Paid: ` + hostile + `",
		"date":"2026-11-20T12:00:00Z","text":"Hello <img src=x onerror=alert(1)>","html":"<body onload=\"alert(1)\"><script>alert(1)</script></body>","sha256":"aa","recorded_sha256":"aa"}`)
	b.confirm(path, " ").want(http.StatusUnprocessableEntity).shows("Say why").hides("maria@")
	if all := f.entries(); len(all) != 0 || len(asked) != 0 {
		t.Fatalf("without a reason: %d requests, journal %+v", len(asked), all)
	}
	got := b.confirm(path, "ticket 4711").want(http.StatusOK).shows("maria@kowalski.example", "Byte for byte", "&lt;script&gt;", "&lt;img src=x").hides("<script>", "<img src=x", "<body onload")
	if m := inline.FindString(got.body); m != "" {
		t.Errorf("the page has %s in it", m)
	}
	if policy := got.header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "frame-src") {
		t.Errorf("policy %q", policy)
	}
	if r := <-asked; r != `{"seller":"main","quote":"q_1","revision":2,"kind":"paid","number":1}` {
		t.Errorf("request = %s", r)
	}
	all := f.entries()
	if len(all) != 1 || all[0].Action != "mail_opened" || all[0].Who != "oscar" || all[0].Reason != "ticket 4711" || all[0].Target != "main.q_1.2.paid.1" {
		t.Errorf("journal = %+v", all)
	}
	f.signedIn(viewerToken).open(path).want(http.StatusForbidden)
	b.open("/mail/nothing/preview").want(http.StatusNotFound)
	for _, entry := range f.logs.All() {
		for _, v := range entry.ContextMap() {
			if s, ok := v.(string); ok && strings.Contains(strings.ToLower(s), "kowalski") {
				t.Errorf("the log has %s %v", entry.Message, entry.ContextMap())
			}
		}
	}
}
