package proof_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one of the product's processes: it can be started, killed, stopped with SIGSTOP, and started again.
type process struct {
	tb       testing.TB
	name     string
	path     string
	env      []string
	probe    string // its /readyz
	cmd      *exec.Cmd
	done     chan struct{}
	logs     bytes.Buffer
	logsLock sync.Mutex
}

// Write keeps the process's log for the failure message.
func (p *process) Write(b []byte) (int, error) {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	if p.logs.Len() > 1<<20 {
		p.logs.Reset()
	}
	return p.logs.Write(b)
}

func (p *process) start(extra ...string) {
	p.tb.Helper()
	p.cmd = exec.Command(p.path)
	p.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, p.env...), extra...)
	p.cmd.Stderr, p.cmd.Stdout = p, p
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
}

// ready waits until the process says that it can do its work.
func (p *process) ready() {
	p.tb.Helper()
	eventually(p.tb, 30*time.Second, p.name+" is ready", func() error {
		select {
		case <-p.done:
			p.tb.Fatalf("%s ended before it was ready:\n%s", p.name, p.tail())
		default:
		}
		res, err := http.Get(p.probe)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

// died waits until the process has killed itself at its fault point; false when it did not within the time.
func (p *process) died(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

func (p *process) signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill ends the process with SIGKILL and waits for it.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	b := p.logs.Bytes()
	if len(b) > 1500 {
		b = b[len(b)-1500:]
	}
	return filepath.Base(p.path) + ": …" + string(b)
}

// eventually tries f until it succeeds or the time is over.
func eventually(tb testing.TB, within time.Duration, what string, f func() error) {
	tb.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s: %v", within, what, err)
		}
		select {
		case <-tb.Context().Done():
			tb.Fatalf("%s: %v", what, tb.Context().Err())
		case <-time.After(25 * time.Millisecond):
		}
	}
}
