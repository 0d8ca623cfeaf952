// Package upgrade follows deploy/runbooks/upgrade.md on real processes under load: from an earlier version to this one, service
// by service, and back. `make upgrade FROM=<commit>` builds the earlier one and runs it; without its binaries the test is skipped.
//
// It holds a test alone.
package upgrade
