package cluster_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/allinone/processtest"
)

const harnessPassword = "harness-password" // of the test's own user, who may do everything

// redisSecrets are the users of deploy/redis, their passwords, and those of the servers among each other.
type redisSecrets struct {
	tb  testing.TB
	dir string // as prepare.sh has filled it
	acl string
}

const replicaPassword, sentinelPassword = "replica-password", "sentinel-password"

func newRedisSecrets(tb testing.TB) redisSecrets {
	tb.Helper()
	s := redisSecrets{tb: tb, dir: tb.TempDir()}
	prepare := exec.CommandContext(tb.Context(), "sh", filepath.Join(deployDir, "prepare.sh"))
	prepare.Env = []string{"PATH=" + os.Getenv("PATH"), "CONFIG=" + deployDir, "SECRETS=" + s.dir}
	if out, err := prepare.CombinedOutput(); err != nil {
		tb.Fatalf("prepare.sh: %v\n%s", err, out)
	}
	hashed := func(password string) string {
		sum := sha256.Sum256([]byte(password))
		return hex.EncodeToString(sum[:])
	}
	s.acl = read(tb, s.dir, "redis", "users.acl") +
		strings.NewReplacer("@REPLICA@", hashed(replicaPassword), "@SENTINEL@", hashed(sentinelPassword)).Replace(read(tb, deployDir, "redis", "replication.acl.in")) +
		"user harness on >" + harnessPassword + " ~* &* +@all\n"
	return s
}

// url is REDIS_URL of a user, with the password that prepare.sh gave it.
func (s redisSecrets) url(user, scheme, hosts, path string) redisquote.Config {
	s.tb.Helper()
	u, err := url.Parse(read(s.tb, s.dir, user, "redis_url"))
	if err != nil {
		s.tb.Fatal(err)
	}
	return redisquote.Config{URL: env.NewSecret(scheme + "://" + u.User.String() + "@" + hosts + "/" + path)}
}

// redisNode is a redis-server from one of the configurations in deploy/redis. Only addresses and folders are changed.
type redisNode struct {
	tb   testing.TB
	addr string
	proc *processtest.Process
}

// startRedis starts a server with further arguments, given as on its command line.
func startRedis(tb testing.TB, secrets redisSecrets, conf string, args ...string) *redisNode {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("redis-server is not on PATH; on Debian: apt-get install redis-server (make servers does it as root)")
	}
	root := tb.TempDir()
	dir, run := filepath.Join(root, "data"), filepath.Join(root, "secrets")
	replaced := strings.NewReplacer("/run/secrets/", run+"/", "/etc/redis/", root+"/", "dir /data", "dir "+dir)
	for _, file := range []string{"redis.conf", conf} {
		write(tb, filepath.Join(root, file), replaced.Replace(read(tb, deployDir, "redis", file)))
	}
	write(tb, filepath.Join(run, "users.acl"), secrets.acl)
	write(tb, filepath.Join(run, "replication.conf"), "masteruser replica\nmasterauth "+replicaPassword+"\n")
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	n := &redisNode{tb: tb, addr: freeaddr.New(tb)}
	n.proc = processtest.New(tb, "redis "+n.addr, binary, "", nil)
	n.proc.Args = append([]string{filepath.Join(root, conf), "--bind", "127.0.0.1", "--port", port(tb, n.addr)}, args...)
	n.start()
	return n
}

func (n *redisNode) start() {
	n.tb.Helper()
	n.proc.Start()
	processtest.Eventually(n.tb, patience, "redis "+n.addr+" answers", func() error { return n.do(n.tb.Context(), "PING").Err() })
}

// do sends one command as the test's own user.
func (n *redisNode) do(ctx context.Context, args ...any) *redis.Cmd {
	c := redis.NewClient(&redis.Options{Addr: n.addr, Username: "harness", Password: harnessPassword, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	return c.Do(ctx, args...)
}

func (n *redisNode) must(args ...any) *redis.Cmd {
	n.tb.Helper()
	cmd := n.do(n.tb.Context(), args...)
	if cmd.Err() != nil {
		n.tb.Fatalf("redis %s: %v: %v", n.addr, args, cmd.Err())
	}
	return cmd
}

// info is one line of INFO.
func (n *redisNode) info(section, name string) (string, error) {
	text, err := n.do(n.tb.Context(), "INFO", section).Text()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("INFO %s of %s has no %s", section, n.addr, name)
}

// follows waits until the server is a replica that has its master's data.
func (n *redisNode) follows() {
	n.tb.Helper()
	processtest.Eventually(n.tb, patience, "redis "+n.addr+" follows a master", func() error {
		link, err := n.info("replication", "master_link_status")
		if err == nil && link != "up" {
			err = errors.New("its link is " + link)
		}
		return err
	})
}

func port(tb testing.TB, addr string) string {
	tb.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
