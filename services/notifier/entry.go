package notifier

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"quittance.internal/libs/domain/delivery"
)

// State is how far a mail has come.
type State string

// The states of an entry. Sent, rejected, parked and dropped are final: only an operator's resend, which has a key of its own,
// goes on from there.
const (
	// StateClaimed: the mail waits for its next attempt; with a lease, a notifier of before 2026-11-25 prepares it. Nothing has been
	// sent by this attempt.
	StateClaimed State = "claimed"
	// StateSending: the mail may be on the wire. After a crash nobody knows whether it was accepted.
	StateSending State = "sending"
	// StateSent: the server answered 250.
	StateSent State = "sent"
	// StateRejected: it will not be sent: the server refused it for good, or for too long, or our address policy did.
	StateRejected State = "rejected"
	// StateAmbiguous: an attempt ended without an answer; the one resend is due at NotBefore.
	StateAmbiguous State = "ambiguous"
	// StateParked: an attempt ended without an answer, and an operator decides.
	StateParked State = "parked"
	// StateDropped: it will not be sent, and nobody need care: what it would say is no longer so. Of reminders only.
	StateDropped State = "dropped"
)

// Policy says what follows an attempt that ended without an answer.
type Policy string

const (
	// PolicyResend sends the same bytes once more: at most two mails, never none.
	PolicyResend Policy = "resend"
	// PolicyPark sets the mail aside for an operator: at most one mail.
	PolicyPark Policy = "park"
)

// Entry is the value of one key of the ledger, as JSON in the KV bucket MAIL. Operators' tools read it; fields may be
// added, never changed. It holds no personal data: no address, and replies with addresses masked.
type Entry struct {
	State State `json:"state"`
	// Attempts counts the times the mail was about to go over the wire.
	Attempts int `json:"attempts"`
	// Ambiguous counts the attempts that ended without an answer, and Resends those that were sent in spite of it (0 or
	// 1). Mails accepted are at most 1 + Resends.
	Ambiguous int `json:"ambiguous,omitempty"`
	Resends   int `json:"resends,omitempty"`
	// Owner is the attempt that holds the lease: a value that no other attempt has.
	Owner string `json:"owner,omitempty"`
	// LeaseUntil is until when nobody but Owner may act; zero where nobody holds it.
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	// NotBefore is the earliest time of the next attempt.
	NotBefore time.Time `json:"not_before,omitzero"`
	// FirstAt is when the mail was first claimed, UpdatedAt when the entry was last written, AcceptedAt when the server
	// answered 250.
	FirstAt    time.Time `json:"first_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	// DeferredSince is when the server first said "not now" (4xx), zero if it never did.
	DeferredSince time.Time `json:"deferred_since,omitzero"`
	// Template and Refund are what the mail's words depend on beside the two events: the version of the templates and
	// what was known of refunds ("", "some", "full") when it was first claimed.
	Template int    `json:"template"`
	Refund   string `json:"refund,omitempty"`
	// MessageID is without angle brackets, SHA256 the hex digest of the mail's bytes.
	MessageID string `json:"message_id,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	// Code and Reply are the server's last answer; Code is 0 where it gave none.
	Code  int    `json:"code,omitempty"`
	Reply string `json:"reply,omitempty"`
	// Reason tells people why the entry is rejected, parked or dropped.
	Reason string `json:"reason,omitempty"`
	// Sequence is that of the event in QUOTES that the mail tells of.
	Sequence uint64 `json:"sequence"`
}

// Final reports whether nothing will happen any more by itself.
func (e Entry) Final() bool {
	return e.State == StateSent || e.State == StateRejected || e.State == StateParked || e.State == StateDropped
}

// encode writes the entry; its types always encode.
func (e Entry) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("encode ledger entry: %v", err))
	}
	return b
}

// DecodeEntry reads an entry; one of a state that this version does not know is an error, so that an older notifier
// leaves alone what a newer one began.
func DecodeEntry(b []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return Entry{}, fmt.Errorf("decode ledger entry: %w", err)
	}
	switch e.State {
	case StateClaimed, StateSending, StateSent, StateRejected, StateAmbiguous, StateParked, StateDropped:
		return e, nil
	default:
		return Entry{}, fmt.Errorf("decode ledger entry: unknown state %q", e.State)
	}
}

// move is what to do next with an entry.
type move int

const (
	// moveClaim: take the lease and go on to send.
	moveClaim move = iota
	// moveWait: somebody else has the lease, or it is too early.
	moveWait
	// moveUnknown: an attempt was cut off while sending: record that first.
	moveUnknown
	// movePark: an unanswered attempt, and no resend is allowed.
	movePark
	// moveDone: nothing is left to do.
	moveDone
)

// rules are the settings that the life of an entry depends on.
type rules struct {
	policy Policy
	// lease is how long one attempt owns an entry.
	lease time.Duration
	// ambiguousAfter is how long after an unanswered attempt the resend waits.
	ambiguousAfter time.Duration
	// retryFor is for how long a mail is tried that the server puts off (4xx), and retry how long it waits in between.
	retryFor time.Duration
	retry    delivery.Curve
}

// next decides what may be done with the entry at that time, and how long to wait where the answer is moveWait. It is
// the whole protocol of reliability.md §3.2 but for the effects.
//
// A time that a clock far ahead has written must not hold a mail back until that time comes: a lease ends, too, when the entry has
// been seen unchanged for as long as a lease lasts, seen by the reader's own watch; and a wait that no rule of ours makes is none.
func (r rules) next(e Entry, now time.Time, unchanged time.Duration) (move, time.Duration) {
	if e.Final() {
		return moveDone, 0
	}
	if now.Before(e.LeaseUntil) && unchanged < r.lease {
		return moveWait, min(e.LeaseUntil.Sub(now), r.lease-unchanged)
	}
	if e.State == StateSending {
		return moveUnknown, 0
	}
	if e.State == StateAmbiguous && (r.policy == PolicyPark || e.Resends > 0) {
		return movePark, 0
	}
	if wait := e.NotBefore.Sub(now); wait > 0 && wait <= max(r.ambiguousAfter, r.retry.After(math.MaxUint64)) {
		return moveWait, wait
	}
	return moveClaim, 0
}

// unanswered is the entry after an attempt that ended, at that time, without an answer.
func (r rules) unanswered(e Entry, at time.Time, reason string) Entry {
	e.State, e.Ambiguous = StateAmbiguous, e.Ambiguous+1
	e.Owner, e.LeaseUntil = "", time.Time{}
	e.NotBefore, e.Code, e.Reply = at.Add(r.ambiguousAfter), 0, reason
	if r.policy == PolicyPark || e.Resends > 0 {
		return r.parked(e)
	}
	return e
}

func (r rules) parked(e Entry) Entry {
	e.State, e.NotBefore = StateParked, time.Time{}
	e.Owner, e.LeaseUntil = "", time.Time{}
	e.Reason = "no answer after the data; by policy not sent again"
	if e.Resends > 0 {
		e.Reason = "no answer after the data, twice; sent again once already"
	}
	return e
}

// deferred is the entry after the server put the mail off with a 4xx: to be tried later, or, after retryFor, no more.
func (r rules) deferred(e Entry, now time.Time, v verdict) Entry {
	if e.DeferredSince.IsZero() {
		e.DeferredSince = now
	}
	if now.Sub(e.DeferredSince) >= r.retryFor {
		return rejected(e, v.code, v.reply, "put off by the server for too long")
	}
	e = released(e)
	e.Code, e.Reply = v.code, v.reply
	e.NotBefore = now.Add(r.retry.After(uint64(max(e.Attempts, 1))))
	return e
}

// released is the entry given back before anything was sent.
func released(e Entry) Entry {
	e.State, e.Owner, e.LeaseUntil = StateClaimed, "", time.Time{}
	return e
}

func rejected(e Entry, code int, reply, reason string) Entry {
	e.State, e.Code, e.Reply, e.Reason = StateRejected, code, reply, reason
	e.Owner, e.LeaseUntil, e.NotBefore = "", time.Time{}, time.Time{}
	return e
}

func dropped(e Entry, reason string) Entry {
	e.State, e.Reason = StateDropped, reason
	e.Owner, e.LeaseUntil, e.NotBefore = "", time.Time{}, time.Time{}
	return e
}

func accepted(e Entry, now time.Time, v verdict) Entry {
	e.State, e.Code, e.Reply, e.Reason, e.AcceptedAt = StateSent, v.code, v.reply, "", now
	e.Owner, e.LeaseUntil, e.NotBefore = "", time.Time{}, time.Time{}
	return e
}

// claimed is the entry with a new lease. Coming from ambiguous, this is the resend.
func (r rules) claimed(e Entry, now time.Time, owner string) Entry {
	if e.State == StateAmbiguous {
		e.Resends++
	}
	e.State, e.Owner, e.LeaseUntil, e.NotBefore = StateClaimed, owner, now.Add(r.lease), time.Time{}
	return e
}
