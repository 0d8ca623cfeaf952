package drill_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var httpClient = &http.Client{Timeout: 30 * time.Second}

// unpaid are those of the sales whose quotes quotectl does not list as paid.
func (w *world) unpaid(sales []sale) []sale {
	w.t.Helper()
	paid := map[string]bool{}
	for line := range strings.Lines(w.terminal.must(0, "quotes", "list", "--status", "paid", "--limit", "10000", "-o", "jsonl")) {
		var q struct{ ID string }
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		paid[q.ID] = true
	}
	var rest []sale
	for _, s := range sales {
		if !paid[s.quote] {
			rest = append(rest, s)
		}
	}
	return rest
}

// mailStates says which of the sales has no mail in a state after so many attempts.
func (w *world) mailStates(sales []sale, state string, attempts int) error {
	w.t.Helper()
	for _, s := range sales {
		var mails []struct {
			State    string
			Attempts int
		}
		w.terminal.read(&mails, 0, "mail", "list", "--quote", s.quote)
		if len(mails) != 1 || mails[0].State != state || mails[0].Attempts < attempts {
			return fmt.Errorf("mails of %s: %+v", s.quote, mails)
		}
	}
	return nil
}

// end is a stream's last sequence.
func (w *world) end(stream string) uint64 {
	w.t.Helper()
	s, err := w.log.JetStream().Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// sequenceOf is the place of a Stripe event in the log.
func (w *world) sequenceOf(id string) string {
	w.t.Helper()
	var got struct{ Sequence uint64 }
	w.terminal.read(&got, 0, "events", "get", id)
	if got.Sequence == 0 {
		w.t.Fatalf("events get %s names no sequence", id)
	}
	return fmt.Sprint(got.Sequence)
}

// rebuilt waits until payments has noticed that Redis is empty and folded the log again.
func (w *world) rebuilt() {
	w.t.Helper()
	w.until("payments has folded the log again", func() error {
		if n := len(w.sales); n == 0 {
			return nil
		}
		code, out, errs := w.terminal.run("rebuild", "--verify", "-o", "json")
		if code != 0 {
			return fmt.Errorf("rebuild --verify = %d %s%s", code, out, errs)
		}
		return nil
	})
}

// doctor asks doctor, whose exit code here and now is not ours: what it says of disks and clocks is the machine's business.
func (w *world) doctor(want ...string) {
	w.t.Helper()
	w.terminal.enterForOneOf([]int{0, 3}, []string{"doctor"}, want...)
}
