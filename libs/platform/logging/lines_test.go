package logging_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/platform/logging"
)

// counted counts the writes that reach it.
type counted struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	return c.text.Write(p)
}

func (c *counted) read() (text string, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.writes
}

func TestQuietLinesAreGatheredAndAllArrive(t *testing.T) {
	var out counted
	log, err := logging.New(&out, "info", "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		log.Info("quiet")
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		text, writes := out.read()
		if strings.Count(text, "quiet") == 100 {
			if writes > 50 {
				t.Errorf("100 lines took %d writes, want them gathered", writes)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 100 lines arrived within 5 s", strings.Count(text, "quiet"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAWarningIsWrittenAtOnceAfterWhatCameBefore(t *testing.T) {
	var out counted
	log, err := logging.New(&out, "info", "x")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("before")
	log.Warn("loud")
	if text, _ := out.read(); !strings.Contains(text, "before") || strings.Index(text, "before") > strings.Index(text, "loud") {
		t.Errorf("log = %q, want both lines, in their order, at once", text)
	}
	log.Info("last")
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if text, _ := out.read(); !strings.Contains(text, "last") {
		t.Errorf("log after Sync = %q, want the last line", text)
	}
}
