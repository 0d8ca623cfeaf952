package scratch_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/scratch"
)

// A directory that is not there, or full, is named, with what to do about it.
func TestTroubleNamesTheDirectoryAndTheWayOut(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := scratch.Dir{Path: missing, Next: "take another"}.CreateAll(3, 16)
	said(t, err, missing, os.ErrNotExist)

	full := small(t)
	f, err := scratch.Dir{Path: full, Next: "take another"}.Create(16)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 1 << 12 {
		if _, err = f.Write(make([]byte, 1<<10)); err != nil {
			break
		}
	}
	said(t, err, full, syscall.ENOSPC)
}

func said(t *testing.T, err error, dir string, cause error) {
	t.Helper()
	told, ok := errors.AsType[*advice.Error](err)
	if !ok || !errors.Is(err, cause) || !strings.Contains(err.Error(), dir) || told.Next != "take another" {
		t.Errorf("error = %v, want %v, the name of %s and what to do", err, cause, dir)
	}
}

// small mounts a file system of 64 KiB, which needs root.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skipf("only root can make a full directory: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
