//go:build faults

// Package fault names the points at which the crash proof kills a process; see the build without the tag faults.
package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// armed is the point to die at, and left the number of hits until then; read once, at start.
var (
	armed, left = target(os.Getenv("FAULT")) //nolint:forbidigo // a build of its own, for the crash proof alone
	hits        atomic.Int64
)

func target(spec string) (string, int64) {
	point, count, _ := strings.Cut(spec, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	return point, n
}

// Hit kills the process with SIGKILL when this is the armed point and its hit's turn.
func Hit(point string) {
	if point != armed || hits.Add(1) != left {
		return
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way; nothing may happen after this point
}
