//go:build linux || darwin

package doctor

import "syscall"

// Free tells how much of the disk under a folder is free for anybody, and how much there is, in bytes.
func Free(dir string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize) //nolint:gosec // positive, and of another type on other systems
	return s.Bavail * block, s.Blocks * block, nil
}
