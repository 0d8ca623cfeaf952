package allinone_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/services/allinone/processtest"
)

// deployedRedis is a real redis-server that runs from deploy/redis.
type deployedRedis struct{ addr, secrets string }

// startDeployedRedis starts redis-server from deploy/redis/redis.conf with the ACL that prepare.sh made; only the address
// and the folders are changed.
func startDeployedRedis(t *testing.T, secrets string) deployedRedis {
	t.Helper()
	dir := t.TempDir()
	conf := strings.NewReplacer("aclfile /run/secrets/users.acl", "aclfile "+filepath.Join(secrets, "redis/users.acl"), "dir /data", "dir "+dir).
		Replace(readFile(t, deployDir, "redis/redis.conf"))
	file := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeaddr.New(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command("redis-server", file, "--bind", "127.0.0.1", "--port", port)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server (Debian: apt-get install redis-server): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("redis-server:\n%s", out.String())
		}
	})
	d := deployedRedis{addr, secrets}
	health := redis.NewClient(&redis.Options{Addr: addr, Username: "health", Password: "-", Protocol: 2, DisableIdentity: true})
	defer func() { _ = health.Close() }()
	eventually(t, "redis-server answers", func() bool { return health.Ping(t.Context()).Err() == nil })
	return d
}

// url returns the address with the password that prepare.sh gave the user.
func (d deployedRedis) url(t *testing.T, user string) string {
	t.Helper()
	return strings.Replace(readFile(t, d.secrets, user, "redis_url"), "redis:6379", d.addr, 1)
}

func (d deployedRedis) client(t *testing.T, user string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(d.url(t, user))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// eventually polls until ok is true; it fails the test after two minutes, which only a loaded machine needs.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	processtest.Until(t, 2*time.Minute, what, ok)
}

// R73: what the compose file starts keeps state on disk and never evicts.
func TestDeployedRedisKeepsWhatItIsGiven(t *testing.T) {
	conf := strings.Split(readFile(t, deployDir, "redis/redis.conf"), "\n")
	for _, want := range []string{"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "aclfile /run/secrets/users.acl"} {
		if !slices.Contains(conf, want) {
			t.Errorf("redis.conf lacks %q", want)
		}
	}
}

// Every user against every kind of command, on the real server: payments writes, the others read, nobody destroys.
func TestRedisUsersMayDoTheirWorkAndNoMore(t *testing.T) {
	d := startDeployedRedis(t, prepareSecrets(t))
	all := []string{"payments", "quotes", "console", "operator"}
	writer := []string{"payments"}
	for _, p := range []struct {
		command string
		may     []string
	}{
		{"PING", all},
		{"CLIENT SETNAME probe", all},
		{"HSET g1:pay:{platform:q_1} status paid", writer},
		{"HSETNX g1:out:{STRIPE:0} 1 {}", writer},
		{"SET g1:token:{t} q_1", writer},
		{"ZADD g1:idx:seller:main 1 q_1", writer},
		{"ZADD g1:idx:seller:main NX 1 q_1", writer},
		{"ZREM g1:idx:seller:main q_2", writer},
		{"EVAL return(redis.call('HGET',KEYS[1],'status')) 1 g1:pay:{platform:q_1}", writer},
		{"HDEL g1:out:{STRIPE:0} 2", writer},
		{"EXISTS g1:sys:marker:{0}", []string{"payments", "operator"}},
		{"SET g1:sys:marker:{0}:repair 1", writer},
		{"RENAME g1:sys:marker:{0}:repair g1:sys:marker:{0}", writer},
		{"HGETALL g1:pay:{platform:q_1}", all},
		{"HGET g1:quote:{q_1} doc", all},
		{"GET g1:token:{t}", all},
		{"ZREVRANGEBYSCORE g1:idx:seller:main +inf -inf WITHSCORES LIMIT 0 10", []string{"quotes", "console", "operator"}},
		{"ZRANGE g1:idx:parked 0 9 WITHSCORES", all},
		{"HMGET g1:out:{STRIPE:0} 1 2", all},
		{"ZCARD g1:idx:parked", []string{"payments", "operator"}},
		{"INFO memory", []string{"payments", "operator"}},
		{"SCAN 0 MATCH g1:* COUNT 10", []string{"payments", "operator"}},
		{"HLEN g1:out:{STRIPE:0}", []string{"payments", "operator"}},
		{"UNLINK g0:pay:{platform:q_1}", writer}, // the keys of a generation that is not used any more
		// No other team's keys, whatever the command.
		{"HSET other status paid", nil},
		{"GET other", nil},
		{"RENAME g1:token:{t} other", nil},
		// Nothing that destroys, reconfigures, spies or escapes.
		{"FLUSHALL", nil},
		{"FLUSHDB", nil},
		{"CONFIG GET maxmemory-policy", nil},
		{"CONFIG SET maxmemory-policy allkeys-lru", nil},
		{"ACL SETUSER payments +@all", nil},
		{"SHUTDOWN", nil},
		{"SLAVEOF NO ONE", nil},
		{"KEYS *", nil},
		{"MONITOR", nil},
		{"CLIENT KILL TYPE normal", nil},
		{"SCRIPT FLUSH", nil},
		{"FUNCTION FLUSH", nil},
		{"REPLICAOF NO ONE", nil},
		{"CLUSTER RESET", nil},
		{"CLUSTER FAILOVER", nil},
		{"SAVE", nil},
		{"BGREWRITEAOF", nil},
		{"MODULE LIST", nil},
		{"PUBLISH g1:x y", nil},
		{"DEL g1:token:{t}", nil},
		{"EXPIRE g1:token:{t} 1", nil},
		{"SCRIPT LOAD return(1)", nil},
	} {
		for _, user := range all {
			words := strings.Fields(p.command)
			args := make([]any, len(words))
			for i, w := range words {
				args[i] = w
			}
			err := d.client(t, user).Do(t.Context(), args...).Err()
			refused := err != nil && strings.HasPrefix(err.Error(), "NOPERM")
			if want := slices.Contains(p.may, user); refused == want {
				t.Errorf("%s: %s = %v, want allowed %t", user, p.command, err, want)
			}
			if err != nil && !refused && !errors.Is(err, redis.Nil) {
				t.Errorf("%s: %s = %v, want another answer", user, p.command, err)
			}
		}
	}
}

func TestRedisKnowsNoDefaultUser(t *testing.T) {
	d := startDeployedRedis(t, prepareSecrets(t))
	c := redis.NewClient(&redis.Options{Addr: d.addr})
	defer func() { _ = c.Close() }()
	if err := c.Get(t.Context(), "g1:token:{t}").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("GET without a password = %v, want NOAUTH", err)
	}
	health := redis.NewClient(&redis.Options{Addr: d.addr, Username: "health", Password: "-"})
	defer func() { _ = health.Close() }()
	if err := health.Get(t.Context(), "g1:token:{t}").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("GET as health = %v, want NOPERM", err)
	}
}
