package natsstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/barrier"
)

// store is the NATS server's store, seen from its own host, with the barrier that makes it durable. That a sync of it serves
// a PubAck rests on what is made sure here, and not assumed:
//
//   - each stream that is written is on files, unreplicated, of persist mode default: nats-server 2.15.2 then writes a message to its
//     block file before it acknowledges (TestAnAcknowledgedMessageIsInItsBlockFile holds that against newer servers);
//   - the streams' folders are those of the server that the connection leads to: made in the same nanosecond, on one file
//     system, and with the stream's last message in the newest block. A copy of the store, such as a backup, has the first two.
//
// All is looked at when the Log is opened, and again when the connection leads to another server, or to the same one started
// again.
type store struct {
	log     *Log
	dir     string
	streams []string
	barrier *barrier.Barrier

	mu sync.Mutex
	// server is the id of the server that was looked at last.
	server string
	// failed is why the last look found a fault, and until when it is not looked again.
	failed error
	until  time.Time
}

// lookAgain is how long a fault in the store is taken for lasting: a look reads up to two blocks.
const lookAgain = time.Second

func openStore(ctx context.Context, l *Log, d Durability, log *zap.Logger, streams []string) (*store, error) {
	s := &store{log: l, dir: d.StoreDir, streams: streams}
	server := l.nc.ConnectedServerId()
	folders, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	if s.barrier, err = barrier.Open(barrier.Config{Dir: folders[0], Log: log, Sync: d.Sync}); err != nil {
		return nil, fmt.Errorf("DURABILITY=barrier: %w", err)
	}
	if err := s.together(folders); err != nil {
		return nil, errors.Join(err, s.barrier.Close())
	}
	s.server = server
	return s, nil
}

// wait returns when everything that the server has acknowledged so far is on disk.
func (s *store) wait(ctx context.Context) error {
	if err := s.trust(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err := s.barrier.Wait(ctx)
	if errors.Is(err, barrier.ErrFailed) {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrNotDurable, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// trust makes sure that the server which the connection leads to is the one whose store is synced.
func (s *store) trust(ctx context.Context) error {
	server := s.log.nc.ConnectedServerId()
	s.mu.Lock()
	defer s.mu.Unlock()
	if server == s.server {
		return nil
	}
	if now := time.Now(); s.failed != nil && now.Before(s.until) { //nolint:forbidigo // an interval, not a moment
		return s.failed
	}
	folders, err := s.look(ctx)
	if err == nil {
		err = s.together(folders)
	}
	if ctx.Err() != nil { // that the caller has no more time says nothing about the store
		return fmt.Errorf("look at the store: %w", ctx.Err())
	}
	s.failed, s.until = err, time.Now().Add(lookAgain) //nolint:forbidigo // as above
	if err != nil {
		return err
	}
	s.server = server
	return nil
}

// look checks every stream, and finds its folder and its last message there. It returns the folders.
func (s *store) look(ctx context.Context) ([]string, error) {
	folders := make([]string, len(s.streams))
	for i, name := range s.streams {
		var err error
		if folders[i], err = s.lookAt(ctx, name); err != nil {
			return nil, err
		}
	}
	return folders, nil
}

// looks: between the server's answer and the reading of its files a block may be finished, and then be rewritten.
const looks = 3

func (s *store) lookAt(ctx context.Context, name string) (string, error) {
	for left := looks; ; left-- {
		stream, err := s.log.js.Stream(ctx, name)
		if err != nil {
			return "", fmt.Errorf("look up stream %s (declare it with: quotectl declare): %w", name, err)
		}
		info := stream.CachedInfo()
		if fault := unfit(info.Config); fault != "" {
			return "", fmt.Errorf("stream %s %s: DURABILITY=barrier cannot make it durable; use DURABILITY=server", name, fault)
		}
		folder, err := s.folder(info)
		if err != nil || info.State.Msgs == 0 {
			return folder, err
		}
		found, err := holds(folder, info.State.LastSeq, info.State.LastTime)
		if err != nil {
			return "", fmt.Errorf("look for the last message of stream %s: %w", name, err)
		}
		if found {
			return folder, nil
		}
		if left > 1 {
			continue
		}
		if _, err := s.log.ReadSequence(ctx, name, info.State.LastSeq); errors.Is(err, ErrNotFound) {
			return folder, nil // it was erased: there is nothing to be found
		}
		return "", fmt.Errorf("%s does not hold message %d of stream %s, which the NATS server has stored: it is a copy of the store, "+
			"or the server encrypts it or writes later than it acknowledges; use DURABILITY=server", folder, info.State.LastSeq, name)
	}
}

// unfit says why a PubAck of the stream does not mean that the message was written on this host.
func unfit(c jetstream.StreamConfig) string {
	switch {
	case c.Storage != jetstream.FileStorage:
		return "is kept in memory"
	case c.Replicas > 1:
		return fmt.Sprintf("has %d replicas", c.Replicas)
	case c.PersistMode != jetstream.DefaultPersistMode:
		return "acknowledges before it writes (persist mode async)"
	case c.Mirror != nil || len(c.Sources) > 0:
		return "is filled by another stream"
	case c.NoAck:
		return "acknowledges nothing"
	}
	return ""
}

// folder finds the stream's folder by the moment at which the server says that the stream was made, under whichever account:
// the client is not told its account's name.
func (s *store) folder(info *jetstream.StreamInfo) (string, error) {
	name := info.Config.Name
	var found []string
	for _, pattern := range []string{"jetstream/*/streams/", "*/streams/"} { // store_dir, or the folder that the server makes in it
		paths, err := filepath.Glob(filepath.Join(s.dir, pattern+name, "meta.inf"))
		if err != nil {
			return "", fmt.Errorf("look into NATS_STORE_DIR: %w", err)
		}
		found = append(found, paths...)
	}
	for _, path := range found {
		b, err := os.ReadFile(path) //nolint:gosec // the operator names the folder
		if err != nil {
			return "", fmt.Errorf("look into NATS_STORE_DIR (run as the NATS server's user: its store is for nobody else): %w", err)
		}
		var meta struct{ Created time.Time }
		if err := json.Unmarshal(b, &meta); err != nil {
			return "", fmt.Errorf("read %s (a store that is encrypted cannot be told from another one; use DURABILITY=server): %w", path, err)
		}
		if meta.Created.Equal(info.Created) {
			return filepath.Dir(path), nil
		}
	}
	if _, err := os.ReadDir(s.dir); err != nil {
		return "", fmt.Errorf("look into NATS_STORE_DIR (is the NATS server on this host, and may its user's files be read?): %w", err)
	}
	return "", fmt.Errorf("NATS_STORE_DIR %s is not the store of the NATS server at NATS_URL: it holds no stream %s made at %s; "+
		"name that server's store_dir, or use DURABILITY=server if it is on another host", s.dir, name, info.Created.Format(time.RFC3339Nano))
}

// together makes sure that one sync reaches every folder.
func (s *store) together(folders []string) error {
	synced, err := s.barrier.Dir().Stat()
	if err != nil {
		return fmt.Errorf("look at the store: %w", err)
	}
	for _, folder := range folders {
		have, err := os.Stat(filepath.Join(folder, "msgs"))
		if err != nil {
			return fmt.Errorf("look at the store: %w", err)
		}
		if device(have) != device(synced) {
			return fmt.Errorf("%s is on another file system than %s: one sync does not reach both", folder, s.barrier.Dir().Name())
		}
	}
	return nil
}

// holds looks for a message in the two newest blocks of a stream's folder. nats-server writes sequence and time of a message
// side by side, each as 8 bytes, the lowest first (filestore.go, writeMsgRecordLocked); a block that is not finished is
// neither compressed nor rewritten.
func holds(folder string, sequence uint64, at time.Time) (bool, error) {
	needle := binary.LittleEndian.AppendUint64(nil, sequence)
	needle = binary.LittleEndian.AppendUint64(needle, uint64(at.UnixNano()))
	blocks, err := blocksOf(folder)
	if err != nil {
		return false, err
	}
	for _, path := range blocks[max(0, len(blocks)-2):] {
		b, err := os.ReadFile(path) //nolint:gosec // of the folder that the operator names
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read a block: %w", err)
		}
		if bytes.Contains(b, needle) {
			return true, nil
		}
	}
	return false, nil
}

// blocksOf lists a stream's block files, the oldest first.
func blocksOf(folder string) ([]string, error) {
	blocks, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk")) // another name sorts first and is no block
		return n
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return blocks, nil
}
