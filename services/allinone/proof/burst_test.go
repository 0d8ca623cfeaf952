package proof_test

import (
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/operator/scenario"
)

// R60, R62: hundreds of quotes, thousands at night, their bursts shuffled together and a third of the events doubled, through
// real processes: every status is the pure fold's, every paid revision has one quote.paid in the stream, and one mail.
func TestManyShuffledQuotesEndAsTheRulesDemand(t *testing.T) {
	w := newWorld(t, builtWith{"ingress": "", "payments": "", "notifier": "", "quotes": ""}, 256,
		"MAIL_SEND_TIMEOUT=1m", "MAIL_LEASE=3m") // nobody crashes: a slow answer of the mail server must not end in a second mail
	count := testsize.Of(t, 500, 2000, 10_000) // of each scenario more than fifteen
	within := time.Duration(2+count/1000) * patience
	all := scenario.All()
	quotes := w.publishMany(count, func(n int) bool { return all[(n-1)%len(all)].Name == "subscription" })
	var events []scenario.Event
	want := map[string]scenario.Expectation{}
	for i, q := range quotes {
		b := w.burst(all[i%len(all)].Name, q, int64(i))
		want[q.ID] = b.Expect
		events = append(events, b.Events...)
	}
	w.deliver(shuffled(events, 11), 16, within)
	w.settleAndCheck(2 * patience)
	for _, q := range quotes {
		p, err := w.reader().Payment(t.Context(), event.Platform, q.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p.Status != want[q.ID].Status {
			t.Errorf("status of %s is %s %v, want %s", q.ID, p.Status, p.Flags, want[q.ID].Status)
		}
		if mails := len(w.mail.To(q.Owner)); mails != want[q.ID].Mails {
			t.Errorf("%d mails for %s, want %d", mails, q.ID, want[q.ID].Mails)
		}
	}
	t.Logf("%d quotes, %d events in the log", count, len(w.scan(event.StreamStripe)))
}
