//go:build upgrade

package upgrade_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap/zaptest"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote/redistest"
)

// servers are NATS and Redis with the users of deploy/nats/users.conf and deploy/redis/users.acl.in of a version. They take the
// users of another one while they run.
type servers struct {
	t             *testing.T
	etc           string // where the NATS server reads its configuration
	nats          *server.Server
	address, http string
	redis         *redistest.Server
	cache         redis.UniversalClient
}

// startServers starts them with the configuration in a checkout.
func startServers(t *testing.T, checkout string) *servers {
	t.Helper()
	root := t.TempDir()
	s := &servers{t: t, etc: filepath.Join(root, "etc", "nats"), address: freeaddr.New(t), http: freeaddr.New(t), redis: redistest.Start(t)}
	s.cache = s.redis.Client()
	s.write(filepath.Join(s.etc, "nats-server.conf"), strings.NewReplacer(
		`"0.0.0.0:4222"`, `"`+s.address+`"`, `"0.0.0.0:8222"`, `"`+s.http+`"`, `"/data"`, `"`+t.TempDir()+`"`, "20GB", "1GB",
	).Replace(s.read(checkout, "deploy/nats/nats-server.conf")))
	s.rights(checkout)
	opts, err := server.ProcessConfigFile(filepath.Join(s.etc, "nats-server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if s.nats, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	s.nats.Start()
	t.Cleanup(func() { s.nats.Shutdown(); s.nats.WaitForShutdown() })
	if !s.nats.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server did not become ready within a minute")
	}
	return s
}

var passwordNames = regexp.MustCompile(`\$NATS_PASSWORD_[A-Z_]+`)

// rights gives the users those of a checkout, as the runbook's first step does.
func (s *servers) rights(checkout string) {
	s.t.Helper()
	users := s.read(checkout, "deploy/nats/users.conf")
	var passwords strings.Builder
	for _, name := range passwordNames.FindAllString(users, -1) {
		passwords.WriteString(strings.TrimPrefix(name, "$") + `: "` + password(strings.TrimPrefix(name, "$NATS_PASSWORD_")) + "\"\n")
	}
	s.write(filepath.Join(s.etc, "../../run/secrets/nats_passwords.conf"), passwords.String())
	s.write(filepath.Join(s.etc, "users.conf"), users)
	if s.nats != nil {
		if err := s.nats.Reload(); err != nil { // what SIGHUP does
			s.t.Fatal(err)
		}
	}
	for line := range strings.Lines(s.read(checkout, "deploy/redis/users.acl.in")) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "user" || fields[1] == "default" { // the test itself is default
			continue
		}
		args := []any{"ACL", "SETUSER", fields[1]}
		for _, rule := range fields[2:] {
			if mark, ok := strings.CutPrefix(rule, "#@"); ok {
				sum := sha256.Sum256([]byte(password(strings.TrimSuffix(mark, "@"))))
				rule = "#" + hex.EncodeToString(sum[:])
			}
			args = append(args, rule)
		}
		if err := s.cache.Do(s.t.Context(), args...).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func password(user string) string { return "password-of-" + strings.ToLower(user) }

func (s *servers) natsURL(user string) string {
	return "nats://" + user + ":" + password(user) + "@" + s.address
}

func (s *servers) redisURL(user string) string {
	return strings.Replace(s.redis.URL, "redis://", "redis://"+user+":"+password(user)+"@", 1)
}

// log is the log as operators read it.
func (s *servers) log() *natsstream.Log {
	s.t.Helper()
	nc, err := natsstream.Connect(s.t.Context(), natsstream.Config{URL: env.NewSecret(s.natsURL("operator")), Name: "operator"}, zaptest.NewLogger(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	log, err := natsstream.NewLog(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return log
}

func (s *servers) read(elements ...string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *servers) write(path, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
