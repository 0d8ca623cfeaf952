package notifier_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

// reminder is the sample as a reminder; the quote ends at the last second of the year in Warsaw.
func reminder() notifier.Receipt {
	r := sample()
	r.Key = "main.q_1042.2.expiring"
	end := time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC)
	r.Published.ExpiresAt = end
	r.Expiring = &event.Expiring{
		Seller: "main", QuoteID: "q_1042", Revision: 2, DealID: "d_7", Amount: 123450, Currency: "pln", ExpiresAt: end,
		RemindedAt: end.Add(-72 * time.Hour), Mode: event.ModeLive, Account: "platform",
	}
	return r
}

// The owner is told, in his zone, and the bytes are a promise like a receipt's.
func TestGoldenReminders(t *testing.T) {
	for _, tt := range []struct {
		name, day, moment string
		alter             func(*notifier.Receipt)
	}{
		{"plain", "Dec 31, 2026", "Dec 31, 2026, 23:59:59 CET", func(r *notifier.Receipt) { r.PublicURL = "https://quotes.seller.example" }},
		{"zone-new-york", "Dec 31, 2026", "Dec 31, 2026, 17:59:59 EST", func(r *notifier.Receipt) { r.Published.Document.Owner.TimeZone = "America/New_York" }},
		{"zone-tokyo", "Jan 1, 2027", "Jan 1, 2027, 07:59:59 JST", func(r *notifier.Receipt) { r.Published.Document.Owner.TimeZone = "Asia/Tokyo" }},
		{"test-mode", "Dec 31, 2026", "Dec 31, 2026, 23:59:59 CET", func(r *notifier.Receipt) { r.Expiring.Mode = event.ModeTest }},
		{"bare", "Dec 31, 2026", "Dec 31, 2026, 23:59:59 CET", func(r *notifier.Receipt) {
			r.Published.Document.Title, r.Published.Document.Deal.Name, r.Published.Document.Deal.ID = " ", "", ""
			r.Published.Document.Contact.Company, r.Published.Document.Contact.FirstName, r.Published.Document.Contact.LastName = "", "", ""
		}},
		{"markup", "Dec 31, 2026", "Dec 31, 2026, 23:59:59 CET", func(r *notifier.Receipt) {
			r.Published.Document.Title = `</td></table><script>alert(1)</script>`
			r.Published.Document.Deal.Name = "{{.Amount}}\r\n.\r\nQUIT"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reminder()
			tt.alter(&r)
			c, err := notifier.Compose(testFrom, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{" expires on " + tt.day + " and is not paid yet.\n", "\nLast moment to pay: " + tt.moment + "\n"} {
				if !strings.Contains(c.Text, want) {
					t.Errorf("the text does not say %q:\n%s", want, c.Text)
				}
			}
			if strings.Contains(string(c.Bytes), "To: <buyer@") || !strings.Contains(string(c.Bytes), "owner@seller.example") {
				t.Errorf("not for the owner:\n%s", c.Bytes)
			}
			golden(t, "reminder-"+tt.name+".txt", []byte(c.Text))
			golden(t, "reminder-"+tt.name+".html", []byte(c.HTML))
			golden(t, "reminder-"+tt.name+".eml", c.Bytes)
			checkParts(t, c)
		})
	}
}

// expiringQuote is the reminder of another quote, which ends in so long.
func expiringQuote(n int, in time.Duration) notifier.Receipt {
	r := paidQuote(n)
	e := *reminder().Expiring
	r.Expiring = &e
	r.Expiring.QuoteID = r.Paid.QuoteID
	r.Expiring.ExpiresAt = time.Now().Add(in).UTC().Truncate(time.Second)
	r.Expiring.RemindedAt = time.Now().UTC()
	r.Published.ExpiresAt = r.Expiring.ExpiresAt
	r.Published.Document.Owner.Email = fmt.Sprintf("canary%d@seller.example", n)
	r.Key = notifier.ReminderKey("main", r.Paid.QuoteID, 2)
	return r
}

func expiringMessage(tb testing.TB, r notifier.Receipt) natsstream.Message {
	tb.Helper()
	return encode(tb, event.NameExpiring, strconv.Itoa(r.Expiring.Revision), r.Expiring.RemindedAt, r.Expiring.QuoteID, *r.Expiring)
}

// remind puts n quotes on the log that are published and about to expire.
func (h *house) remind(from, n int) []notifier.Receipt {
	h.t.Helper()
	var all []notifier.Receipt
	for i := range n {
		r := expiringQuote(from+i, time.Hour)
		store(h.t, h.log, publishedMessage(h.t, r), expiringMessage(h.t, r))
		all = append(all, r)
	}
	return all
}

func (h *house) comesTo(key string, want notifier.State) notifier.Entry {
	h.t.Helper()
	eventually(h.t, func() bool { return entryOf(h.t, h.shelf, key).State == want }, fmt.Sprintf("%s is %s\n%s", key, want, h.lines))
	return entryOf(h.t, h.shelf, key)
}

// One mail, whatever is redelivered; and the receipt is another one.
func TestAReminderIsOneMailAndTheReceiptAnother(t *testing.T) {
	h := newHouse(t, script{})
	_, stop := h.start(h.config())
	h.start(h.config())
	for _, r := range h.remind(0, 5) {
		h.comesTo(r.Key, notifier.StateSent)
	}
	h.oneEach(5)
	delivered := func() uint64 {
		c, err := h.log.JetStream().Consumer(t.Context(), event.StreamQuotes, natsstream.DurableReminders)
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(t.Context())
		if err != nil || info.NumAckPending > 0 {
			return 0
		}
		return info.Delivered.Consumer
	}
	eventually(t, func() bool { return delivered() >= 5 }, "all are acknowledged")
	if _, err := h.log.JetStream().ResetConsumerToSequence(t.Context(), event.StreamQuotes, natsstream.DurableReminders, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return delivered() >= 5 }, "everything is delivered again and acknowledged")
	h.oneEach(5)
	paid := expiringQuote(0, time.Hour)
	store(t, h.log, paidMessage(t, paid))
	h.comesTo(paidQuote(0).Key, notifier.StateSent)
	var subjects []string
	for _, m := range h.smtp.mails() {
		if m.to == "canary0@seller.example" {
			for line := range strings.SplitSeq(string(m.data), "\r\n") {
				if strings.HasPrefix(line, "Subject: ") {
					subjects = append(subjects, line)
				}
			}
		}
	}
	if len(subjects) != 2 || !strings.Contains(subjects[0], "expires on") || !strings.Contains(subjects[1], "Paid: Quote 0") {
		t.Errorf("canary0 got %q, want a reminder and a receipt", subjects)
	}
	h.quiet()
	stop()
}

// What has been overtaken is not sent, and needs nobody.
func TestAReminderThatWasOvertakenIsDropped(t *testing.T) {
	h := newHouse(t, script{})
	for i, name := range []string{event.NamePaid, event.NameRecalled, event.NameExpired} {
		r := expiringQuote(i, time.Hour)
		m := paidMessage(t, r)
		if name != event.NamePaid {
			m = encode(t, name, "2", time.Now(), r.Paid.QuoteID, event.Recalled{Seller: "main", QuoteID: r.Paid.QuoteID, Revision: 2})
		}
		store(t, h.log, publishedMessage(t, r), expiringMessage(t, r), m)
	}
	past := expiringQuote(3, -time.Second)
	store(t, h.log, publishedMessage(t, past), expiringMessage(t, past))
	h.start(h.config())
	for i, want := range []string{"paid", "recalled", "expired", "expired"} {
		e := h.comesTo(expiringQuote(i, 0).Key, notifier.StateDropped)
		if !strings.Contains(e.Reason, want) || e.Attempts != 0 {
			t.Errorf("quote %d: %+v, want it dropped because it was %s", i, e, want)
		}
	}
	h.comesTo(paidQuote(0).Key, notifier.StateSent)
	h.oneEach(1) // the receipt of the paid one
	if strings.Contains(h.lines.String(), "mail needs an operator") {
		t.Error("a dropped reminder asks for an operator")
	}
}

// A reminder that the mail server put off is not sent after the quote was paid.
func TestAReminderThatWaitsForItsServerIsDroppedOncePaid(t *testing.T) {
	h := newHouse(t, script{reply: map[string]string{"RCPT": "451 4.7.1 later"}})
	h.start(h.config())
	r := h.remind(0, 1)[0]
	eventually(t, func() bool { return entryOf(t, h.shelf, r.Key).Attempts > 0 }, "the server puts it off")
	store(t, h.log, paidMessage(t, r))
	h.comesTo(r.Key, notifier.StateDropped)
	h.smtp.set(script{})
	h.comesTo(paidQuote(0).Key, notifier.StateSent)
	h.oneEach(1)
}

func TestAReminderThatCannotBeReadIsSetAside(t *testing.T) { // R69
	h := newHouse(t, script{})
	h.start(h.config())
	other := expiringQuote(1, time.Hour)
	m := expiringMessage(t, other)
	m.Subject, m.ID = strings.Replace(m.Subject, "q_1", "q_0", 1), "x"
	store(t, h.log, m)
	eventually(t, func() bool {
		letters, err := h.log.ReadAll(t.Context(), event.StreamDead, "dead.reminders.>")
		return err == nil && len(letters) == 1
	}, "it is set aside")
	h.oneEach(0)
}

// R64
func TestAnOperatorCanSendAReminderAgain(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	r := h.remind(0, 1)[0]
	h.comesTo(r.Key, notifier.StateSent)
	request := please(0)
	request.Kind = "expiring"
	if answer := ask(t, h.nats.Conn("operator"), request); answer.Key != r.Key+".1" || answer.Entry == nil || answer.Entry.State != notifier.StateSent {
		t.Errorf("resend = %+v, want it sent", answer)
	}
	request.Kind = "birthday"
	if answer := ask(t, h.nats.Conn("operator"), request); !strings.Contains(answer.Error, "kind is neither") {
		t.Errorf("resend of an unknown kind = %+v", answer)
	}
}
