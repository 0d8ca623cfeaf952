// Package rebuild proves that Redis holds what the log says, and asks payments to fold the log into a fresh generation of
// keys where it does not.
//
// It writes nothing but temporary files: Verify folds the log part by part (libs/operations/parts), so that a long log takes
// no more memory than a short one, and compares; Switch is a request to payments, the owner of Redis. quotectl calls it.
package rebuild
