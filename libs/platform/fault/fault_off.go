//go:build !faults

// Package fault names the points at which the crash proof kills a process.
//
// In a normal build Hit does nothing and is inlined away. Built with -tags faults, the environment variable
// FAULT=<point>:<n> makes the n-th Hit of that point kill the process with SIGKILL: no deferred call, no flush, nothing
// of Go's own runs afterwards. Services call Hit before and after each effect; only the crash test builds with the tag.
package fault

// Hit marks a fault point. Names are <service>.<moment>, for example "payments.after-commit".
func Hit(string) {}
