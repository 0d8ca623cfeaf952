//go:build !linux && !darwin

package doctor

// Free cannot tell here.
func Free(string) (free, size uint64, err error) { return 0, 0, errNoDisk }
