//go:build linux

package powercut_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
)

// readers ask the log at one time.
const readers = 16

// kind is a kind of messages that are numbered.
type kind struct {
	stream  string
	subject func(n int) string
	data    func(n int) []byte
}

var (
	webhooks = kind{event.StreamStripe, subject, body}
	facts    = kind{event.StreamQuotes, factSubject, factData}
)

// missing returns those messages that the log does not hold, each asked for by its subject. A replica may lag, so that on a
// cluster what is missing is asked for again for a while.
func (w *world) missing(of kind, numbers []int) []int {
	w.t.Helper()
	tries := 2
	if w.nodes > 1 {
		tries = 20
	}
	for ; tries > 0 && len(numbers) > 0; tries-- {
		if numbers = w.absent(of, numbers); len(numbers) > 0 {
			time.Sleep(500 * time.Millisecond)
		}
	}
	return numbers
}

func (w *world) absent(of kind, numbers []int) []int {
	w.t.Helper()
	var mu sync.Mutex
	var absent []int
	var wg sync.WaitGroup
	for part := range slices.Chunk(numbers, len(numbers)/readers+1) {
		wg.Go(func() {
			for _, n := range part {
				there, err := w.holds(of, n)
				if err != nil {
					w.t.Error(err)
				}
				if !there {
					mu.Lock()
					absent = append(absent, n)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return absent
}

// holds asks until there is an answer.
func (w *world) holds(of kind, n int) (bool, error) {
	deadline := time.Now().Add(patience)
	for {
		record, err := w.log.Read(w.t.Context(), of.stream, of.subject(n))
		switch {
		case err == nil && !bytes.Equal(record.Data, of.data(n)):
			return false, fmt.Errorf("%s is stored as %q", of.subject(n), record.Data)
		case err == nil:
			return true, nil
		case errors.Is(err, natsstream.ErrNotFound):
			return false, nil
		case time.Now().After(deadline):
			return false, fmt.Errorf("ask for %s: %w", of.subject(n), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// equal waits until Redis holds what follows from the log, by quotectl's word.
func (w *world) equal() {
	w.t.Helper()
	processtest.Eventually(w.t, patience, "Redis equals the fold of the log", func() error {
		cmd := exec.CommandContext(w.t.Context(), w.quotectl, "rebuild", "--verify")
		cmd.Env = []string{"HOME=" + os.TempDir(), "DATA_DIR=" + w.t.TempDir(), "NATS_URL=" + w.natsURL, "REDIS_URL=" + w.redisURL, "NO_COLOR=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// lookRedis finds a server that keeps an append-only file.
func lookRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no redis-server here: make servers installs it")
}
