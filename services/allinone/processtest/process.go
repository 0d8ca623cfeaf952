package processtest

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

// Process is one of the product's processes: it can be started, killed, stopped with SIGSTOP, and started again. It is used by
// one goroutine.
type Process struct {
	// Name is for messages, Path the binary, Args its arguments, Env its whole environment but for PATH and HOME, Probe the URL of
	// its /readyz.
	Name, Path string
	Args, Env  []string
	Probe      string

	tb       testing.TB
	cmd      *exec.Cmd
	done     chan struct{}
	logs     bytes.Buffer
	logsLock sync.Mutex
}

// Write keeps the process's log for the failure message.
func (p *Process) Write(b []byte) (int, error) {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	if p.logs.Len() > 1<<20 {
		p.logs.Reset()
	}
	return p.logs.Write(b)
}

// New returns a process that is not started yet. It ends with the test, whose log gets the end of its own when it has failed.
func New(tb testing.TB, name, path, probe string, env []string) *Process {
	tb.Helper()
	p := &Process{Name: name, Path: path, Env: env, Probe: probe, tb: tb}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Log(p.Tail())
		}
	})
	return p
}

// Start starts the process with further settings, NAME=value.
func (p *Process) Start(extra ...string) {
	p.tb.Helper()
	p.cmd = exec.Command(p.Path, p.Args...)
	p.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, p.Env...), extra...)
	p.cmd.Stderr, p.cmd.Stdout = p, p
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
}

// Ready waits until the process says that it can do its work.
func (p *Process) Ready() {
	p.tb.Helper()
	Eventually(p.tb, 2*time.Minute, p.Name+" is ready", func() error {
		select {
		case <-p.done:
			p.tb.Fatalf("%s ended before it was ready:\n%s", p.Name, p.Tail())
		default:
		}
		res, err := http.Get(p.Probe)
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

// Died waits until the process has killed itself at its fault point; false when it did not within the time.
func (p *Process) Died(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

// Ended is closed when the process that was started last has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Signal sends the process a signal; one that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Fatalf("signal %s: %v", p.Name, err)
	}
}

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Logged reports whether the process's log holds a text.
func (p *Process) Logged(text string) bool {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	return bytes.Contains(p.logs.Bytes(), []byte(text))
}

// WriteLog writes what is kept of the process's log, the last megabyte, to a file.
func (p *Process) WriteLog(path string) error {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	return os.WriteFile(path, p.logs.Bytes(), 0o600)
}

// Tail returns the end of the process's log.
func (p *Process) Tail() string {
	p.logsLock.Lock()
	defer p.logsLock.Unlock()
	b := p.logs.Bytes()
	if len(b) > 1500 {
		b = b[len(b)-1500:]
	}
	return filepath.Base(p.Path) + ": …" + string(b)
}
