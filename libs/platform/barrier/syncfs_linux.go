package barrier

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fleeting and foreign are file systems by their magic number (statfs(2)): what is there is gone with the power, or is in
// the page cache of a host that our syncfs does not reach.
var (
	fleeting = map[int64]string{unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs"}
	foreign  = map[int64]string{
		unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS",
		unix.CEPH_SUPER_MAGIC: "CephFS", unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "FUSE", unix.AFS_FS_MAGIC: "AFS",
		unix.OCFS2_SUPER_MAGIC: "OCFS2", 0x01161970: "GFS2",
	}
)

func fits(dir string) error {
	var host unix.Utsname
	if err := unix.Uname(&host); err != nil {
		return fmt.Errorf("read the kernel's version: %w", err)
	}
	if release := unix.ByteSliceToString(host.Release[:]); oldKernel(release) {
		return fmt.Errorf("this is Linux %s, and before 5.8 syncfs does not report errors of the disk", release)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look at the file system: %w", err)
	}
	magic := int64(fs.Type) //nolint:unconvert // int32 on some architectures
	if name, ok := fleeting[magic]; ok {
		return fmt.Errorf("it is on %s, which a power cut empties", name)
	}
	if name, ok := foreign[magic]; ok {
		return fmt.Errorf("it is on %s, which this host cannot sync for another one", name)
	}
	return nil
}

func syncfs(dir *os.File) error {
	for {
		if err := unix.Syncfs(int(dir.Fd())); err != unix.EINTR {
			return err //nolint:wrapcheck // the caller says what failed
		}
	}
}
