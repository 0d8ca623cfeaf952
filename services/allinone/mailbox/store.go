package mailbox

import (
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
)

// errNotFound says that no mail has the id.
var errNotFound = errors.New("no such mail")

// envelope is what SMTP says about a message beside its bytes. It is kept in <id>.json beside <id>.eml, so that the
// .eml stays byte for byte what the sender handed over.
type envelope struct {
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Received time.Time `json:"received"`
	Read     bool      `json:"read,omitempty"`
}

// store keeps mail as files and their summaries in memory, oldest first.
type store struct {
	dir string
	now func() time.Time

	mu    sync.RWMutex
	mails []kept
	last  int64
}

// kept is one mail of the index.
type kept struct {
	id      string
	env     envelope
	summary Summary
}

// openStore makes dir if needed and reads what it holds.
func openStore(dir string, now func() time.Time) (*store, error) {
	if dir == "" {
		return nil, errors.New("open mail folder: no folder given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open mail folder: %w", err)
	}
	entries, err := os.ReadDir(dir) // sorted by name, and names sort by time
	if err != nil {
		return nil, fmt.Errorf("open mail folder: %w", err)
	}
	s := &store{dir: dir, now: now}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".eml")
		if !ok {
			continue
		}
		raw, err := os.ReadFile(s.path(id, ".eml"))
		if err != nil {
			return nil, fmt.Errorf("open mail folder: %w", err)
		}
		s.mails = append(s.mails, newKept(id, s.readEnvelope(id), raw))
		if n, err := strconv.ParseInt(id, 16, 64); err == nil {
			s.last = max(s.last, n)
		}
	}
	return s, nil
}

func newKept(id string, env envelope, raw []byte) kept {
	p := parse(raw, env)
	return kept{id: id, env: env, summary: p.summary(id, env)}
}

func (s *store) path(id, ext string) string { return filepath.Join(s.dir, id+ext) }

// readEnvelope returns the envelope of a mail; one that is missing or broken counts as unknown, the mail is shown anyway.
func (s *store) readEnvelope(id string) envelope {
	var env envelope
	if b, err := os.ReadFile(s.path(id, ".json")); err == nil {
		_ = json.Unmarshal(b, &env) // a broken one leaves zero values
	}
	if n, err := strconv.ParseInt(id, 16, 64); err == nil && env.Received.IsZero() {
		env.Received = time.Unix(0, n).UTC()
	}
	return env
}

// add keeps a message; when it returns without an error the message survives a crash of the machine. The .eml file is
// the last to appear: a crash in between leaves no half of a mail.
func (s *store) add(env envelope, raw []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env.Received = s.now().UTC()
	n := max(env.Received.UnixNano(), s.last+1) // unique and in order, also when the clock stands still
	id := fmt.Sprintf("%016x", n)
	meta, err := json.Marshal(env)
	if err != nil {
		return "", fmt.Errorf("keep mail %s: %w", id, err)
	}
	if err := errors.Join(writeFile(s.path(id, ".json"), meta), writeFile(s.path(id, ".eml"), raw), syncDir(s.dir)); err != nil {
		return "", fmt.Errorf("keep mail %s: %w", id, err)
	}
	s.last = n
	s.mails = append(s.mails, newKept(id, env, raw))
	return id, nil
}

// list returns limit summaries from start on, newest first, with the number of all mails and of those not read yet.
func (s *store) list(start, limit int) (page []Summary, total, unread int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	page = []Summary{}
	for i, m := range slices.Backward(s.mails) {
		if !m.env.Read {
			unread++
		}
		if at := len(s.mails) - 1 - i; at >= start && len(page) < limit {
			page = append(page, m.summary)
		}
	}
	return page, len(s.mails), unread
}

// get returns a message's bytes and envelope and marks it as read, as Mailpit does. The id "latest" is the newest mail's.
// It returns errNotFound.
func (s *store) get(id string) (kept, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.mails, func(m kept) bool { return m.id == id })
	if id == "latest" {
		i = len(s.mails) - 1
	}
	if i < 0 {
		return kept{}, nil, errNotFound
	}
	m := &s.mails[i]
	raw, err := os.ReadFile(s.path(m.id, ".eml"))
	if errors.Is(err, fs.ErrNotExist) {
		s.mails = slices.Delete(s.mails, i, i+1) // somebody removed the file by hand
		return kept{}, nil, errNotFound
	}
	if err != nil {
		return kept{}, nil, fmt.Errorf("read mail %s: %w", m.id, err)
	}
	if !m.env.Read {
		m.env.Read, m.summary.Read = true, true
		meta, err := json.Marshal(m.env)
		if err == nil {
			err = writeFile(s.path(m.id, ".json"), meta)
		}
		if err != nil {
			return kept{}, nil, fmt.Errorf("mark mail %s as read: %w", m.id, err)
		}
	}
	return *m, raw, nil
}

// remove deletes the mails with these ids; no ids means all. Unknown ids are passed over.
func (s *store) remove(ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	s.mails = slices.DeleteFunc(s.mails, func(m kept) bool {
		if len(ids) > 0 && !slices.Contains(ids, m.id) {
			return false
		}
		for _, ext := range []string{".eml", ".json"} {
			if err := os.Remove(s.path(m.id, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				faults = append(faults, fmt.Errorf("delete mail %s: %w", m.id, err))
				return false
			}
		}
		return true
	})
	return errors.Join(faults...)
}

// writeFile replaces a file in one step, after its bytes are on disk.
func writeFile(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a name that the store made, in its own folder
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write file %s: %w", tmp, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// usable reports why mail could not be kept, or nil.
func (s *store) usable() error {
	if _, err := os.Stat(s.dir); err != nil {
		return fmt.Errorf("use mail folder: %w", err)
	}
	return nil
}
