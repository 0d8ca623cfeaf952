//go:build partition

package cluster_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"quittance.internal/services/allinone/processtest"
)

// nowhere is a link address that no host has. What is sent to it is lost without a word, as behind a cut cable: no answer, no RST,
// no ICMP, and no error for the sender. It needs nothing of the kernel but network namespaces.
const nowhere = "02:00:00:00:00:99"

// hosts are network namespaces on one bridge. The test itself is on it too, as the host outside.
type hosts struct {
	tb    testing.TB
	names []string
	used  map[string]int // host → ports given
	lost  map[wire]bool
}

// wire is the way from one host to another.
type wire struct{ from, to string }

// newHosts makes the hosts. It works only in a network namespace of its own, with a mount namespace of its own: so nothing of the
// machine is touched, and what is made here ends with the test, whatever becomes of it.
func newHosts(tb testing.TB, names ...string) *hosts {
	tb.Helper()
	links, err := net.Interfaces()
	if err != nil {
		tb.Fatal(err)
	}
	if os.Getuid() != 0 || len(links) != 1 {
		tb.Fatalf("this changes the network (%d links): run it as root, in namespaces of its own: sudo make partition", len(links))
	}
	h := &hosts{tb: tb, names: names, used: map[string]int{}, lost: map[wire]bool{}}
	h.sh("mkdir", "-p", "/run/netns")
	h.sh("mount", "-t", "tmpfs", "none", "/run/netns") // else the names of the namespaces would stay
	h.sh("ip", "link", "set", "lo", "up")
	h.sh("ip", "link", "add", "hub", "type", "bridge")
	h.sh("ip", "addr", "add", h.ip(outside)+"/24", "dev", "hub")
	h.sh("ip", "link", "set", "hub", "up")
	for i, name := range names {
		plug := fmt.Sprint("plug", i)
		h.sh("ip", "netns", "add", name)
		h.sh("ip", "link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", name)
		h.sh("ip", "link", "set", plug, "master", "hub", "up")
		h.sh("ip", "-n", name, "link", "set", "lo", "up")
		h.sh("ip", "-n", name, "addr", "add", h.ip(name)+"/24", "dev", "eth0")
		h.sh("ip", "-n", name, "link", "set", "eth0", "up")
	}
	return h
}

func (h *hosts) sh(command ...string) {
	h.tb.Helper()
	if out, err := exec.CommandContext(h.tb.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		h.tb.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

func (h *hosts) ip(host string) string {
	for i, name := range h.names {
		if name == host {
			return fmt.Sprint("10.88.0.", i+1)
		}
	}
	return "10.88.0.254"
}

// address implements network.
func (h *hosts) address(host string) string {
	h.used[host]++
	return net.JoinHostPort(h.ip(host), fmt.Sprint(7000+h.used[host]))
}

// place implements network.
func (h *hosts) place(host string, p *processtest.Process) {
	p.Path, p.Args = "/usr/bin/env", append([]string{"ip", "netns", "exec", host, p.Path}, p.Args...)
}

// lose lets everything be lost on the way from each of some hosts to each of others, until heal.
func (h *hosts) lose(from, to []string) {
	h.tb.Helper()
	for _, a := range from {
		for _, b := range to {
			if a == b || h.lost[wire{a, b}] {
				continue
			}
			h.neighbour("replace", wire{a, b}, "lladdr", nowhere, "nud", "permanent")
			h.lost[wire{a, b}] = true
		}
	}
}

// cut is lose in both directions.
func (h *hosts) cut(a, b []string) {
	h.tb.Helper()
	h.lose(a, b)
	h.lose(b, a)
}

// heal mends every way.
func (h *hosts) heal() {
	h.tb.Helper()
	for w := range h.lost {
		h.neighbour("del", w)
		delete(h.lost, w)
	}
}

func (h *hosts) neighbour(do string, w wire, how ...string) {
	h.tb.Helper()
	at := []string{"ip", "-n", w.from, "neigh", do, h.ip(w.to), "dev", "eth0"}
	if w.from == outside {
		at = []string{"ip", "neigh", do, h.ip(w.to), "dev", "hub"}
	}
	h.sh(append(at, how...)...)
}

// silent holds that a call from a host to a port of another is neither answered nor refused, now.
func (h *hosts) silent(from, addr string) {
	h.tb.Helper()
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		h.tb.Fatal(err)
	}
	const timedOut = 124
	err = exec.CommandContext(h.tb.Context(), "ip", "netns", "exec", from, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+ip+"/"+port).Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != timedOut { //nolint:errorlint // as exec returns it
		h.tb.Errorf("a call from %s to %s is not lost in silence but ends with: %v", from, addr, err)
	}
}
