package notifier_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wneessen/go-mail"

	"quittance.internal/services/notifier"
)

func testMail(tb testing.TB) *mail.Msg {
	tb.Helper()
	m := mail.NewMsg()
	if err := m.From("quittance@seller.example"); err != nil {
		tb.Fatal(err)
	}
	if err := m.To("owner@seller.example"); err != nil {
		tb.Fatal(err)
	}
	m.Subject("Paid")
	m.SetBodyString(mail.TypeTextPlain, "Paid.\n.\n..dots\n")
	return m
}

// The measurements of reliability.md §3.1, made again on every run: what go-mail 0.8.1 reports of a real conversation,
// whether the server took the mail, and what we make of it. R64
func TestOutcomesOfRealConversations(t *testing.T) {
	quick := func(r *notifier.Relay) {
		r.SendTimeout = 300 * time.Millisecond
		r.DialTimeout = 300 * time.Millisecond
	}
	for _, tt := range []struct {
		name     string
		script   script
		relay    func(*notifier.Relay)
		accepted int
		result   string
		code     int
		reason   mail.SendErrReason // of go-mail's error; -1 when it is no SendError
		temp     bool
		broken   bool
		early    bool
	}{
		{name: "250", accepted: 1, result: "sent", code: 250, reason: -1},
		{name: "451 at MAIL", script: script{reply: map[string]string{"MAIL": "451 4.3.2 busy"}}, result: "retry", code: 451, reason: mail.ErrSMTPMailFrom, temp: true},
		{name: "550 at MAIL", script: script{reply: map[string]string{"MAIL": "550 5.7.1 sender refused"}}, result: "rejected", code: 550, reason: mail.ErrSMTPMailFrom},
		{name: "530 at MAIL concerns our login", script: script{reply: map[string]string{"MAIL": "530 5.7.0 authenticate first"}}, result: "retry", code: 530, reason: mail.ErrSMTPMailFrom, broken: true},
		{name: "421 at MAIL", script: script{reply: map[string]string{"MAIL": "421 4.3.0 too many mails"}}, result: "retry", code: 421, reason: mail.ErrSMTPMailFrom, temp: true, broken: true, early: true},
		{name: "451 at RCPT, greylisting", script: script{reply: map[string]string{"RCPT": "451 4.7.1 come back later"}}, result: "retry", code: 451, reason: mail.ErrSMTPRcptTo, temp: true},
		{name: "550 at RCPT", script: script{reply: map[string]string{"RCPT": "550 5.1.1 no such user"}}, result: "rejected", code: 550, reason: mail.ErrSMTPRcptTo},
		{name: "451 at DATA", script: script{reply: map[string]string{"DATA": "451 no"}}, result: "retry", code: 451, reason: mail.ErrSMTPData, temp: true, broken: true},
		{name: "554 at DATA", script: script{reply: map[string]string{"DATA": "554 no"}}, result: "rejected", code: 554, reason: mail.ErrSMTPData, broken: true},
		{name: "451 after the dot", script: script{reply: map[string]string{"dot": "451 4.3.0 not now"}}, result: "retry", code: 451, reason: mail.ErrSMTPDataClose, temp: true},
		{name: "421 after the dot", script: script{reply: map[string]string{"dot": "421 4.3.0 closing"}}, result: "retry", code: 421, reason: mail.ErrSMTPDataClose, temp: true, broken: true},
		{name: "554 after the dot", script: script{reply: map[string]string{"dot": "554 5.7.1 spam"}}, result: "rejected", code: 554, reason: mail.ErrSMTPDataClose},
		{name: "251 after the dot is no 250", script: script{reply: map[string]string{"dot": "251 ok somehow"}}, accepted: 1, result: "ambiguous", reason: mail.ErrSMTPDataClose, broken: true},
		{name: "gibberish after the dot", script: script{reply: map[string]string{"dot": "2"}}, accepted: 1, result: "ambiguous", reason: mail.ErrSMTPDataClose, broken: true},
		{name: "dropped after the dot", script: script{drop: "dot"}, accepted: 1, result: "ambiguous", reason: mail.ErrSMTPDataClose, broken: true},
		{name: "no reply after the dot", script: script{hang: "dot"}, relay: quick, accepted: 1, result: "ambiguous", reason: mail.ErrSMTPDataClose, broken: true},
		{name: "slow reply after the dot", script: script{delay: map[string]time.Duration{"dot": 300 * time.Millisecond}}, accepted: 1, result: "sent", code: 250, reason: -1},
		{name: "dropped after the 250", script: script{dropAfter: "dot"}, accepted: 1, result: "sent", code: 250, reason: -1},
		{name: "dropped within the data", script: script{drop: "data"}, result: "ambiguous", reason: mail.ErrSMTPDataClose, broken: true},
		{name: "dropped at MAIL", script: script{drop: "MAIL"}, result: "retry", reason: mail.ErrSMTPMailFrom, broken: true, early: true},
		{name: "dropped at RCPT", script: script{drop: "RCPT"}, result: "retry", reason: mail.ErrSMTPRcptTo, broken: true, early: true},
		{name: "dropped at DATA", script: script{drop: "DATA"}, result: "retry", reason: mail.ErrSMTPData, broken: true, early: true},
		{name: "banner tarpit", script: script{hang: "banner"}, relay: quick, result: "retry", reason: -1, broken: true, early: true},
		{name: "554 banner", script: script{reply: map[string]string{"banner": "554 go away"}}, result: "retry", reason: -1, broken: true, early: true},
		{name: "421 banner", script: script{reply: map[string]string{"banner": "421 full"}}, result: "retry", reason: -1, broken: true, early: true},
		{name: "550 at EHLO", script: script{reply: map[string]string{"EHLO": "550 no", "HELO": "550 no"}}, result: "retry", reason: -1, broken: true, early: true},
		{name: "hanging RCPT", script: script{hang: "RCPT"}, relay: quick, result: "retry", reason: mail.ErrSMTPRcptTo, broken: true, early: true},
		{name: "one byte a write", script: script{bytewise: time.Millisecond}, accepted: 1, result: "sent", code: 250, reason: -1},
		{name: "one byte a write, for ever", script: script{bytewise: 40 * time.Millisecond}, relay: quick, result: "retry", reason: -1, broken: true, early: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newSMTPFake(t, tt.script)
			relay := f.relay(t)
			if tt.relay != nil {
				tt.relay(&relay)
			}
			got := notifier.Talk(t.Context(), relay, testMail(t))
			if got.Result != tt.result || got.Code != tt.code || got.Broken != tt.broken || got.Early != tt.early {
				t.Errorf("result %s, code %d, broken %t, early %t (%v), want %s, %d, %t, %t",
					got.Result, got.Code, got.Broken, got.Early, got.Err, tt.result, tt.code, tt.broken, tt.early)
			}
			if n := len(f.mails()); n != tt.accepted {
				t.Errorf("the server accepted %d mails, want %d", n, tt.accepted)
			}
			reason, temp := mail.SendErrReason(-1), false
			if sendErr, ok := errors.AsType[*mail.SendError](got.Err); ok {
				reason, temp = sendErr.Reason, sendErr.IsTemp()
			}
			if reason != tt.reason || temp != tt.temp {
				t.Errorf("go-mail says reason %d, temp %t (%v), want %d, %t", reason, temp, got.Err, tt.reason, tt.temp)
			}
		})
	}
}

// go-mail as it is out of the box sends RSET after the mail; a connection lost there is an error although the server took
// the mail. We switch RSET off, and would classify it right.
func TestAMailThatWasTakenIsSentEvenIfTheResetAfterItFails(t *testing.T) {
	f := newSMTPFake(t, script{dropAfter: "dot"})
	relay := f.relay(t)
	client, err := mail.NewClient(relay.Host, mail.WithPort(relay.Port), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("client.example"))
	if err != nil {
		t.Fatal(err)
	}
	msg := testMail(t)
	err = client.DialAndSendWithContext(t.Context(), msg)
	sendErr, ok := errors.AsType[*mail.SendError](err)
	if !ok || sendErr.Reason != mail.ErrSMTPReset || len(f.mails()) != 1 {
		t.Fatalf("go-mail says %v with %d mails accepted, want an ErrSMTPReset and one mail", err, len(f.mails()))
	}
	if got := notifier.Classify(err, msg.ServerResponse()); got.Result != "sent" || !got.Broken {
		t.Errorf("Classify = %+v, want sent over a broken connection", got)
	}
}

func TestRepliesAreRecordedWithoutAddresses(t *testing.T) { // R74
	f := newSMTPFake(t, script{})
	if got, want := notifier.Talk(t.Context(), f.relay(t), testMail(t)).Reply, "2.0.0 ok queued as Q1 for o***@seller.example"; got != want {
		t.Errorf("reply = %q, want %q", got, want)
	}
	f.set(script{reply: map[string]string{"RCPT": "550 5.1.1 <owner@seller.example>: no such user"}})
	if got, want := notifier.Talk(t.Context(), f.relay(t), testMail(t)).Reply,
		`sending SMTP RCPT TO command: 550 "5.1.1 <o***@seller.example>: no such user"`; got != want {
		t.Errorf("reply = %q, want %q", got, want)
	}
}

// go-mail 0.8.1 leaves the socket open when the conversation fails before the login is done.
func TestAFailedDialLeavesNoSocketOpen(t *testing.T) {
	f := newSMTPFake(t, script{})
	relay := f.relay(t)
	relay.Encryption = notifier.EncryptionStartTLS // which the fake does not offer
	for range 5 {
		if got := notifier.Talk(t.Context(), relay, testMail(t)); got.Result != "retry" {
			t.Fatalf("Talk without STARTTLS = %+v, want retry", got)
		}
	}
	eventually(t, func() bool { return f.open() == 0 }, "all connections are closed")
	if len(f.mails()) != 0 {
		t.Error("a mail went out without the encryption that was asked for")
	}
}

// eventually polls until cond holds.
func eventually(tb testing.TB, cond func() bool, what string) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
