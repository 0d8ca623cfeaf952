package allinone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// natsUsers are the users of users.conf.
var natsUsers = []string{"ingress", "payments", "notifier", "quotes", "console", "operator", "subscriber_example"}

// keptSecrets are made at the first start and kept in DATA_DIR/secrets.json.
type keptSecrets struct {
	WebhookSecret string            `json:"webhook_secret"`
	Reconcile     string            `json:"reconcile_webhook_secret"`
	APIToken      string            `json:"api_token"`
	Redis         string            `json:"redis_password"`
	NATS          map[string]string `json:"nats_passwords"`
	// The sandbox's: the key that it accepts, and the secrets of its two webhook endpoints.
	SandboxKey     string `json:"sandbox_key"`
	SandboxSecret  string `json:"sandbox_webhook_secret"`
	SandboxConnect string `json:"sandbox_connect_webhook_secret"`
}

// webhookSecret are those of our own senders: the first signs simulated events and those that a customer brings back, the second what
// is fetched from Stripe, so that the log tells who signed.
func (k keptSecrets) webhookSecret() string {
	return "local=" + k.WebhookSecret + ",reconcile=" + k.Reconcile
}

func (k keptSecrets) apiTokens() string { return "local:admin:" + k.APIToken }

// dataDir is the folder that survives a restart, held by this process alone.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the folder (0700) and locks it. A second instance on the same folder is refused: it would write into
// the first one's store.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open DATA_DIR: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("lock DATA_DIR: %w", err)
	}
	// The kernel lets go of the lock when the process ends, however it ends.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(f.Name()) // only to say who
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("DATA_DIR %s is in use by another instance (process %s): stop it, or give this one another DATA_DIR and other addresses",
				path, strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock DATA_DIR: %w", err)
	}
	d := &dataDir{path: path, lock: f}
	if err := d.signLock(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *dataDir) signLock() error {
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("sign lock of DATA_DIR: %w", err)
	}
	if _, err := d.lock.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0); err != nil {
		return fmt.Errorf("sign lock of DATA_DIR: %w", err)
	}
	return nil
}

// close gives the folder back.
func (d *dataDir) close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("unlock DATA_DIR: %w", err)
	}
	return nil
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// secrets returns what is kept, after making what is missing.
func (d *dataDir) secrets(random func() string) (keptSecrets, error) {
	var k keptSecrets
	b, err := os.ReadFile(d.file("secrets.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("read kept secrets: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(b, &k); err != nil {
			return k, fmt.Errorf("read kept secrets from %s: %w", d.file("secrets.json"), err)
		}
	}
	made := false
	fill := func(have, prefix string) string {
		if have != "" {
			return have
		}
		made = true
		return prefix + random()
	}
	k.WebhookSecret = fill(k.WebhookSecret, "whsec_")
	k.Reconcile = fill(k.Reconcile, "whsec_")
	k.APIToken = fill(k.APIToken, "qt_")
	k.Redis = fill(k.Redis, "")
	k.SandboxKey = fill(k.SandboxKey, "sk_test_")
	k.SandboxSecret = fill(k.SandboxSecret, "whsec_")
	k.SandboxConnect = fill(k.SandboxConnect, "whsec_")
	if k.NATS == nil {
		k.NATS = map[string]string{}
	}
	for _, user := range natsUsers {
		k.NATS[user] = fill(k.NATS[user], "")
	}
	if !made {
		return k, nil
	}
	b, err = json.MarshalIndent(k, "", "  ") //nolint:gosec // to keep them is the purpose; the file is its owner's alone
	if err != nil {
		return k, fmt.Errorf("keep secrets: %w", err)
	}
	return k, d.write("secrets.json", append(b, '\n'))
}

// write replaces a file of mode 0600 in one step, after its bytes are on disk.
func (d *dataDir) write(name string, b []byte) error {
	tmp := d.file(name + ".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, d.file(name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
