package bench_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a run of a million events took, for each event: NATS and Redis in memory, and the log on disk. A log that is written anew in
// parts needs some beside it.
const (
	memoryOfEvent = 2400
	diskOfEvent   = 4600
	// besides is what the worker, the harness and Redis's emptying take, whatever the number.
	besides = 1 << 30
)

// needRoom refuses a size for which this machine has not the memory or the disk: it would be found out after many minutes, by
// whoever else works on the machine, too.
func needRoom(tb testing.TB, events int) {
	tb.Helper()
	memory, disk := int64(events)*memoryOfEvent+besides, int64(events)*diskOfEvent+besides
	haveMemory, haveDisk := memoryAvailable(tb), diskAvailable(tb, folder)
	if memory > haveMemory || disk > haveDisk {
		tb.Fatalf("%d events need about %s GB of memory and %s GB of disk in %s; there are %s and %s. Take fewer (GROWTH=...), or set TMPDIR to a folder on a larger disk",
			events, gigabytes(memory), gigabytes(disk), filepath.Dir(folder), gigabytes(haveMemory), gigabytes(haveDisk))
	}
	progress("growth, %d events: about %s GB of memory and %s GB of disk of the %s and %s that there are, and %d minutes",
		events, gigabytes(memory), gigabytes(disk), gigabytes(haveMemory), gigabytes(haveDisk), 1+events*4/1_000_000)
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e9) }

func memoryAvailable(tb testing.TB) int64 {
	tb.Helper()
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		tb.Fatalf("read memory (needs Linux): %v", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			var kb int64
			if _, err := fmt.Sscanf(value, "%d kB", &kb); err != nil {
				tb.Fatalf("read memory: %v", err)
			}
			return kb << 10
		}
	}
	tb.Fatal("/proc/meminfo has no MemAvailable")
	return 0
}

func diskAvailable(tb testing.TB, dir string) int64 {
	tb.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		tb.Fatalf("look at the disk of %s: %v", dir, err)
	}
	return int64(s.Bavail) * s.Bsize
}

// sizeOf is what the files below a folder take.
func sizeOf(tb testing.TB, dir string) (bytes int64) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return bytes
}
