package projection

// What becomes of a message.
const (
	Applied      = "applied"      // it added facts
	Corroborated = "corroborated" // another kind of message had told the same
	Duplicate    = "duplicate"    // the same kind of message about the same object had told the same
	Ignored      = "ignored"      // nothing of ours
	Parked       = "parked"       // waits for the object that links it to a quote
	Refused      = "refused"      // hostile or impossible; needs a person's eye
	Dead         = "dead"         // cannot be decoded; set aside
)

// Reasons that more than one place has to know.
const (
	ReasonRenewal   = "renewal of a subscription"
	ReasonWaits     = "waits for what links it to a quote"
	ReasonHadWaited = "had waited for its link"
	ReasonTooEarly  = "before its publication"
)

// Outcome is what became of one message.
type Outcome struct {
	Kind   string // one of the constants
	Reason string
	// EventID and Type are of the event, as far as they could be read.
	EventID, Type string
	// Account and Quote name the facts it was folded into; the first of several.
	Account, Quote string
}

// Folded reports whether the message's facts are part of a quote. Which of
// several messages that tell the same is the applied one depends on which came
// first; that one of them was, and all else, does not.
func (o Outcome) Folded() bool {
	return o.Kind == Applied || o.Kind == Corroborated || o.Kind == Duplicate
}

// Stands reports whether o stays the outcome of its message when another is told
// for it: a message that is folded again finds its own facts there, which is no
// news.
func (o Outcome) Stands() bool { return o.Folded() || o.Kind == Refused || o.Kind == Dead }
