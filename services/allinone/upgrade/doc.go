// Package upgrade follows deploy/runbooks/upgrade.md on real processes under load: from an earlier version to this one, service
// by service, and back. `make upgrade FROM=<commit>` builds the earlier one and runs it.
//
// It holds a test alone, under the build tag upgrade: without an earlier version there is nothing to run, and `make check` has none.
package upgrade
