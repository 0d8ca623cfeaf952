package cluster_test

import (
	"testing"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/services/allinone/processtest"
)

// network says where the processes of a test are. Every server and every service has a host of its name.
type network interface {
	// address is one on the host, host:port, that nobody listens on.
	address(host string) string
	// place makes a process, which is not started yet and whose arguments are known, one of the host's.
	place(host string, p *processtest.Process)
}

// loopback is the network of all tests that need none: all hosts are this one.
type loopback struct{ tb testing.TB }

func (l loopback) address(string) string { return freeaddr.New(l.tb) }

func (l loopback) place(string, *processtest.Process) {}
