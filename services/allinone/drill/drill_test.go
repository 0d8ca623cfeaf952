package drill_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/platform/env"
)

// An operator finds, explains and repairs each incident with quotectl alone. R58, R61, R62, R63, R70
func TestIncidentDrill(t *testing.T) {
	w := newWorld(t)
	w.terminal.text.WriteString(preface)
	w.outage()
	w.poison()
	w.emptiedRedis()
	w.rotatedSecret()
	w.refusedMail()
	w.allIsWell()
}

const preface = `# The incident drill

` + "`make drill`" + ` wrote this file. It runs the released binaries of ingress, payments, notifier and quotes against a NATS server,
a Redis server, a mail server and the sandbox in Stripe's place, breaks them, and repairs everything with quotectl alone. The
exit codes and the answers are asserted (services/allinone/drill). ` + "`make check`" + ` runs the same with fewer payments.

Ids are numbered in the order in which they appear; times, spans, rates and sizes are left out; long answers are cut. No exit
code means 0.

`

// outage: ingress is away for an hour in which customers pay. Stripe tries again within that hour, and then only hours later.
func (w *world) outage() {
	m := w.terminal
	sales := w.offer(w.size)
	m.say("## 1. Ingress is away for an hour")
	m.say("%d customers pay in an hour in which ingress does not run. Stripe tries each webhook again after one minute and after half an hour, and then waits three hours.", w.size)
	for part := range slices.Chunk(sales, w.size/10) {
		w.pay(part...)
		w.tried(1)
		w.pass(time.Minute)
		w.tried(1)
		w.pass(5 * time.Minute)
	}
	w.tried(1)

	m.say("**Found.** The first question is always whether nobody buys or nothing comes:")
	m.enter(3, []string{"check", "silence"}, "CRITICAL", "events that no webhook brought")
	m.say("Ingress is started again. Some of what was missed comes by itself; most would in three hours.")
	w.ingress.Start()
	w.ingress.Ready()
	w.pass(12 * time.Minute)
	w.tried(1)
	w.settled(true)
	late := len(w.deliveries("pending"))
	if late == 0 {
		w.t.Fatal("everything came by itself: the outage proves nothing")
	}
	lost := w.unpaid(sales)
	if len(lost) < w.size/2 {
		w.t.Fatalf("only %d quotes are not paid yet", len(lost))
	}
	m.say("**Explained.** A customer calls: he has paid, and his quote says otherwise.")
	m.enter(0, []string{"explain", lost[0].quote, "--why-not-paid"}, "next:")
	m.enter(3, []string{"reconcile", "report"}, "at_stripe", "checkout.session.completed", "next: quotectl reconcile repair")
	var report struct{ Gaps map[string]int }
	m.read(&report, 3, "reconcile", "report")
	if report.Gaps["at_stripe"] < len(lost) || report.Gaps["here"]+report.Gaps["differing"]+report.Gaps["beyond"] != 0 {
		w.t.Errorf("gaps = %v with %d quotes that were paid and are not here", report.Gaps, len(lost))
	}

	m.say("**Repaired.** Without --yes it only says what it would do.")
	m.enter(3, []string{"reconcile", "repair"}, "nothing was changed")
	m.enter(0, []string{"reconcile", "repair", "--yes", "--reason", "ingress was down for an hour"}, "STORED")
	w.settled(true)
	if lost := w.unpaid(sales); len(lost) > 0 {
		w.t.Fatalf("%d quotes are still not paid", len(lost))
	}
	m.enter(0, []string{"reconcile", "report"}, "no difference")
	m.enter(0, []string{"explain", lost[0].quote}, "reconcile", "quote.paid")

	commands, mails := w.end(event.StreamQuotes), w.mail.Total()
	w.pass(4 * time.Hour)
	w.delivered()
	if now := w.end(event.StreamQuotes); now != commands || w.mail.Total() != mails {
		w.t.Errorf("Stripe's late retries took QUOTES from %d to %d and the mails from %d to %d", commands, now, mails, w.mail.Total())
	}
	m.say("Three hours later Stripe delivers %d webhooks after all. What was entered is the same event again, and the rest is of types of which nothing is made: no fact and no mail follows.", late)
	w.present()
}

// poison: two events that are signed as they should be and that nobody can work on, among good ones.
func (w *world) poison() {
	m := w.terminal
	m.say("## 2. Poison among good events")
	m.say("%d customers pay, and between their webhooks come two that carry a right signature: one ends in the middle, and the other does not say which checkout it is about.", w.size/10)
	sales := w.offer(w.size / 10)
	half := len(sales) / 2
	w.pay(sales[:half]...)
	in := door.Door{URL: w.ingressURL, Secret: env.NewSecret(first), Source: event.SourceWebhook, Now: time.Now, HTTP: httpClient}
	for _, body := range []string{
		`{"id":"evt_cut0000001","object":"event","type":"checkout.session.completed","data":{"object":{"id":"cs_cut`,
		fmt.Sprintf(`{"id":"evt_bare000001","object":"event","type":"checkout.session.completed","livemode":false,"created":%d,"api_version":"2023-10-16",`+
			`"data":{"object":{"object":"checkout.session","status":"complete","payment_status":"paid","amount_total":100,"currency":"eur"}}}`, time.Now().Unix()),
	} {
		if answer, err := in.Enter(w.t.Context(), []byte(body)); err != nil {
			w.t.Fatalf("enter poison = %s, %v", answer, err)
		}
	}
	w.pay(sales[half:]...)
	w.delivered()

	m.say("**Found.** They were set aside and hold nobody up: all quotes are paid.")
	if lost := w.unpaid(sales); len(lost) > 0 {
		w.t.Errorf("%d quotes are not paid beside the poison", len(lost))
	}
	m.enter(0, []string{"events", "list", "--outcome", "failed"}, "dead")
	m.enter(0, []string{"dead", "list"}, "payments")
	var groups []struct {
		Cause string
		Count int
	}
	m.read(&groups, 0, "dead", "list")
	total := 0
	for _, g := range groups {
		total += g.Count
	}
	if total != 2 {
		w.t.Fatalf("dead letters = %+v, want two", groups)
	}
	m.say("**Explained.**")
	m.enter(0, []string{"explain", "evt_bare000001"}, "dead")
	m.enter(0, []string{"dead", "show", "evt_bare000001"}, "payments")

	m.say("**Repaired.** Another try shows that no new build helps. Stripe's list has neither event, so nothing is lost when they are given up, with a reason.")
	m.enter(1, []string{"dead", "retry", "payments/STRIPE:" + w.sequenceOf("evt_bare000001"), "--reason", "does the build of today read it?"})
	for _, g := range groups {
		m.enter(0, []string{"dead", "discard", "--cause", g.Cause, "--yes", "--reason", "not in Stripe's list, sender unknown"})
	}
	m.enter(0, []string{"dead", "list"}, "no dead letters match")
	m.enter(0, []string{"check", "conservation"}, "dead 2")
}

// emptiedRedis: the projection is lost in three ways. payments notices the first two by itself.
func (w *world) emptiedRedis() {
	m := w.terminal
	m.say("## 3. Redis is emptied")
	mails := w.mail.Total()
	m.say("Somebody types FLUSHALL, on a night on which payments hangs.")
	w.payments.Signal(syscall.SIGSTOP)
	if err := w.cache.FlushAll(w.t.Context()).Err(); err != nil {
		w.t.Fatal(err)
	}
	m.say("**Found and explained.** Nothing accounts for the messages of the log any more, and doctor says who should see to it.")
	m.enter(3, []string{"check", "conservation"}, "Redis has lost what it held", "next: quotectl doctor")
	m.enter(3, []string{"doctor"}, "service payments")
	var findings []struct{ Check, Status string }
	m.read(&findings, 3, "doctor")
	for _, f := range findings {
		if failed := f.Status == "fail"; failed != (f.Check == "service payments") && strings.HasPrefix(f.Check, "service ") {
			w.t.Errorf("doctor says %q of %s, and payments alone hangs", f.Status, f.Check)
		}
	}
	w.payments.Signal(syscall.SIGCONT)
	w.rebuilt()
	m.say("**Repaired.** As soon as payments is at work again it notices, and folds the log once more by itself. The proof:")
	m.enter(0, []string{"rebuild", "--verify"})

	m.say("The Redis server dies and comes back with nothing.")
	w.redis.Stop()
	w.redis.Start()
	w.rebuilt()
	m.enter(0, []string{"rebuild", "--verify"})

	m.say("Somebody deletes three keys by hand. That looks like any other write; payments does not notice it.")
	victims := w.sales[:3]
	for _, s := range victims {
		keys, err := w.cache.Keys(w.t.Context(), "*pay:{*:"+s.quote+"}*").Result()
		if err != nil || len(keys) == 0 {
			w.t.Fatalf("keys of %s = %v, %v", s.quote, keys, err)
		}
		if err := w.cache.Del(w.t.Context(), keys...).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	m.enter(3, []string{"rebuild", "--verify"}, victims[0].quote, victims[1].quote, victims[2].quote)
	var verified struct{ Differences []struct{ Quote string } }
	m.read(&verified, 3, "rebuild", "--verify")
	if len(verified.Differences) != len(victims) {
		w.t.Errorf("differences = %+v, want %d", verified.Differences, len(victims))
	}
	m.say("**Repaired.** The log is folded into fresh keys beside the old ones, while all goes on.")
	m.enter(0, []string{"rebuild", "--switch", "--reason", "keys were deleted by hand"})
	m.enter(0, []string{"rebuild", "--verify"})
	m.say("**Doubted, and tried.** Would it be safe to fold every event of Stripe's once more? The plan says so, and the run agrees with it.")
	m.enter(0, []string{"replay", "plan", "--all", "--name", "after-the-flush"})
	var plan struct {
		Totals struct{ Messages, Changed, Mails int }
	}
	m.read(&plan, 0, "replay", "show", "after-the-flush")
	if plan.Totals.Messages < 4*w.size || plan.Totals.Changed != 0 || plan.Totals.Mails != 0 {
		w.t.Errorf("plan = %+v, want all messages and no change", plan.Totals)
	}
	m.enter(0, []string{"replay", "run", "after-the-flush", "--reason", "to be sure after the flush"}, "as planned")
	w.settled(true)
	if now := w.mail.Total(); now != mails {
		w.t.Errorf("%d mails went out because Redis was lost", now-mails)
	}
	m.say("Nobody was mailed because of any of it.")
}

// rotatedSecret: the secret is rolled at Stripe without a time for both, and ingress has the old one.
func (w *world) rotatedSecret() {
	m := w.terminal
	m.say("## 4. The webhook secret was rolled")
	n := max(6, w.size/5)
	sales := w.offer(n)
	secret := w.roll()
	m.say("After a leak somebody rolls the secret at Stripe and has the old one end at once. %d customers pay.", n)
	w.pay(sales...)
	w.tried(1)
	if lost := w.unpaid(sales); len(lost) != n {
		w.t.Fatalf("%d of %d quotes are paid with the wrong secret", n-len(lost), n)
	}
	m.say("**Found and explained.**")
	m.enter(3, []string{"check", "silence"}, "signatures have failed")
	w.doctor("secret first", "no_matching_signature")
	m.enter(0, []string{"explain", sales[0].quote, "--why-not-paid"}, "next:")

	m.say("**Repaired.** The new secret goes into the file that ingress follows, beside the old one. Nothing is restarted, and Stripe's next try succeeds.")
	w.setSecrets("second="+secret, "first="+first, "reconcile="+ours)
	w.until("ingress has the new secret", func() error {
		if !w.ingress.Logged(`"signing secrets changed"`) {
			return errors.New("it has not read the file again")
		}
		return nil
	})
	w.pass(time.Minute)
	w.tried(2)
	w.delivered()
	w.present()
	if lost := w.unpaid(sales); len(lost) > 0 {
		w.t.Fatalf("%d quotes are not paid after the new secret", len(lost))
	}
	m.enter(0, []string{"explain", sales[0].quote}, "second", "quote.paid")
	w.doctor("secret second")
	m.say("What Stripe signed last it signed with the second secret, and it ended the first one at once: that is taken out of the file.")
	w.setSecrets("second="+secret, "reconcile="+ours)
	m.say("The counters of failed signatures are those since ingress started; they begin anew when it is started again:")
	w.ingress.Kill()
	w.ingress.Start()
	w.ingress.Ready()
	m.enter(0, []string{"check", "silence"}, "secret second")
}

// refusedMail: the mail server refuses everybody for a while, and one owner for good.
func (w *world) refusedMail() {
	m := w.terminal
	m.say("## 5. The mail server refuses")
	n := max(3, w.size/20)
	sales := w.offer(n + 1)
	busy := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "try again later"}
	gone := sales[n]
	w.mail.Refuse(func(string) *smtp.SMTPError { return busy })
	m.say("%d customers pay while the mail server answers 451 to everything.", n)
	w.pay(sales[:n]...)
	w.until("every mail was refused once", func() error { return w.mailStates(sales[:n], "claimed", 1) })
	m.say("**Found and explained.**")
	m.enter(3, []string{"check", "gap", "--warn", "1ms"}, "is on its way for", "451")
	m.enter(0, []string{"explain", sales[0].quote, "--why-no-email"}, "451")
	m.say("**Repaired** by waiting: the mail server recovers, and the notifier tries again by itself.")
	w.mail.Refuse(nil)
	w.until("the mails are sent", func() error { return w.mailStates(sales[:n], "sent", 1) })

	m.say("Another owner's mailbox is gone: 550.")
	w.mail.Refuse(func(recipient string) *smtp.SMTPError {
		if recipient != gone.owner {
			return nil
		}
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	})
	w.pay(gone)
	w.until("the mail is refused", func() error { return w.mailStates([]sale{gone}, "rejected", 1) })
	m.enter(0, []string{"mail", "list", "--state", "rejected"}, gone.quote, "550")
	m.enter(3, []string{"check", "gap"}, gone.quote)
	m.enter(0, []string{"explain", gone.quote, "--why-no-email"}, "550")
	m.say("**Repaired.** The mailbox is there again. No mail goes twice by itself, so an operator has it sent once more, with a reason.")
	w.mail.Refuse(nil)
	m.enter(0, []string{"mail", "resend", gone.quote, "--reason", "the mailbox is there again"})
	m.enter(0, []string{"mail", "show", gone.quote}, "rejected", "sent")
}

// allIsWell: the end that every drill must have.
func (w *world) allIsWell() {
	m := w.terminal
	w.delivered()
	m.say("## The end")
	m.enter(0, []string{"check", "conservation"})
	m.enter(0, []string{"rebuild", "--verify"})
	m.enter(0, []string{"reconcile", "report", "--grace", "0s"}, "no difference")
	m.enter(0, []string{"check", "gap"})
	m.enter(0, []string{"check", "lag"})
	m.enter(0, []string{"dead", "list"}, "no dead letters match")
	if lost := w.unpaid(w.sales); len(lost) > 0 {
		w.t.Errorf("%d of %d quotes are not paid", len(lost), len(w.sales))
	}
	for _, s := range w.sales {
		if n := len(w.mail.To(s.owner)); n != 1 {
			w.t.Errorf("%d mails to the owner of %s, want 1", n, s.quote)
		}
	}
	if w.mail.Total() != len(w.sales) {
		w.t.Errorf("%d mails for %d paid quotes", w.mail.Total(), len(w.sales))
	}
	m.say("%d quotes are paid, and each owner has one mail. What was done stands in the journal:", len(w.sales))
	m.enter(0, []string{"journal", "list"})
	m.enter(0, []string{"journal", "verify"})
	var entries []struct{ Action, Reason, Who string }
	m.read(&entries, 0, "journal", "list", "--limit", "0")
	if len(entries) != 8 { // two letters were given up one by one
		w.t.Errorf("%d journal entries, want 8: %+v", len(entries), entries)
	}
	for _, action := range []string{"reconcile_repair", "dead_retry", "dead_discard", "rebuild_switch", "replay_start", "replay_end", "mail_resend"} {
		if !slices.ContainsFunc(entries, func(e struct{ Action, Reason, Who string }) bool {
			return e.Action == action && e.Reason != "" && e.Who != ""
		}) {
			w.t.Errorf("the journal has no %s with who and why: %+v", action, entries)
		}
	}
	for _, hidden := range []string{first, ours, token, "whsec_", "owner1@", w.sales[len(w.sales)-1].owner, "anna@"} {
		if strings.Contains(m.text.String(), hidden) {
			w.t.Errorf("the transcript holds %q", hidden)
		}
	}
}
