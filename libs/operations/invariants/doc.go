// Package invariants judges whether the product has kept its promises, from the outside: it holds the log, Redis, the mail ledger
// and, where they are given, what a tester was answered and what a mail server accepted, against I1 to I9.
//
//	I1  no acknowledged webhook is lost: every id that ingress answered 2xx is in the log, with the same body
//	I2  no event is in the log twice
//	I3  the status and flags of every quote are those of the pure fold
//	I4  every revision that was paid has exactly one quote.paid, with the id that follows from its name
//	I5  there is no quote.paid without a payment that justifies it
//	I6  every quote.paid has its mail: one, and one more at most where an attempt ended without an answer; none without one
//	I7  the facts of every quote in Redis are those of the pure fold, to the last byte
//	I8  what a rebuild from the log would make is what stands in Redis: the roots over all quotes are equal
//	I9  nothing is dropped silently: every message has one outcome, and a dead one its dead letter with its bytes
//
// It writes nothing. Of the rules it knows none: it folds with libs/domain/projection, by way of package rebuild, and accounts
// with package check. What is still on its way is counted, not judged. quotectl calls it, and the tests that break things.
package invariants
