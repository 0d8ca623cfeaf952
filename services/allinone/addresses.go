package allinone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// address is one address to bind and the variable that moves it.
type address struct{ name, addr string }

// addresses are all of them, in the order in which they are told.
type addresses []address

func (as addresses) get(name string) string {
	for _, a := range as {
		if a.name == name {
			return a.addr
		}
	}
	return ""
}

// reserve binds every address and gives all of them back at once: whatever is taken is told in one error, before anything
// was started. Port 0 is replaced by a free one. Between this check and the servers' own binding another program may
// still take a port; then that server's error says so.
func (as addresses) reserve(ctx context.Context) (addresses, error) {
	var lc net.ListenConfig
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close() // it was only looked at
		}
	}()
	free := make(addresses, 0, len(as))
	var taken []string
	for _, a := range as {
		l, err := lc.Listen(ctx, "tcp", a.addr)
		if err != nil {
			taken = append(taken, fmt.Sprintf("  %-18s %-22s %s", a.name, a.addr, free.why(a, err)))
			free = append(free, a)
			continue
		}
		held = append(held, l)
		free = append(free, address{a.name, withPort(a.addr, l.Addr())})
	}
	if len(taken) == 0 {
		return free, nil
	}
	return nil, fmt.Errorf("cannot listen, nothing was started:\n%s\neach variable moves its address, for example %s",
		strings.Join(taken, "\n"), example(taken[0]))
}

// why says in a reader's words what keeps a from being bound.
func (as addresses) why(a address, err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) {
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err
		}
		return err.Error()
	}
	for _, other := range as {
		if other.addr == a.addr {
			return "is also " + other.name
		}
	}
	return "is taken by another program"
}

func example(line string) string {
	name, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
	host, _, err := net.SplitHostPort(strings.Fields(addr)[0])
	if err != nil {
		host = "127.0.0.1"
	}
	return name + "=" + net.JoinHostPort(host, "0") + " for any free port"
}

// withPort returns addr with the port that was bound.
func withPort(addr string, bound net.Addr) string {
	host, _, err := net.SplitHostPort(addr)
	tcp, ok := bound.(*net.TCPAddr)
	if err != nil || !ok {
		return addr
	}
	return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

// dialable returns the address at which this machine reaches what listens on addr.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
