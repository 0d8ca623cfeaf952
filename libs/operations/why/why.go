// Package why explains an absence: why a quote is not paid, why no mail went out. It walks the chain of what must happen,
// link by link, and names the first that is missing, with the next command.
//
// Paid and Mailed judge a Situation and are pure; Gatherer puts one together from the log, the projection, the consumers and
// the mail ledger. It changes nothing and cannot see what lies at Stripe alone. quotectl and the console call it.
package why

import (
	"fmt"
	"strings"
	"time"

	"quittance.internal/libs/operations/signatures"
)

// Step is one link of the chain.
type Step struct {
	Link  string `json:"link"`
	Holds bool   `json:"holds"`
	// Unknown: nothing tells whether it holds; it is passed over.
	Unknown bool   `json:"unknown,omitempty"`
	Detail  string `json:"detail"`
}

// Answer names the first link that is missing.
type Answer struct {
	Quote    string `json:"quote"`
	Question string `json:"question"` // not_paid or no_email
	// Missing is that link; empty when none is.
	Missing string `json:"missing"`
	// Because says what is known of it, in a sentence, and Next what to type.
	Because string `json:"because"`
	Next    string `json:"next"`
	// Steps are the links up to the missing one.
	Steps []Step `json:"steps"`
}

// Situation is what is known about a quote. Empty members mean that there is no such thing.
type Situation struct {
	Quote  string
	Exists bool // any message of its own
	// Lifecycle is draft, published, recalled or expired, at this moment; Revision the last published one.
	Lifecycle string
	Revision  int
	ExpiresAt time.Time
	// StripeOff: payment by Stripe is not switched on in the published document.
	StripeOff bool
	// Refusals keep the quote from being checked out: policy and connection.
	Refusals []string
	// Checkouts are how often a customer asked for one; Session is the newest that was opened, and SessionEnds when it ends.
	Checkouts   int
	Session     string
	SessionEnds time.Time
	// OfferedAt is since when it may have been paid: the first checkout of the revision, or else its publication.
	OfferedAt time.Time
	// Signatures are ingress's figures, nil where they cannot be read, which NoSignatures then explains.
	Signatures   *signatures.Figures
	NoSignatures string
	// Events are the Stripe events that bear on the quote.
	Events int
	// Aside are messages that name the quote and were refused, set aside or ignored: why, and as explain takes them.
	Aside []Aside
	// InFlight are messages that name the quote and that payments has not come to; Unseen are others that wait behind so many
	// that nobody looked whether they name it.
	InFlight, Unseen uint64
	// Status and Flags are those of its payments.
	Status string
	Flags  []string
	// PaidFact is the place of quote.paid of the last revision in the log; PaidDue says that it must be there.
	PaidFact string
	PaidDue  bool
	// NotifierBehind: the notifier has not come to quote.paid.
	NotifierBehind bool
	NotifierDead   string // why it set quote.paid aside
	Mail           *Mail  // the ledger's entry
	Now            time.Time
}

// Aside is a message that did not become a fact.
type Aside struct {
	Ref, Outcome, Reason string
}

// Mail is an entry of the ledger.
type Mail struct {
	Key, State string
	Code       int
	Reply      string
	Reason     string
	Attempts   int
	NotBefore  time.Time
	SentAt     time.Time
}

// walk collects the links.
type walk struct {
	Answer
	done bool
}

// holds adds a link; the first that does not hold ends the walk.
func (w *walk) holds(ok bool, link, detail, because, next string) {
	if w.done {
		return
	}
	w.Steps = append(w.Steps, Step{Link: link, Holds: ok, Detail: detail})
	if !ok {
		w.done = true
		w.Steps[len(w.Steps)-1].Detail = because
		w.Missing, w.Because, w.Next = link, because, next
	}
}

// unknown adds a link of which nothing is known, and passes over it.
func (w *walk) unknown(link, detail string) {
	if !w.done {
		w.Steps = append(w.Steps, Step{Link: link, Unknown: true, Detail: detail})
	}
}

// Paid says why the quote is not paid.
func Paid(s Situation) Answer {
	w := &walk{Answer: Answer{Quote: s.Quote, Question: "not_paid"}}
	s.paid(w)
	if !w.done {
		w.Because, w.Next = "nothing is missing: the quote is "+s.Status, "quotectl explain "+s.Quote
	}
	return w.Answer
}

// explain is the command that always helps.
func (s *Situation) explain() string { return "quotectl explain " + s.Quote }

func (s *Situation) paid(w *walk) {
	w.holds(s.Exists, "the quote exists", "", "the log has no quote of that name", "quotectl quotes list")
	w.holds(s.Revision > 0, "it is published", fmt.Sprintf("revision %d", s.Revision), "it was never published: it is a draft",
		"curl -X POST $QUOTES_URL/v1/quotes/"+s.Quote+"/publish -H \"Authorization: Bearer $API_TOKEN\"")
	if s.settledSomehow() {
		return
	}
	if s.Events == 0 && s.InFlight == 0 && len(s.Aside) == 0 {
		s.notBegun(w)
		return
	}
	s.begun(w)
}

// settledSomehow reports whether the money came.
func (s *Situation) settledSomehow() bool {
	switch s.Status {
	case "paid", "refunded", "charged_back":
		return true
	}
	return false
}

// notBegun: no event of Stripe's bears on the quote.
func (s *Situation) notBegun(w *walk) {
	switch s.Lifecycle {
	case "recalled":
		w.holds(false, "it is offered", "", fmt.Sprintf("revision %d was recalled", s.Revision), s.explain())
	case "expired":
		w.holds(false, "it is offered", "", "it expired at "+s.ExpiresAt.UTC().Format(time.RFC3339), s.explain())
	case "draft":
		w.holds(false, "it is offered", "", fmt.Sprintf("it was edited since revision %d and not published again", s.Revision), s.explain())
	}
	w.holds(!s.StripeOff, "it is to be paid by Stripe", "", "payment by Stripe is switched off in the published revision", "quotectl quotes get "+s.Quote)
	w.holds(len(s.Refusals) == 0, "policy and connection let it be paid", "", strings.Join(s.Refusals, "; "), "quotectl policy check "+s.Quote)
	w.holds(s.Checkouts > 0, "the customer has checked out", fmt.Sprintf("%d times", s.Checkouts), "nobody has clicked Check out", "quotectl quotes get "+s.Quote)
	w.holds(s.Session != "", "a Checkout Session was opened", s.Session,
		"Check out was clicked and no session came of it: Stripe was not reachable, or refused", s.explain())
	s.webhooks(w)
	s.worked(w)
	ended := !s.SessionEnds.IsZero() && s.Now.After(s.SessionEnds)
	w.holds(!ended, "the session is open", "until "+s.SessionEnds.UTC().Format(time.RFC3339),
		"session "+s.Session+" ended at "+s.SessionEnds.UTC().Format(time.RFC3339)+" and no event of it came: the customer did not pay, or events are lost",
		"quotectl reconcile report")
	w.holds(false, "Stripe has told of a payment", "",
		"session "+s.Session+" is open and no event has come. What the customer does at Stripe is not seen here; if Stripe shows a payment, its events are missing", "quotectl reconcile report")
}

// begun: there are events, and the quote is not paid.
func (s *Situation) begun(w *walk) {
	s.worked(w)
	if s.Status == "review" {
		w.holds(false, "the payment is what was asked for", "", "a payment needs review: "+s.reviewReason(), s.explain())
	}
	s.webhooks(w)
	if s.Status == "processing" {
		w.holds(false, "the money has come", "", "a payment is processing: a delayed method takes days until Stripe says that it succeeded", s.explain())
	}
	for _, a := range s.Aside {
		next := "quotectl explain " + a.Ref
		if a.Outcome == "dead" {
			next = "quotectl dead list"
		}
		w.holds(false, "every event of it became a fact", "", a.Ref+" is "+a.Outcome+": "+a.Reason, next)
	}
	if s.has("attempt_failed") {
		w.holds(false, "an attempt to pay has succeeded", "", "the last attempt failed; the customer can try again", s.explain())
	}
	w.holds(false, "a payment was settled", "", fmt.Sprintf("%d events bear on it and none says that money came", s.Events), "quotectl reconcile report")
}

// worked looks whether payments has come to everything that may be of the quote.
func (s *Situation) worked(w *walk) {
	const link = "payments has worked on every message"
	switch {
	case s.InFlight > 0:
		w.holds(false, link, "", fmt.Sprintf("payments has not come to %d messages yet", s.InFlight), "quotectl check conservation")
	case s.Unseen > 0:
		w.holds(false, link, "", fmt.Sprintf("payments is far behind: %d messages wait beyond those that were looked through for this quote", s.Unseen), "quotectl check lag")
	default:
		w.holds(true, link, "", "", "")
	}
}

func (s *Situation) has(flag string) bool {
	for _, f := range s.Flags {
		if f == flag {
			return true
		}
	}
	return false
}

func (s *Situation) reviewReason() string {
	switch {
	case s.has("mismatch"):
		return "another amount or currency than the revision asked for"
	case s.has("superseded"):
		return "it paid a revision that a newer one has replaced"
	}
	return strings.Join(s.Flags, ", ")
}

// Mailed says why no mail went out.
func Mailed(s Situation) Answer {
	w := &walk{Answer: Answer{Quote: s.Quote, Question: "no_email"}}
	s.paid(w)
	if !w.done {
		w.holds(true, "it is paid", s.Status, "", "")
	}
	s.mailed(w)
	if !w.done {
		w.Because = "nothing is missing: the mail server accepted it"
		if s.Mail != nil && !s.Mail.SentAt.IsZero() {
			w.Because += " at " + s.Mail.SentAt.UTC().Format(time.RFC3339)
		}
		w.Next = s.explain()
	}
	return w.Answer
}

func (s *Situation) mailed(w *walk) {
	switch {
	case s.PaidFact != "":
		w.holds(true, "quote.paid is in the log", s.PaidFact, "", "")
	case s.PaidDue:
		w.holds(false, "quote.paid is in the log", "", "it is due and was not published: payments is stopped, or cannot publish", "look at payments' /readyz and log")
	default:
		w.holds(false, "quote.paid is in the log", "", "the payment does not count for the newest revision, so none is due", s.explain())
	}
	w.holds(s.NotifierDead == "", "the notifier can use it", "", "the notifier set it aside: "+s.NotifierDead, "quotectl dead list")
	w.holds(s.Mail != nil || !s.NotifierBehind, "the notifier has come to it", "", "the notifier is behind: it is stopped, or waits for the mail server",
		"quotectl subscribers lag")
	w.holds(s.Mail != nil, "the ledger has the mail", "", "the notifier is past quote.paid and the ledger has no entry", "quotectl mail list")
	if w.done {
		return
	}
	s.ledger(w)
}

func (s *Situation) ledger(w *walk) {
	m := s.Mail
	reply := strings.TrimSpace(fmt.Sprintf("%d %s", m.Code, m.Reply))
	if m.Code == 0 {
		reply = strings.TrimSpace(m.Reply + " " + m.Reason)
	}
	show := "quotectl mail show " + m.Key
	switch m.State {
	case "sent":
		w.holds(true, "the mail server accepted it", reply, "", "")
	case "claimed":
		because := fmt.Sprintf("it waits for its next attempt after %d", m.Attempts)
		if !m.NotBefore.IsZero() {
			because += ", not before " + m.NotBefore.UTC().Format(time.RFC3339)
		}
		w.holds(false, "the mail server accepted it", "", strings.TrimRight(because+": "+reply, ": "), show)
	case "sending":
		w.holds(false, "the mail server accepted it", "", "it may be on the wire at this moment, or the notifier crashed while it was", show)
	case "ambiguous":
		w.holds(false, "the mail server accepted it", "", "an attempt ended without an answer; it is sent once more not before "+m.NotBefore.UTC().Format(time.RFC3339), show)
	case "parked":
		w.holds(false, "the mail server accepted it", "", "an attempt ended without an answer, and an operator decides", "quotectl mail resend "+s.Quote+` --reason "…"`)
	default:
		w.holds(false, "the mail server accepted it", "", "it is "+m.State+": "+reply, "quotectl mail resend "+s.Quote+` --reason "…"`)
	}
}
