// Package freeaddr gives tests loopback addresses for servers that must know theirs before they bind it, or that come back to it
// after a restart. A server that can bind port 0 and say which it got does not need it. Only tests import it.
package freeaddr

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The kernel serves port 0 and outgoing connections from 32768 up (Linux; others begin higher), so that nobody but another
// caller of this package takes one of these between now and the server's start. The product's own fixed ports lie below.
const (
	lowest = 20000
	count  = 12000
)

var given struct {
	sync.Mutex
	ports map[int]bool
}

// New returns an address, 127.0.0.1:port, that nobody listens on. A process gets none twice.
func New(tb testing.TB) string {
	tb.Helper()
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = map[int]bool{}
	}
	for range count {
		port := lowest + rand.IntN(count)
		if given.ports[port] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		given.ports[port] = true
		return addr
	}
	tb.Fatalf("no port from %d on is free", lowest)
	return ""
}
