package natsstream

// ReplaySubject is the core NATS subject on which the payments worker answers a ReplayRequest with a ReplayAnswer, both
// JSON. The operator's tools are the only ones who may publish there.
const ReplaySubject = "op.payments.replay"

// ReplayRequest asks the payments worker to lead one stored message through its steps once more.
type ReplayRequest struct {
	Stream   string `json:"stream"` // STRIPE or QUOTES
	Sequence uint64 `json:"sequence"`
	// Sequences, where Sequence is 0, are several messages of the stream, ascending, at most MaxReplay: the worker takes them
	// as one batch.
	Sequences []uint64 `json:"sequences,omitempty"`
	// Reason is the operator's, for the worker's log.
	Reason string `json:"reason,omitempty"`
}

// MaxReplay is how many messages one ReplayRequest may name.
const MaxReplay = 1000

// ReplayFailure is a message of a batch that has to be tried again: there was trouble with its quote.
type ReplayFailure struct {
	Sequence uint64 `json:"sequence"`
	Error    string `json:"error"`
}

// ReplayAnswer tells what a replay found. Where Error is set, nothing else is.
type ReplayAnswer struct {
	Error string `json:"error,omitempty"`
	// Outcome and Reason are what this replay made of the message; Recorded is the outcome that stands.
	Outcome  string `json:"outcome,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Recorded string `json:"recorded,omitempty"`
	EventID  string `json:"event_id,omitempty"`
	Account  string `json:"account,omitempty"`
	Quote    string `json:"quote,omitempty"`
	// Before and After are the quote's payment status around the replay; Changed says whether any fact was new.
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"`
	Changed bool   `json:"changed"`

	// Of a request for several messages only these are set. Outcomes counts what this replay made of them; Stored are the
	// subjects of the facts that it has published; Failed are to be tried again; Gone are no longer in the log.
	Outcomes map[string]int  `json:"outcomes,omitempty"`
	Stored   []string        `json:"stored,omitempty"`
	Failed   []ReplayFailure `json:"failed,omitempty"`
	Gone     int             `json:"gone,omitempty"`
}

// ParkedSubject is where the payments worker answers a ParkedRequest with a ParkedAnswer, both JSON.
const ParkedSubject = "op.payments.parked"

// ParkedRequest asks the payments worker to fold a Stripe message that waits for its link again, or to wait no longer.
type ParkedRequest struct {
	Sequence uint64 `json:"sequence"`
	// GiveUp makes its outcome ignored. Should its link turn up later, it is folded all the same.
	GiveUp bool `json:"give_up"`
	// Who and Why are the operator's; both are needed.
	Who string `json:"who"`
	Why string `json:"why"`
}

// ParkedAnswer tells what came of it. Where Error is set, nothing else is.
type ParkedAnswer struct {
	Error string `json:"error,omitempty"`
	// Before is the outcome that stood, Outcome and Reason the one that stands now.
	Before  string `json:"before,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Quote   string `json:"quote,omitempty"`
	EventID string `json:"event_id,omitempty"`
}
