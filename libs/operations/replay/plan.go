package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/operations/selection"
)

// Version is the number of the layout of stored plans.
const Version = 1

// MaxMessages is how many messages one plan may hold: the fold keeps what they say in memory.
const MaxMessages = 500_000

// Side is what payments shows of a quote on an account. It is zero where nothing is known.
type Side struct {
	Status string `json:"status,omitempty"`
	Flags  string `json:"flags,omitempty"` // sorted, joined by commas
	Digest string `json:"digest,omitempty"`
}

// What becomes of a mail.
const (
	// MailFirst: quote.paid is new, so that the notifier sends the one mail that is owed.
	MailFirst = "goes: quote.paid is new"
	// MailAgain: it was asked for with --resend-email.
	MailAgain = "goes: sent once more"
	// The others are held back.
	HeldSent     = "held back: sent already"
	HeldRejected = "held back: it was rejected; only --resend-email sends it"
	HeldParked   = "held back: its end is not known; only --resend-email sends it"
	HeldUnderWay = "held back: the notifier is at it"
	HeldOften    = "held back: sent again too often"
	HeldNone     = "none: nothing was paid"
)

// Mail is what becomes of the mail about a quote.
type Mail struct {
	// Key is that of the entry in the mail ledger that this mail has, or would have.
	Key  string `json:"key,omitempty"`
	What string `json:"what"` // one of the Mail and Held constants

	seller, quote    string
	revision, number int
}

// Goes reports whether a mail is sent.
func (m Mail) Goes() bool { return m.What == MailFirst || m.What == MailAgain }

// Quote is what a replay does to one quote on one account.
type Quote struct {
	Account string `json:"account"`
	Quote   string `json:"quote"`
	Before  Side   `json:"before"`
	After   Side   `json:"after"`
	// Facts are the subjects that would be published.
	Facts []string `json:"facts,omitempty"`
	// Superseded are facts that would be due and that a newer revision in the log forbids.
	Superseded []string `json:"superseded,omitempty"`
	Mails      []Mail   `json:"mails"`
}

// Changes reports whether anything but a mail follows.
func (q Quote) Changes() bool { return q.Before != q.After || len(q.Facts) > 0 }

// Acts reports whether anything follows.
func (q Quote) Acts() bool { return q.Changes() || slices.ContainsFunc(q.Mails, Mail.Goes) }

func (q Quote) name() string { return q.Account + "/" + q.Quote }

// Totals sum a plan up.
type Totals struct {
	Messages int `json:"messages"`
	// Outcomes counts what folding makes of the messages: "folded" is what is or becomes part of a quote.
	Outcomes map[string]int `json:"outcomes"`
	// Undecided are the messages that payments has not come to yet, and Gone those that the log no longer holds.
	Undecided int `json:"undecided"`
	Gone      int `json:"gone"`
	// Quotes are the pairs of account and quote that the messages bear on, Changed those of them that would change.
	Quotes  int `json:"quotes"`
	Changed int `json:"changed"`
	// Facts counts what would be published, by event.
	Facts map[string]int `json:"facts"`
	// Mails is how many would go, Held why others would not.
	Mails int            `json:"mails"`
	Held  map[string]int `json:"held"`
}

// Plan is a frozen selection and what replaying it would do.
type Plan struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	// ResendEmail says that the mail about each paid quote is to be sent once more.
	ResendEmail bool   `json:"resend_email"`
	Totals      Totals `json:"totals"`
	// Selection is what was frozen; Hash of it is over the sequences.
	Selection selection.Frozen `json:"selection"`
	// Quotes are all that something would happen to, by account and id, and some of the others.
	Quotes []Quote `json:"quotes"`
	// AccountFacts are facts about Stripe accounts that would be published.
	AccountFacts []string `json:"account_facts,omitempty"`
	TookMS       int64    `json:"took_ms"`
}

// listed is how many quotes to which nothing happens a plan shows.
const listed = 50

// planOf sums a prediction up.
func planOf(z selection.Frozen, p *prediction) *Plan {
	plan := &Plan{Version: Version, Selection: z, Quotes: []Quote{}, AccountFacts: p.accountFacts, Totals: Totals{
		Messages: len(z.Sequences), Outcomes: map[string]int{}, Facts: map[string]int{}, Held: map[string]int{}, Quotes: len(p.quotes),
		Undecided: p.undecided, Gone: p.gone,
	}}
	t := &plan.Totals
	for _, kind := range p.outcomes {
		t.Outcomes[kind]++
	}
	idle := 0
	for _, q := range p.quotes {
		if q.Changes() {
			t.Changed++
		}
		for _, subject := range q.Facts {
			t.Facts[eventOf(subject)]++
		}
		for _, m := range q.Mails {
			if m.Goes() {
				t.Mails++
			} else {
				t.Held[m.What]++
			}
		}
		if !q.Acts() {
			if idle++; idle > listed {
				continue
			}
		}
		plan.Quotes = append(plan.Quotes, q)
	}
	for _, subject := range p.accountFacts {
		t.Facts[eventOf(subject)]++
	}
	return plan
}

// eventOf is "quote.paid" of quote.paid.main.q_1.1.
func eventOf(subject string) string {
	parts := strings.SplitN(subject, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// drift says how what a replay would do now differs from what was planned; "" when it does not. A replay that was begun may
// have done a part of it already.
func (p *Plan) drift(now *prediction, begun bool) []string {
	planned := map[string]Quote{}
	for _, q := range p.Quotes {
		if q.Acts() {
			planned[q.name()] = q
		}
	}
	var all []string
	for _, q := range now.quotes {
		was, ok := planned[q.name()]
		delete(planned, q.name())
		switch {
		case !q.Acts() && (begun || !ok):
		case !ok:
			all = append(all, fmt.Sprintf("%s: nothing was to happen to it, and now %s", q.name(), q.text()))
		case !was.covers(q, begun):
			all = append(all, fmt.Sprintf("%s: was to be %s, would now be %s", q.name(), was.text(), q.text()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(planned)) {
		if !begun {
			all = append(all, name+": is not touched any more")
		}
	}
	for _, subject := range now.accountFacts {
		if !slices.Contains(p.AccountFacts, subject) {
			all = append(all, subject+" was not to be published")
		}
	}
	return all
}

// covers reports whether now is what was planned, or, once begun, what is left of it.
func (q Quote) covers(now Quote, begun bool) bool {
	if !begun && (q.Before != now.Before || len(q.Facts) != len(now.Facts) || len(goingOf(q.Mails)) != len(goingOf(now.Mails))) {
		return false
	}
	if now.Changes() && q.After != now.After {
		return false
	}
	return subset(now.Facts, q.Facts) && subset(goingOf(now.Mails), goingOf(q.Mails))
}

// text is what happens to a quote in a few words.
func (q Quote) text() string {
	parts := []string{dash(q.Before.Status) + " → " + dash(q.After.Status)}
	if q.Before == q.After {
		parts[0] = "unchanged"
	}
	for _, f := range q.Facts {
		parts = append(parts, "publish "+f)
	}
	for _, key := range goingOf(q.Mails) {
		parts = append(parts, "mail "+key)
	}
	return strings.Join(parts, ", ")
}

func goingOf(mails []Mail) []string {
	var keys []string
	for _, m := range mails {
		if m.Goes() {
			keys = append(keys, m.Key)
		}
	}
	return keys
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
