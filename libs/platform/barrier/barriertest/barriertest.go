// Package barriertest gives tests a folder that a barrier takes, also where temporary ones are kept in memory. Only tests
// import it.
package barriertest

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/barrier"
)

// Dir returns a folder of the test's own on a file system that can be synced: a temporary one, or else one beside the test's
// source. Where neither can be, the test fails; off Linux, where there is no barrier at all, it is skipped.
func Dir(tb testing.TB) string {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("a barrier needs Linux")
	}
	dir := tb.TempDir()
	inTemp := try(dir)
	if inTemp == nil {
		return dir
	}
	beside, err := os.MkdirTemp(".", "_barrier-") //nolint:usetesting // TempDir is what cannot be synced; the go command looks into no folder of such a name
	if err != nil {
		tb.Fatalf("no folder can be synced; set TMPDIR to one on a disk: %v", errors.Join(inTemp, err))
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(beside); err != nil {
			tb.Error(err)
		}
	})
	if err := try(beside); err != nil {
		tb.Fatalf("no folder can be synced; set TMPDIR to one on a disk: %v", errors.Join(inTemp, err))
	}
	if beside, err = filepath.Abs(beside); err != nil {
		tb.Fatal(err)
	}
	return beside
}

func try(dir string) error {
	b, err := barrier.Open(barrier.Config{Dir: dir, Log: zap.NewNop()})
	if err != nil {
		return err
	}
	return b.Close()
}
