// Package advice has the errors of the operators' tools: what went wrong, of which kind it is, and the next command to type.
//
// It renders nothing: quotectl turns a kind into an exit code, the console into a status. Everything in libs/operations
// returns these where a person can do something about it.
package advice

import (
	"errors"
	"fmt"
)

// Kind says what sort of trouble an Error is.
type Kind int

const (
	// Failed is trouble with a server, a right, a setting.
	Failed Kind = iota
	// Usage means that the question itself was wrong.
	Usage
	// Difference means that what was compared is not equal, or that something is missing.
	Difference
	// Budget means that a limit that the operator set refused the act.
	Budget
	// NotFound means that what was asked for does not exist.
	NotFound
)

// Error is an error with its kind and what to type next. Next may be empty.
type Error struct {
	Kind Kind
	Err  error
	Next string
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// New is trouble of kind Failed, with the next command.
func New(next, format string, args ...any) error { return Of(Failed, next, format, args...) }

// Missing says that what was asked for does not exist.
func Missing(next, format string, args ...any) error { return Of(NotFound, next, format, args...) }

// Of makes an Error of any kind. The format takes %w.
func Of(kind Kind, next, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...), Next: next}
}

// Next is the next command that an error names, or "".
func Next(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Next
	}
	return ""
}
