package chaos_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"quittance.internal/services/allinone/processtest"
)

// restartAfter is how long a supervisor waits before it starts a process again that has ended by itself.
const restartAfter = 100 * time.Millisecond

// keeper keeps a process running, as a supervisor does, and does to it what the nemesis says.
type keeper struct {
	*processtest.Process
	commands chan command
	// ended is how often the process ended by itself; kills and stops what was done to it.
	ended, kills, stops atomic.Int64
}

// command is what to do to a process, and for how long: it is down, or stands still.
type command struct {
	signal syscall.Signal // SIGKILL, SIGSTOP, or SIGTERM: it may come to its end
	length time.Duration
	done   chan<- bool // true when it was done to a living process
}

func newKeeper(p *processtest.Process) *keeper {
	return &keeper{Process: p, commands: make(chan command)}
}

// run starts the process and keeps it until ctx ends; then it is left as it is.
func (k *keeper) run(ctx context.Context) {
	k.Start()
	for {
		pause := restartAfter
		select {
		case <-ctx.Done():
			return
		case <-k.Ended():
			k.endedByItself()
		case c := <-k.commands:
			if c.signal == syscall.SIGSTOP {
				k.stand(ctx, c)
				continue
			}
			if pause = c.length; c.signal == syscall.SIGTERM {
				k.Signal(syscall.SIGTERM)
				<-k.Ended()
				c.done <- true
			} else if !k.kill(c) {
				k.endedByItself()
			}
		}
		if wait(ctx, pause); ctx.Err() != nil {
			return
		}
		k.Start()
	}
}

// endedByItself tells why. A service may end where it finds no server at its start; its supervisor starts it again.
func (k *keeper) endedByItself() {
	k.ended.Add(1)
	fmt.Fprintf(os.Stderr, "chaos: %s ended by itself; the end of its log:\n%s\n", k.Name, k.Tail())
}

func (k *keeper) kill(c command) bool {
	select {
	case <-k.Ended(): // it was not us
		c.done <- false
		return false
	default:
	}
	k.Kill()
	k.kills.Add(1)
	c.done <- true
	return true
}

func (k *keeper) stand(ctx context.Context, c command) {
	k.Signal(syscall.SIGSTOP)
	k.stops.Add(1)
	c.done <- true
	wait(ctx, c.length)
	k.Signal(syscall.SIGCONT)
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
