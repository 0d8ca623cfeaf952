// Package drill rehearses incidents on the product's real processes: ingress away for an hour, a poison event, an emptied Redis,
// a rotated webhook secret, a mail server that refuses. An operator who has quotectl and nothing else finds, explains and
// repairs each. `make drill` runs it at full size and writes what was typed and answered to docs/drill.md.
//
// It has no code of its own: the files are tests. What must hold under crashes is proved by package proof, what each command
// does by the tests of services/operator.
package drill
