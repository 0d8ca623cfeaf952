package notifier_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

func ask(t *testing.T, nc *nats.Conn, body any) notifier.ResendAnswer {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var msg *nats.Msg
	eventually(t, func() bool { // until the notifier listens
		msg, err = nc.Request(notifier.SubjectResend, b, 10*time.Second)
		return err == nil
	}, "somebody answers")
	var answer notifier.ResendAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// The same request is never two mails: whoever asks says which resend he means.
func TestTheSameRequestSendsOneMail(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	nc := h.nats.Conn("operator")
	request := please(0)
	request.Number = new(1)
	if a := ask(t, nc, request); a.Error != "" || a.Key != "main.q_0.2.paid.1" {
		t.Fatalf("resend = %+v", a)
	}
	if a := ask(t, nc, request); !strings.Contains(a.Error, "sent again 1 times already") || len(h.smtp.mails()) != 2 {
		t.Errorf("the same request again = %+v with %d mails, want it refused", a, len(h.smtp.mails()))
	}
	request.Number = new(2)
	if a := ask(t, nc, request); a.Error != "" || a.Key != "main.q_0.2.paid.2" {
		t.Errorf("another request = %+v, want a mail of its own", a)
	}
}

// While the first mail is under way a request for its resend sends nothing, and one for the first mail is never a second one.
func TestARequestForAMailThatIsNotOpenSendsNothing(t *testing.T) {
	h := newHouse(t, script{reply: map[string]string{"RCPT": "451 4.7.1 later"}})
	h.start(h.config())
	h.pay(0, 1)
	h.comesTo("main.q_0.2.paid", notifier.StateClaimed)
	nc := h.nats.Conn("operator")
	request := please(0)
	request.Number = new(1)
	if a := ask(t, nc, request); !strings.Contains(a.Error, "number 0 is next") || a.Key != "" {
		t.Errorf("a resend of what is under way = %+v, want it refused", a)
	}
	request.Number = new(0)
	if a := ask(t, nc, request); a.Key != "main.q_0.2.paid" {
		t.Errorf("a request for the first mail = %+v, want it to go on", a)
	}
	h.smtp.set(script{})
	h.comesTo("main.q_0.2.paid", notifier.StateSent)
	if a := ask(t, nc, request); !strings.Contains(a.Error, "number 1 is next") || len(h.smtp.mails()) != 1 {
		t.Errorf("the same request again = %+v with %d mails, want it refused", a, len(h.smtp.mails()))
	}
}

// R69: a letter of the notifier is tried again; a mail that went out meanwhile is not sent twice.
func TestADeadLetterOfAMailThatWentOutSendsNoSecond(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	sent := paidQuote(0)
	record, err := h.log.Read(t.Context(), event.StreamQuotes, event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: sent.Paid.QuoteID, N: "2"}.String())
	if err != nil {
		t.Fatal(err)
	}
	poison, err := h.log.Fact(t.Context(), natsstream.Message{Subject: "quote.paid.main.q_poison.1", Data: []byte("no event")})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.log.SetAside(t.Context(), natsstream.DeadLetter{Consumer: "notifier", Record: record, Reason: "a bug of yesterday", Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	retry := func(seq uint64) deadletter.Answer {
		var a deadletter.Answer
		eventually(t, func() bool {
			key := deadletter.Key{Consumer: "notifier", Stream: event.StreamQuotes, Sequence: seq}
			a, err = deadletter.Ask(t.Context(), h.nats.Conn("operator"), deadletter.Request{Verb: deadletter.VerbRetry, Key: key, Who: "ada@desk", Why: "fixed"})
			return err == nil && !strings.Contains(a.Error, natsstream.ErrNotFound.Error())
		}, "the notifier answers for the letter")
		return a
	}
	if a := retry(record.Sequence); a.Error != "" || a.Outcome != "sent" || a.Letter.State != deadletter.Resolved {
		t.Errorf("retry of a mail that went out = %+v, want it resolved", a)
	}
	if a := retry(poison.Sequence); !strings.Contains(a.Error, "set aside again") || a.Letter.Rounds != 2 {
		t.Errorf("retry of what is no event = %+v, want a second round", a)
	}
	h.oneEach(1)
}

func please(n int) notifier.ResendRequest {
	r := paidQuote(n)
	return notifier.ResendRequest{Seller: r.Paid.Seller, Quote: r.Paid.QuoteID, Revision: r.Paid.Revision, Reason: "mailbox was full"}
}

// R64 R68: only an operator's explicit wish sends a mail again, and each wish has a ledger entry of its own.
func TestAnOperatorSendsARejectedMailAgain(t *testing.T) {
	h := newHouse(t, script{reply: map[string]string{"RCPT": "552 5.2.2 mailbox full"}})
	h.start(h.config())
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateRejected)
	nc := h.nats.Conn("operator")
	answer := ask(t, nc, please(0))
	if answer.Entry == nil || answer.Entry.State != notifier.StateRejected || answer.Key != "main.q_0.2.paid.1" || answer.Error != "" {
		t.Fatalf("resend into the full mailbox = %+v, want rejected again", answer)
	}
	h.smtp.set(script{})
	for n, key := range []string{"main.q_0.2.paid.2", "main.q_0.2.paid.3"} {
		answer = ask(t, nc, please(0))
		if answer.Entry == nil || answer.Entry.State != notifier.StateSent || answer.Key != key || len(h.smtp.mails()) != n+1 {
			t.Fatalf("resend = %+v with %d mails, want %s sent", answer, len(h.smtp.mails()), key)
		}
	}
	if e := h.entry(0); e.State != notifier.StateRejected {
		t.Errorf("the first mail's entry became %s, want it as it was", e.State)
	}
	a, b := h.smtp.mails()[0].data, h.smtp.mails()[1].data
	if string(a) == string(b) {
		t.Error("two resends by hand share their Message-ID: a mailbox could take them for one")
	}
	h.quiet()
}

func TestAResendWithoutAnAnswerIsParkedAndCanBeAskedForAgain(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	h.smtp.set(script{drop: "dot", once: true})
	nc := h.nats.Conn("operator")
	if answer := ask(t, nc, please(0)); answer.Entry == nil || answer.Entry.State != notifier.StateParked || answer.Entry.Ambiguous != 1 {
		t.Errorf("unanswered resend = %+v, want it parked", answer)
	}
	if answer := ask(t, nc, please(0)); answer.Entry == nil || answer.Entry.State != notifier.StateSent || !strings.HasSuffix(answer.Key, ".2") {
		t.Errorf("next resend = %+v, want it sent", answer)
	}
}

// A resend that was put off stays where it is, and the next request goes on with it.
func TestAResendThatIsPutOffGoesOnWithTheNextRequest(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	h.smtp.set(script{reply: map[string]string{"RCPT": "451 4.7.1 later"}, once: true})
	nc := h.nats.Conn("operator")
	first := ask(t, nc, please(0))
	if first.Entry == nil || first.Entry.State != notifier.StateClaimed || first.Error == "" {
		t.Fatalf("resend put off = %+v, want claimed and why", first)
	}
	eventually(t, func() bool {
		answer := ask(t, nc, please(0))
		return answer.Key == first.Key && answer.Entry != nil && answer.Entry.State == notifier.StateSent
	}, "the same resend is sent")
	if n := len(h.smtp.mails()); n != 2 {
		t.Errorf("%d mails, want the first and one resend", n)
	}
}

func TestResendsThatMakeNoSenseAreRefused(t *testing.T) {
	h := newHouse(t, script{hang: "dot"})
	cfg := h.config()
	cfg.Lease, cfg.Relay.SendTimeout = 30*time.Second, 20*time.Second
	h.start(cfg)
	h.pay(0, 1)
	eventually(t, h.smtp.hanging, "the mail is being sent")
	nc := h.nats.Conn("operator")
	for name, tt := range map[string]struct {
		request any
		want    string
	}{
		"being sent":  {please(0), "holds the mail's lease"},
		"unknown":     {please(7), "no such message"},
		"wildcard":    {notifier.ResendRequest{Seller: "*", Quote: "q_0", Revision: 2, Reason: "x"}, "request needs"},
		"no reason":   {notifier.ResendRequest{Seller: "main", Quote: "q_0", Revision: 2}, "request needs"},
		"no revision": {notifier.ResendRequest{Seller: "main", Quote: "q_0", Reason: "x"}, "request needs"},
		"not JSON":    {"text", "not JSON"},
	} {
		if answer := ask(t, nc, tt.request); !strings.Contains(answer.Error, tt.want) {
			t.Errorf("%s: %+v, want the refusal %q", name, answer, tt.want)
		}
	}
	if n := len(h.smtp.mails()); n != 1 {
		t.Errorf("%d mails, want the one that is being sent", n)
	}
	h.smtp.set(script{})
	h.smtp.cutAll()
}

// A message that was set aside comes no more by itself; once its cause is gone, an operator's wish sends the first mail.
func TestAMailWhoseMessageWasSetAsideIsSentOnRequest(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	r := paidQuote(0)
	r.Published.Document.Owner.Email = "canary0@seller.example"
	good := publishedMessage(t, r)
	store(t, h.log, natsstream.Message{Subject: good.Subject, Data: []byte("{}")}, paidMessage(t, r))
	eventually(t, func() bool {
		letters, err := h.log.ReadAll(t.Context(), event.StreamDead, "dead.notifier.>")
		return err == nil && len(letters) == 1
	}, "it is set aside")
	nc := h.nats.Conn("operator")
	if answer := ask(t, nc, please(0)); answer.Error == "" || answer.Entry != nil {
		t.Errorf("resend of what still cannot be read = %+v, want why", answer)
	}
	stream, err := h.log.JetStream().Stream(t.Context(), event.StreamQuotes)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil { // stands for a notifier that can read it
		t.Fatal(err)
	}
	store(t, h.log, good)
	if answer := ask(t, nc, please(0)); answer.Key != r.Key || answer.Entry == nil || answer.Entry.State != notifier.StateSent {
		t.Errorf("resend = %+v, want the first mail sent", answer)
	}
	h.oneEach(1)
}
