// Package rebuild proves that Redis holds what the log says, and asks payments to fold the log into a fresh generation of
// keys where it does not.
//
// It writes nothing: Verify folds the log in memory (libs/domain/projection) and compares; Switch is a request to payments,
// the owner of Redis. quotectl and the console call it.
package rebuild
