package cluster_test

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/allinone/processtest"
)

// sentinels is a master and a replica under three Sentinels.
type sentinels struct {
	tb    testing.TB
	nodes [2]*redisNode
	addrs []string // of the Sentinels
	procs []*processtest.Process
}

func startSentinels(tb testing.TB, secrets redisSecrets) *sentinels {
	tb.Helper()
	s := &sentinels{tb: tb}
	s.nodes[0] = startRedis(tb, secrets, "replicated.conf")
	s.nodes[1] = startRedis(tb, secrets, "replicated.conf", "--replicaof", "127.0.0.1 "+port(tb, s.nodes[0].addr))
	s.nodes[1].follows()
	for i := range 3 {
		dir, addr := tb.TempDir(), freeaddr.New(tb)
		conf := filepath.Join(dir, "sentinel.conf")
		write(tb, conf, strings.NewReplacer(
			"port 26379", "port "+port(tb, addr)+"\nbind 127.0.0.1", "dir /tmp", "dir "+dir, "redis-1 6379", "127.0.0.1 "+port(tb, s.nodes[0].addr),
			"PASSWORD\n", sentinelPassword+"\n", "down-after-milliseconds quittance 5000", "down-after-milliseconds quittance 1500",
			"failover-timeout quittance 30000", "failover-timeout quittance 6000", // else the second failover waits for a minute
		).Replace(read(tb, deployDir, "redis", "sentinel.conf")))
		p := processtest.New(tb, "sentinel "+strconv.Itoa(i+1), s.nodes[0].proc.Path, "", nil)
		p.Args = []string{conf, "--sentinel"}
		p.Start()
		s.procs, s.addrs = append(s.procs, p), append(s.addrs, addr)
	}
	processtest.Eventually(tb, patience, "the sentinels know each other and the replica", func() error {
		for _, addr := range s.addrs {
			if err := s.ask(addr, "CKQUORUM", "quittance").Err(); err != nil {
				return err
			}
			master, err := s.ask(addr, "MASTER", "quittance").StringSlice()
			if err != nil {
				return err
			}
			told := strings.Join(master, " ")
			if !strings.Contains(told, "num-slaves 1 ") || !strings.Contains(told, "num-other-sentinels 2 ") {
				return errors.New(told)
			}
		}
		return nil
	})
	return s
}

func (s *sentinels) ask(addr string, args ...any) *redis.Cmd {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, Protocol: 2})
	defer c.Close()
	return c.Do(s.tb.Context(), append([]any{"SENTINEL"}, args...)...)
}

// master is whom most Sentinels name.
func (s *sentinels) master() (*redisNode, error) {
	votes := map[string]int{}
	for _, addr := range s.addrs {
		at, err := s.ask(addr, "GET-MASTER-ADDR-BY-NAME", "quittance").StringSlice()
		if err != nil || len(at) != 2 {
			return nil, errors.Join(errors.New("no answer of a sentinel"), err)
		}
		votes[at[0]+":"+at[1]]++
	}
	for _, n := range s.nodes {
		if 2*votes[n.addr] > len(s.addrs) {
			return n, nil
		}
	}
	return nil, errors.New("the sentinels name no one server")
}

// partition cuts the master off from its replica and from the Sentinels, and leaves it to its clients: who keep writing until they
// are told of another one. The returned function ends it.
//
// It needs no network namespace, and so no root: the master no longer lets in the users replica and sentinel. For those it is as
// gone as behind a cut cable, since a Sentinel counts only a PONG as a sign of life; only that they are told at once where a cable
// would leave them waiting, and both decide by the time since the last good answer.
func partition(master *redisNode) (heal func()) {
	for _, user := range []string{"replica", "sentinel"} {
		master.must("ACL", "SETUSER", user, "off")
		master.must("CLIENT", "KILL", "USER", user)
	}
	return func() {
		for _, user := range []string{"replica", "sentinel"} {
			master.must("ACL", "SETUSER", user, "on")
		}
	}
}

// A master that is cut off from its replica and the Sentinels goes on writing for its clients; the replica that takes over has
// nothing of that, and the old master forgets it when it comes back. Payments notices that another server answers and folds again.
func TestASentinelFailoverWithAPartitionIsRepaired(t *testing.T) {
	t.Parallel() // it mostly waits
	secrets := newRedisSecrets(t)
	s := startSentinels(t, secrets)
	nats := natstest.Start(t)
	w := newWorld(t, stores{nats: nats.Config, log: nats.Log("test"), operator: nats.Log("test"), redis: func(user string) redisquote.Config {
		return secrets.url(user, "redis+sentinel", strings.Join(s.addrs, ","), "quittance")
	}})
	w.publish(testsize.Of(t, 100, 500, 20_000))
	load := deliver(t, w, testsize.Of(t, 60, 80, 80))
	for range testsize.Of(t, 1, 5, 200) {
		load.moving(30)
		old, err := s.master()
		if err != nil {
			t.Fatal(err)
		}
		repairs := w.repairs()
		other := s.nodes[0]
		if other == old {
			other = s.nodes[1]
		}
		other.follows()
		lost := 0
		outage(t, w, load, "sentinel failover", func() {
			heal := partition(old)
			had := offset(t, other, "slave_repl_offset")
			processtest.Eventually(t, patience, "the sentinels have made the replica the master", func() error {
				if now, err := s.master(); err != nil || now != other {
					return errors.Join(errors.New("not yet"), err)
				}
				return nil
			})
			lost = offset(t, old, "master_repl_offset") - had
			heal()
		}, func() {
			processtest.Until(t, patience, "payments has folded again", func() bool { return w.repairs() > repairs })
			w.ready()
		})
		old.follows()
		if lost <= 0 {
			t.Error("the old master had nothing that the new one lacked: it proves nothing")
		}
		t.Logf("the new master lacked %d bytes of what the old one had accepted", lost)
	}
	load.rest()
	w.check(load)
}

func offset(t *testing.T, n *redisNode, name string) int {
	t.Helper()
	text, err := n.info("replication", name)
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
