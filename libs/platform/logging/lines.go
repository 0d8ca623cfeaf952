package logging

import (
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// gatherFor is how long a line below warn may wait to be written together with others. A killed process loses these.
	gatherFor = 100 * time.Millisecond
	// gatherSize is how many bytes are written at the latest.
	gatherSize = 32 << 10
)

// lines gathers log lines, so that a busy process does not make a system call for each of them. Safe for concurrent use.
type lines struct {
	mu    sync.Mutex
	out   zapcore.WriteSyncer
	buf   []byte
	timed bool
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if len(l.buf) >= gatherSize {
		return len(p), l.flush()
	}
	if !l.timed {
		l.timed = true
		time.AfterFunc(gatherFor, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timed = false
			_ = l.flush() // there is nobody left to tell
		})
	}
	return len(p), nil
}

// Sync implements zapcore.WriteSyncer.
func (l *lines) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.flush(); err != nil {
		return err
	}
	return l.out.Sync()
}

func (l *lines) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.out.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// urgent writes a line at once, after those that were gathered before it.
type urgent struct{ *lines }

func (u urgent) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.buf = append(u.buf, p...)
	return len(p), u.flush()
}
