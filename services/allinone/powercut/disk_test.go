//go:build powercut && linux

package powercut_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const (
	diskSize = 1 << 30 // sparse
	diskMark = "quittance-powercut-"

	// The ioctl by which xfstests' godown takes an ext4 down, and its flag for "not even the journal".
	ext4Shutdown = 0x8004587d // _IOR('X', 125, __u32)
	noLogFlush   = 2
)

// disk is an ext4 on a loop device. The file behind the device is what is on the platters: what was handed to the device is on
// them, what is only in the page cache is not.
type disk struct {
	t                   *testing.T
	image, device, path string
}

// newDisk makes and mounts one; it is gone after the test.
func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := filepath.Join(folder(t), strconv.FormatInt(time.Now().UnixNano(), 36))
	d := &disk{t: t, image: filepath.Join(dir, "image"), path: filepath.Join(dir, "store")}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		t.Fatal(err)
	}
	d.run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", d.image)
	d.device = strings.TrimSpace(d.run("losetup", "--find", "--show", d.image))
	t.Cleanup(func() { release(d.path, d.device) })
	d.mount()
	return d
}

func (d *disk) dir() string { return d.path }

// cut takes the power away and gives it back. Nothing may run on the disk any more.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("shut %s down: %v", d.device, errno)
	}
	f.Close()
	if err := unmount(d.path); err != nil {
		d.t.Fatal(err)
	}
	d.mount()
}

func (d *disk) mount() {
	d.t.Helper()
	if err := syscall.Mount(d.device, d.path, "ext4", 0, ""); err != nil {
		d.t.Fatalf("mount %s: %v", d.device, err)
	}
	// Where another mount namespace holds a copy of the mount, the file system was never let go of and is still shut down.
	probe := filepath.Join(d.path, ".probe")
	if err := errors.Join(os.WriteFile(probe, nil, 0o600), os.Remove(probe)); err != nil {
		d.t.Fatalf("%s is not back after the cut; run it through make powercut, which has a mount namespace of its own: %v", d.device, err)
	}
}

func (d *disk) run(name string, args ...string) string {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// unmount waits for the kernel to let go of the files of a process that was killed.
func unmount(path string) (err error) {
	for range 100 {
		if err = syscall.Unmount(path, 0); !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// release gives mount point and loop device back, whatever state they are in.
func release(path, device string) {
	_ = unmount(path)
	_ = syscall.Unmount(path, syscall.MNT_DETACH)
	_ = exec.Command("losetup", "--detach", device).Run()
	_ = os.RemoveAll(filepath.Dir(path))
}

var made string

// folder is where the disks of this process lie. What an earlier process left behind that was killed is cleared away, and a
// signal to this one clears away its own.
func folder(t *testing.T) string {
	t.Helper()
	if made != "" {
		return made
	}
	sweep(func(pid int) bool { return syscall.Kill(pid, 0) != nil })
	made = filepath.Join(os.TempDir(), diskMark+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(made, 0o700); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stopped
		lists, _ := filepath.Glob("/proc/self/task/*/children")
		for _, list := range lists {
			children, _ := os.ReadFile(list)
			for child := range strings.FieldsSeq(string(children)) {
				if pid, err := strconv.Atoi(child); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
		sweep(func(pid int) bool { return pid == os.Getpid() })
		os.Exit(130)
	}()
	return made
}

// sweep releases every disk of the processes that it is told of.
func sweep(of func(pid int) bool) {
	out, err := exec.Command("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && of(owner(fields[1])) {
			release(filepath.Join(filepath.Dir(fields[1]), "store"), fields[0])
		}
	}
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), diskMark+"*"))
	for _, f := range folders {
		if of(owner(f)) {
			_ = os.RemoveAll(f)
		}
	}
}

// owner is the process whose disk lies at a path, 0 for none of ours: no process has that number, and a signal to it would go
// to our own group, which is there.
func owner(path string) int {
	_, after, found := strings.Cut(path, string(filepath.Separator)+diskMark)
	if !found {
		return 0
	}
	number, _, _ := strings.Cut(after, string(filepath.Separator))
	pid, _ := strconv.Atoi(number)
	return pid
}
