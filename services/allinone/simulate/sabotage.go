package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// sabotage is a world in which one rule does not hold. The production code stays as it is: what it relies on lies.
type sabotage string

const (
	none sabotage = ""
	// transitionOnly: a fact goes out only if this very commit made it true.
	transitionOnly sabotage = "transition-only"
	// ledgerInRedis: what wipes Redis wipes the mail ledger, too.
	ledgerInRedis sabotage = "ledger-in-redis"
	// ackFirst: messages are acknowledged when they are delivered.
	ackFirst sabotage = "ack-first"
	// noLease: who reads the ledger does not see that somebody holds a mail.
	noLease sabotage = "no-lease"
	// frozenClock: a notifier that stood still does not see that its lease is over.
	frozenClock sabotage = "frozen-clock"
	// noBound: who reads the ledger does not see that a mail was sent again already.
	noBound sabotage = "no-bound"
	// blindCommit: facts are written without looking whether somebody else has written.
	blindCommit sabotage = "blind-commit"
)

// sabotages are all of them, with what each takes away.
var sabotages = []struct {
	how  sabotage
	what string
}{
	{transitionOnly, "emission from what is true"},
	{ledgerInRedis, "a mail ledger outside Redis"},
	{ackFirst, "the acknowledgement at the end"},
	{noLease, "the lease of a mail"},
	{frozenClock, "the look at the lease before the mail is sent"},
	{noBound, "the bound on resends"},
	{blindCommit, "compare-and-set"},
}

// check refuses a name that is none.
func (s sabotage) check() error {
	names := make([]string, len(sabotages))
	for i, known := range sabotages {
		names[i] = string(known.how)
	}
	if s != none && !slices.Contains(names, string(s)) {
		return fmt.Errorf("sabotage %q is unknown; there are %s", s, strings.Join(names, ", "))
	}
	return nil
}

// committed looks at each replacement of a quote's facts: they only grow. For transitionOnly it notes what came due by it.
func (w *world) committed(key, before, after string) {
	if w.sabotage != transitionOnly && !w.thorough {
		return
	}
	old, now := decoded(before), decoded(after)
	grown := now.Clone()
	if grown.Merge(old) {
		w.violate("I10 monotone", "%s: a commit has lost facts", key)
	}
	if w.sabotage != transitionOnly {
		return
	}
	_, rest, _ := strings.Cut(key, "{")
	account, id, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ":")
	clear(w.moved)
	for _, e := range quote.Derive(account, now).Due {
		w.moved[event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: id, N: e.N}.String()] = true
	}
	for _, e := range quote.Derive(account, old).Due {
		delete(w.moved, event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: id, N: e.N}.String())
	}
}

func decoded(facts string) quote.Facts {
	if facts == "" {
		return quote.Facts{}
	}
	f, err := quote.DecodeFacts([]byte(facts))
	if err != nil {
		panic(err) // payments wrote them
	}
	return f
}

// seen is what a reader of the mail ledger sees of an entry.
func (w *world) seen(entry []byte) []byte {
	if w.sabotage == noLease {
		return without(entry, "lease_until")
	}
	if w.sabotage == noBound {
		return without(entry, "resends")
	}
	return entry
}

// without takes a member out of a JSON object, if it is not the last one.
func without(value []byte, name string) []byte {
	at := bytes.Index(value, []byte(`"`+name+`":`))
	if at < 0 {
		return value
	}
	end := at + bytes.IndexByte(value[at:], ',')
	return append(bytes.Clone(value[:at]), value[end+1:]...)
}
