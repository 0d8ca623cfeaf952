package ingress

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// MaxBody is the largest body that is read, in bytes. Stripe's largest events are some 100 KB.
const MaxBody = 512 << 10

const (
	// firstBuffer holds most events whole; a client that has sent nothing costs no more.
	firstBuffer = 8 << 10
	// keptBuffer is the largest buffer that goes back to the pool, so that one large body does not stay for ever.
	keptBuffer = 64 << 10
	// maxHeld bounds the memory of all bodies being read or stored at one time, the first buffers left out.
	maxHeld = 64 << 20
)

// errBusy means that the bodies in hand fill maxHeld.
var errBusy = errors.New("too many large bodies at one time")

// bodies lends the memory that bodies are read into, and bounds it. The zero value is ready.
type bodies struct {
	pool sync.Pool    // of *body
	held atomic.Int64 // bytes lent beyond firstBuffer each
}

// body is a request's body, growing as it arrives: what a client announces costs nothing.
type body struct{ b []byte }

func (s *bodies) borrow() *body {
	b, ok := s.pool.Get().(*body)
	if !ok {
		return &body{b: make([]byte, 0, firstBuffer)}
	}
	s.held.Add(int64(cap(b.b) - firstBuffer))
	return b
}

// giveBack ends the use of b and of everything that shares its memory.
func (s *bodies) giveBack(b *body) {
	s.held.Add(int64(firstBuffer - cap(b.b)))
	if cap(b.b) <= keptBuffer {
		b.b = b.b[:0]
		s.pool.Put(b)
	}
}

// read fills b from r up to the end. The error is errBusy or r's own.
func (s *bodies) read(r io.Reader, b *body) error {
	for {
		if len(b.b) == cap(b.b) {
			if err := s.grow(b); err != nil {
				return err
			}
		}
		n, err := r.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *bodies) grow(b *body) error {
	size := min(2*cap(b.b), MaxBody+firstBuffer)
	more := int64(size - cap(b.b))
	if s.held.Add(more) > maxHeld {
		s.held.Add(-more)
		return errBusy
	}
	b.b = append(make([]byte, 0, size), b.b...)
	return nil
}
