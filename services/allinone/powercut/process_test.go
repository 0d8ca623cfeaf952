//go:build linux

package powercut_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// process is a program that can be killed and started again. It ends with the test, and with the test's process however that
// ends: what keeps running would keep its file system mounted.
type process struct {
	name, path string
	args, env  []string
	out        io.Writer // its standard output; nil: with the log

	t    *testing.T
	cmd  *exec.Cmd
	logs tail
}

func newProcess(t *testing.T, name, path string, args []string, env ...string) *process {
	t.Helper()
	p := &process{name: name, path: path, args: args, env: env, t: t}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, &p.logs)
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.logs, &p.logs
	if p.out != nil {
		p.cmd.Stdout = p.out
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
}

// kill is SIGKILL; it returns when the process is gone.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, b...)
	if len(l.b) > 1<<16 {
		l.b = bytes.Clone(l.b[len(l.b)-1<<14:])
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b[max(0, len(l.b)-3000):])
}
