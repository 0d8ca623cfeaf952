// Package replay says what folding stored messages again would change, and has it done.
//
// A plan freezes a selection of messages and folds them into a copy of what Redis holds of the quotes that they bear on, with
// the very fold that payments is specified by (libs/domain/projection). Planner makes it, Store keeps it in the bucket
// REPLAYS, without personal data. Runner carries it out: it refuses what goes beyond the budgets and what no longer holds,
// asks payments to fold the messages again, at a rate, asks the notifier for mails only where the plan says so, and compares
// what came of it with what was planned.
//
// It writes plans and the journal and nothing else: payments is the only writer of Redis and of facts, the notifier the only
// one that mails. quotectl and the console call it.
package replay
