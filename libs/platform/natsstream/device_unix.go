//go:build unix

package natsstream

import (
	"io/fs"
	"syscall"
)

// device tells file systems apart.
func device(f fs.FileInfo) uint64 {
	if stat, ok := f.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Dev) //nolint:unconvert // of another type on other systems
	}
	return 0
}
