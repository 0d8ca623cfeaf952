package bench_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/services/allinone/processtest"
)

// process is a running process: a binary of the product or a role of this one. It writes its log to a file.
type process struct {
	tb    testing.TB
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	ended chan struct{}
	stop  func() // asks it to end, and waits
}

// running are the processes that have not ended, for an end before their time.
var running sync.Map

// killAll ends all processes at once and waits for them.
func killAll() {
	running.Range(func(key, _ any) bool {
		if p, ok := key.(*process); ok {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		return true
	})
}

// startRole runs this binary again as one of the roles and returns it with the line that it printed when it could work.
func startRole(tb testing.TB, name string, env ...string) (*process, string) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p := start(tb, name, cmd, append(env, roleVar+"="+name))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		tb.Fatalf("%s ended before it could work: %v\n%s", name, err, p.tail())
	}
	return p, strings.TrimSpace(line)
}

// startService runs a service and waits until its probe says that it can work. base is the folder of an older binary, or "".
func startService(tb testing.TB, name, base, probe string, env ...string) *process {
	tb.Helper()
	p := launchService(tb, name, base, env...)
	p.waitReady(probe, 30*time.Second)
	return p
}

func launchService(tb testing.TB, name, base string, env ...string) *process {
	tb.Helper()
	path := filepath.Join(base, name)
	if base == "" {
		path = serviceBinary(tb, name)
	}
	return start(tb, name, exec.Command(path), append(env, roleVar+"="+name))
}

func (p *process) waitReady(probe string, within time.Duration) {
	p.tb.Helper()
	processtest.Eventually(p.tb, within, p.name+" is ready", func() error {
		select {
		case <-p.ended:
			p.tb.Fatalf("%s ended before it was ready:\n%s", p.name, p.tail())
		default:
		}
		return get(probe)
	})
}

// serviceBinary is the service as it is shipped, to which the variable of a role means nothing, or this binary for a profile.
func serviceBinary(tb testing.TB, name string) string {
	tb.Helper()
	if os.Getenv(profileVar) == "" {
		return binary(tb, name)
	}
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return self
}

func get(url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func start(tb testing.TB, name string, cmd *exec.Cmd, env []string) *process {
	tb.Helper()
	log, err := os.CreateTemp(folder, name+"-*.log")
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	cmd.Env = append([]string{profileVar + "=" + os.Getenv(profileVar), "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + folder}, env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &process{tb: tb, name: name, cmd: cmd, stdin: stdin, log: log.Name(), ended: make(chan struct{})}
	running.Store(p, true)
	go func() { _ = cmd.Wait(); close(p.ended); running.Delete(p) }()
	p.stop = sync.OnceFunc(p.end)
	tb.Cleanup(p.stop)
	return p
}

// end lets a role end by itself, so that a NATS server leaves its store whole, and kills what does not.
func (p *process) end() {
	_ = p.stdin.Close()
	if self, err := os.Executable(); err == nil && p.cmd.Path != self {
		_ = p.cmd.Process.Signal(os.Interrupt)
	}
	patience := 20 * time.Second
	if p.name == "nats" {
		patience = natsPatience
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	_ = os.Remove(p.log) // logs of many rounds would fill the disk
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return "…" + string(b[max(0, len(b)-4000):])
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// cpu is the processor time, user and system, that the processes have used since their start. The kernel counts it in
// hundredths of a second.
func cpu(tb testing.TB, pids ...int) time.Duration {
	tb.Helper()
	const perSecond = 100 // USER_HZ, on every architecture that Go runs on under Linux
	var ticks int64
	for _, pid := range pids {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			tb.Fatalf("read processor time (needs Linux): %v", err)
		}
		// The second field is the name in parentheses and may hold anything; utime and stime are the 14th and 15th.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		for _, f := range fields[11:13] {
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err != nil {
				tb.Fatalf("read processor time of %d: %v", pid, err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / perSecond
}

// memory is the anonymous memory of a process in bytes: what it holds itself, without the pages of its binary.
func memory(tb testing.TB, pid int) int64 {
	tb.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		tb.Fatalf("read memory (needs Linux): %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			var kb int64
			if _, err := fmt.Sscanf(value, "%d kB", &kb); err != nil {
				tb.Fatalf("read memory of %d: %v", pid, err)
			}
			return kb << 10
		}
	}
	tb.Fatalf("no RssAnon in the status of %d", pid)
	return 0
}
