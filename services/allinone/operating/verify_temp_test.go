package operating_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quittance.internal/services/allinone/processtest"
)

func TestVerifyNamesTheTemporaryDirectoryThatItCannotUse(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.live(3)
	missing := filepath.Join(t.TempDir(), "missing")
	r.quotectl("rebuild", "--verify", "--temp-dir", missing).want(t, 1, "temporary files in "+missing, "next: quotectl rebuild --verify --temp-dir")
}

// Ctrl-C in the middle leaves nothing in the directory; neither does the success before it.
func TestVerifyLeavesNoTemporaryFiles(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.live(5)
	dir := t.TempDir()
	r.quotectl("rebuild", "--verify", "--temp-dir", dir).want(t, 0)
	nothingIn(t, dir)
	stop()
	r.publish(5, 8) // nobody takes them, so that it waits
	cmd := exec.CommandContext(t.Context(), processtest.Binary(t, "operator/cmd/quotectl", ""), "rebuild", "--verify", "--temp-dir", dir)
	cmd.Env = []string{"NATS_URL=" + r.nats.URL, "REDIS_URL=" + r.redis.URL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.eventually("it has opened temporary files", func() error { return usesFilesIn(cmd.Process.Pid, dir) })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("an interrupted verification exits with 0:\n%s", &said)
	}
	nothingIn(t, dir)
}

func usesFilesIn(pid int, dir string) error {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(folder, e.Name())); err == nil && strings.HasPrefix(to, dir) {
			return nil
		}
	}
	return errors.New("no file of it is open there")
}

func nothingIn(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, left, err)
	}
}
