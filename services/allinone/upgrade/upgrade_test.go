//go:build upgrade

package upgrade_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

// order is the runbook's: what reads the log first, what fills it last.
var order = []string{"payments", "notifier", "console", "quotes", "ingress"}

// TestUpgradeAndBackUnderLoad follows the runbook: everything of the earlier version, then of this one, then of the earlier one
// again, one instance after the other, while quotes are made and paid without a pause.
func TestUpgradeAndBackUnderLoad(t *testing.T) {
	old := os.Getenv("UPGRADE_FROM")
	if old == "" {
		t.Fatal("make upgrade FROM=<commit> builds the earlier version and says in UPGRADE_FROM where its checkout is")
	}
	w := newWorld(t, old)
	if _, err := os.Stat(w.binary(before, "console/cmd/console")); err != nil {
		t.Fatalf("%v: the way back ends at a version that has a console", err)
	}
	for _, service := range order {
		w.start(service, 1, before)
	}
	w.start("ingress", 2, before)
	began := time.Now()
	l := w.sell(3)
	l.more(20)

	w.rights("../../..")
	l.more(10) // the old version alone with the new rights
	t.Log(w.quotectl(after, "declare", "--reason", "upgrade"))
	w.over(l, after)
	w.proven("after the upgrade")
	w.over(l, before)
	w.proven("after the way back")
	w.over(l, after)

	sales, faults := l.stop()
	for _, err := range faults {
		t.Error(err)
	}
	w.settled()
	w.proven("at the end")
	w.once(sales)
	t.Logf("%d quotes paid in %s; ingress answered %v, quotes %v", len(sales), time.Since(began).Round(time.Second), w.ingress.answers(), w.quotes.answers())
	for _, i := range w.all {
		if i.Logged("Permissions Violation") || i.Logged("NOPERM") {
			t.Errorf("%s was refused a right", i.Name)
		}
	}
	for status, n := range w.ingress.answers() {
		if status/100 != 2 {
			t.Errorf("ingress answered %d requests with %d", n, status)
		}
	}
	for status, n := range w.quotes.answers() {
		if status >= http.StatusInternalServerError {
			t.Errorf("quotes answered %d requests with %d", n, status)
		}
	}
}

// over brings every instance to a version, with sales while both work, and after each step.
func (w *world) over(l *load, version string) {
	w.t.Helper()
	for _, service := range order {
		for n := 1; n <= 2; n++ {
			if n == 1 || service == "ingress" {
				w.replace(service, n, version, func() { l.more(8) })
				if service == "console" {
					w.look()
				}
				l.more(4)
			}
		}
	}
}

// proven lets this version's quotectl account for every message and compare Redis with the log.
func (w *world) proven(when string) {
	w.t.Helper()
	w.quotectl(after, "check", "conservation")
	out := w.quotectl(after, "rebuild", "--verify")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "compared") {
			w.t.Logf("%s: %s", when, strings.TrimSpace(line))
		}
	}
}

// once wants one quote.paid and one mail for every quote, and no others.
func (w *world) once(sales []sale) {
	w.t.Helper()
	paid := map[string]int{}
	for from := uint64(1); ; {
		records, err := w.log.Scan(w.t.Context(), event.StreamQuotes, from, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if s, ok := event.ParseQuoteSubject(r.Subject); ok && s.Event == event.NamePaid {
				paid[s.Quote]++
			}
		}
		from = records[len(records)-1].Sequence + 1
	}
	for _, s := range sales {
		if paid[s.quote] != 1 {
			w.t.Errorf("%s has %d quote.paid", s.quote, paid[s.quote])
		}
		if mails := w.mail.To(s.owner); len(mails) != 1 {
			w.t.Errorf("the owner of %s has %d mails: %v", s.quote, len(mails), mails)
		}
	}
	if len(paid) != len(sales) || w.mail.Total() != len(sales) {
		w.t.Errorf("%d sales, %d quotes with quote.paid, %d mails", len(sales), len(paid), w.mail.Total())
	}
}
