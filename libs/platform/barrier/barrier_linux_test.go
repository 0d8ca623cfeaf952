package barrier_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"quittance.internal/libs/platform/barrier"
)

func TestAFileSystemThatKeepsNothingIsRefused(t *testing.T) {
	fd, err := unix.MemfdCreate("kept-in-memory", 0) // on the kernel's own tmpfs: there wherever this runs
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	inMemory := fmt.Sprintf("/proc/self/fd/%d", fd)
	if _, err := barrier.Open(barrier.Config{Dir: inMemory, Log: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), "tmpfs, which a power cut empties") {
		t.Errorf("Open on tmpfs = %v, want a refusal that names it", err)
	}
	if _, err := barrier.Open(barrier.Config{Dir: t.TempDir() + "/none", Log: zap.NewNop()}); err == nil {
		t.Error("Open of nothing = nil, want an error")
	}
}
