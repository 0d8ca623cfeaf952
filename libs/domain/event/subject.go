package event

import (
	"strconv"
	"strings"
)

// maxToken bounds a token of a subject that somebody else chose.
const maxToken = 128

// ValidToken reports whether s may stand as one token of a subject:
// [A-Za-z0-9_]{1,128}. Seller, quote and Stripe ids are such tokens.
func ValidToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return true
}

// ValidType reports whether s may stand as the type of a Stripe event: tokens
// joined by single dots, 128 bytes at most.
func ValidType(s string) bool {
	if len(s) > maxToken {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if !ValidToken(token) {
			return false
		}
	}
	return true
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// StripeSubject names one Stripe event on the STRIPE stream.
type StripeSubject struct {
	Mode    string // ModeTest or ModeLive
	Account string // Platform, or acct_…
	EventID string
	Type    string // with dots, as Stripe writes it
}

// String is the subject, stripe.<mode>.<account>.<event id>.<type>; empty, which
// no server takes, when a part is not a valid token. Two different values never
// share a subject.
func (s StripeSubject) String() string {
	if !s.valid() {
		return ""
	}
	return "stripe." + s.Mode + "." + s.Account + "." + s.EventID + "." + s.Type
}

func (s StripeSubject) valid() bool {
	return (s.Mode == ModeTest || s.Mode == ModeLive) && ValidToken(s.Account) && ValidToken(s.EventID) && ValidType(s.Type)
}

// ParseStripeSubject is the inverse of StripeSubject.String. It is false for
// everything else, also for the subjects of unreadable and conflicting events.
func ParseStripeSubject(subject string) (StripeSubject, bool) {
	parts := strings.SplitN(subject, ".", 5)
	if len(parts) != 5 || parts[0] != "stripe" {
		return StripeSubject{}, false
	}
	s := StripeSubject{Mode: parts[1], Account: parts[2], EventID: parts[3], Type: parts[4]}
	if !s.valid() {
		return StripeSubject{}, false
	}
	return s, true
}

// UnreadableSubject is where a signed body goes whose id, type or account is
// missing or no valid token; sha is the hex SHA-256 of the body.
func UnreadableSubject(sha string) string { return join("stripe.unreadable", sha) }

// ConflictSubject is where an event goes whose id is taken by another one; hash
// is hex and tells several of them apart.
func ConflictSubject(mode, account, eventID, hash string) string {
	return join("stripe.conflict", mode, account, eventID, hash)
}

// The names of the quote's events: the first token of their subjects after
// "quote.", and with that prefix the type of the envelope.
const (
	// Commands.
	NameDrafted   = "drafted"   // n = version
	NamePublished = "published" // n = revision
	NameRecalled  = "recalled"  // n = revision
	NameExpired   = "expired"   // n = revision
	// n = revision and attempt, such as 2_1.
	NameCheckoutRequested = "checkout_requested"
	NameCheckoutOpened    = "checkout_opened"
	// Facts.
	NamePaid              = "paid"               // n = revision
	NamePaymentProcessing = "payment_processing" // n = id of the session, intent or charge
	NamePaymentFailed     = "payment_failed"     // n = id of the charge or session
	NameRefunded          = "refunded"           // n = id of the intent, invoice or session
	NameDisputed          = "disputed"           // n = id of the dispute
	NameDuplicatePayment  = "duplicate_payment"  // n = revision
	NameExpiring          = "expiring"           // n = revision
)

// QuoteSubject names one event of a quote on the QUOTES stream.
type QuoteSubject struct {
	Event  string // one of the Name constants; a newer version may write others
	Seller string
	Quote  string
	N      string // which one of its kind: version, revision or Stripe object
}

// LiveSubject is the core subject on which the server repeats every event of a
// name as it is stored, without a guarantee: for listeners who look the truth up.
func LiveSubject(name string) string { return "quote." + name }

// String is the subject, quote.<event>.<seller>.<quote>.<n>; empty, which no
// server takes, when a part is not a valid token. Two different values never
// share a subject.
func (s QuoteSubject) String() string {
	return join("quote", s.Event, s.Seller, s.Quote, s.N)
}

// Number is N as a version or revision; false when it is not one.
func (s QuoteSubject) Number() (int, bool) {
	n, err := strconv.Atoi(s.N)
	if err != nil || n < 1 || strconv.Itoa(n) != s.N {
		return 0, false
	}
	return n, true
}

// ParseQuoteSubject is the inverse of QuoteSubject.String; false for everything
// else.
func ParseQuoteSubject(subject string) (QuoteSubject, bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 5 || parts[0] != "quote" {
		return QuoteSubject{}, false
	}
	for _, token := range parts[1:] {
		if !ValidToken(token) {
			return QuoteSubject{}, false
		}
	}
	return QuoteSubject{Event: parts[1], Seller: parts[2], Quote: parts[3], N: parts[4]}, true
}

// QuoteFilter matches every event of one quote: the aggregate over which
// commands expect the last sequence. Empty when an id is not a valid token, so
// that a wildcard can never be smuggled in.
func QuoteFilter(seller, quote string) string {
	if !ValidToken(seller) || !ValidToken(quote) {
		return ""
	}
	return "quote.*." + seller + "." + quote + ".*"
}

// SellerSubject is seller.<event>.<seller>.<n> on the SELLERS stream; empty
// when a part is not a valid token.
func SellerSubject(event, seller, n string) string { return join("seller", event, seller, n) }

// DeadSubject is where a consumer sets a message of a stream aside for the
// round-th time: dead.<consumer>.<stream>.<sequence>.<round>.
func DeadSubject(consumer, stream string, sequence uint64, round int) string {
	return join("dead", consumer, stream, strconv.FormatUint(sequence, 10), strconv.Itoa(round))
}

// DeadStateSubject is where the n-th decision about a dead letter lies, from 1:
// deadstate.<consumer>.<stream>.<sequence>.<n>.
func DeadStateSubject(consumer, stream string, sequence uint64, n int) string {
	return join("deadstate", consumer, stream, strconv.FormatUint(sequence, 10), strconv.Itoa(n))
}

// DeadLetter names a dead letter, or a decision about one, on the DEAD stream.
type DeadLetter struct {
	Consumer, Stream string
	Sequence         uint64 // of the message that was set aside, in Stream
	N                int    // round of the letter, or number of the decision
	Decision         bool
}

// ParseDeadSubject is the inverse of DeadSubject and DeadStateSubject; false for
// everything else.
func ParseDeadSubject(subject string) (DeadLetter, bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 5 || parts[0] != "dead" && parts[0] != "deadstate" || !ValidToken(parts[1]) || !ValidToken(parts[2]) {
		return DeadLetter{}, false
	}
	sequence, err := strconv.ParseUint(parts[3], 10, 64)
	if err != nil || sequence == 0 {
		return DeadLetter{}, false
	}
	n, err := strconv.Atoi(parts[4])
	if err != nil || n < 1 {
		return DeadLetter{}, false
	}
	d := DeadLetter{Consumer: parts[1], Stream: parts[2], Sequence: sequence, N: n, Decision: parts[0] == "deadstate"}
	written := DeadSubject(d.Consumer, d.Stream, d.Sequence, d.N)
	if d.Decision {
		written = DeadStateSubject(d.Consumer, d.Stream, d.Sequence, d.N)
	}
	return d, written == subject // a number has one spelling
}

// JournalSubject is journal.<action> on the JOURNAL stream.
func JournalSubject(action string) string { return join("journal", action) }

// join puts a subject together; empty when a token is not valid.
func join(prefix string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, token := range tokens {
		if !ValidToken(token) {
			return ""
		}
		b.WriteByte('.')
		b.WriteString(token)
	}
	return b.String()
}
