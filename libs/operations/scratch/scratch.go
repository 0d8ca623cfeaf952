// Package scratch has the temporary files of the operators' tools that work on more than fits in memory.
//
// A file is readable by its owner alone (0600) and loses its name as soon as it is open: when the process ends, however it
// ends, the system takes it back. Nothing is ever left behind, and nobody else can open one. It stores bytes; what they mean
// is the caller's. Package parts and the verifier use it.
package scratch

import (
	"bufio"
	"io"
	"os"

	"quittance.internal/libs/operations/advice"
)

// Dir is where files are made.
type Dir struct {
	// Path is an existing directory; empty means the system's, which TMPDIR sets.
	Path string
	// Next is what the operator can do when it is full or cannot be written.
	Next string
}

// File grows at its end and is read from anywhere. It is used by one goroutine.
type File struct {
	dir  Dir
	f    *os.File
	w    *bufio.Writer
	size int64
}

// Create makes an empty file that keeps so many bytes in memory before it writes them.
func (d Dir) Create(buffer int) (*File, error) {
	if d.Path == "" {
		d.Path = os.TempDir()
	}
	f, err := os.CreateTemp(d.Path, "quittance-")
	if err != nil {
		return nil, d.fault(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, d.fault(err)
	}
	return &File{dir: d, f: f, w: bufio.NewWriterSize(f, buffer)}, nil
}

func (d Dir) fault(err error) error {
	return advice.New(d.Next, "temporary files in %s: %w", d.Path, err)
}

// Size is how many bytes were written.
func (f *File) Size() int64 { return f.size }

// Write appends.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	f.size += int64(n)
	if err != nil {
		return n, f.dir.fault(err)
	}
	return n, nil
}

// Section reads what was written from one offset to another. What is written meanwhile does not disturb it.
func (f *File) Section(from, to int64) (*bufio.Reader, error) {
	if err := f.w.Flush(); err != nil {
		return nil, f.dir.fault(err)
	}
	return bufio.NewReaderSize(io.NewSectionReader(f.f, from, to-from), int(min(64<<10, max(to-from, 16)))), nil
}

// Reader reads everything written so far.
func (f *File) Reader() (*bufio.Reader, error) { return f.Section(0, f.size) }

// ReadAt fills b from an offset.
func (f *File) ReadAt(b []byte, at int64) error {
	if err := f.w.Flush(); err != nil {
		return f.dir.fault(err)
	}
	if _, err := f.f.ReadAt(b, at); err != nil {
		return f.dir.fault(err)
	}
	return nil
}

// WriteAt writes over what was written at an offset before.
func (f *File) WriteAt(b []byte, at int64) error {
	if err := f.w.Flush(); err != nil {
		return f.dir.fault(err)
	}
	if _, err := f.f.WriteAt(b, at); err != nil {
		return f.dir.fault(err)
	}
	return nil
}

// Close gives the space back. A nil file and a closed one do not mind.
func (f *File) Close() {
	if f != nil {
		_ = f.f.Close()
	}
}

// Files are several, by number.
type Files []*File

// CreateAll makes n files.
func (d Dir) CreateAll(n, buffer int) (Files, error) {
	files := make(Files, n)
	for i := range files {
		f, err := d.Create(buffer)
		if err != nil {
			files.Close()
			return nil, err
		}
		files[i] = f
	}
	return files, nil
}

// Close closes all of them.
func (f Files) Close() {
	for _, one := range f {
		one.Close()
	}
}
