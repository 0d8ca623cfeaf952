// Package policyfile reads the policy that POLICY_FILE names. The rules
// themselves, and the policy that is built in, are in package quote; quotes and
// payments read the same file, so that what one lets be paid the other takes.
package policyfile

import (
	"os"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
)

// FromEnv is the policy of POLICY_FILE, the built-in one where that is not set. A
// file that cannot be used is a fault of r.
func FromEnv(r *env.Reader) *quote.Policy {
	path := r.String("POLICY_FILE", "")
	if path == "" {
		return quote.DefaultPolicy()
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the environment
	if err != nil {
		r.Fault("POLICY_FILE", "%w", err)
		return nil
	}
	p, err := quote.DecodePolicy(b)
	if err != nil {
		r.Fault("POLICY_FILE", "%w", err)
	}
	return p
}
