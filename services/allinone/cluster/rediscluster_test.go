package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/allinone/processtest"
)

// startRedisCluster starts three masters with a replica each and makes a cluster of them.
func startRedisCluster(t *testing.T, secrets redisSecrets) []*redisNode {
	t.Helper()
	var nodes []*redisNode
	for range 6 {
		n := startRedis(t, secrets, "cluster.conf", "--cluster-port", port(t, freeaddr.New(t)), "--cluster-node-timeout", "2000")
		nodes = append(nodes, n)
	}
	for i, n := range nodes { // redis-cli tells the servers each other's ports only where they are the usual ones
		n.must("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < 3 {
			n.must("CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		}
		n.must("CLUSTER", "MEET", "127.0.0.1", port(t, nodes[0].addr), busPort(nodes[0]))
	}
	for i, n := range nodes[3:] {
		id := nodes[i].id()
		processtest.Eventually(t, patience, n.addr+" replicates", func() error { return n.do(t.Context(), "CLUSTER", "REPLICATE", id).Err() })
	}
	whole(t, nodes)
	return nodes
}

// id names a server within its cluster.
func (n *redisNode) id() string {
	n.tb.Helper()
	text, err := n.must("CLUSTER", "MYID").Text()
	if err != nil {
		n.tb.Fatal(err)
	}
	return text
}

func busPort(n *redisNode) string {
	for i, a := range n.proc.Args {
		if a == "--cluster-port" {
			return n.proc.Args[i+1]
		}
	}
	return ""
}

// whole waits until all servers agree on all slots and every replica has its master's data.
func whole(t *testing.T, nodes []*redisNode) {
	t.Helper()
	processtest.Eventually(t, patience, "the cluster is whole", func() error {
		for _, n := range nodes {
			text, err := n.do(t.Context(), "CLUSTER", "INFO").Text()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", fmt.Sprintf("cluster_known_nodes:%d", len(nodes))} {
				if !strings.Contains(text, want+"\r\n") {
					return fmt.Errorf("%s: not %s", n.addr, want)
				}
			}
			if link, err := n.info("replication", "master_link_status"); err == nil && link != "up" {
				return fmt.Errorf("%s has no link to its master", n.addr)
			}
		}
		return nil
	})
}

// masters are those that have slots now.
func masters(nodes []*redisNode) (all []*redisNode) {
	for _, n := range nodes {
		if role, err := n.info("replication", "role"); err == nil && role == "master" {
			all = append(all, n)
		}
	}
	return all
}

// reshard moves slots under load, with the tool that operators use.
func reshard(t *testing.T, from, to *redisNode, count int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "redis-cli", "--no-auth-warning", "--user", "harness", "--pass", harnessPassword,
		"--cluster", "reshard", from.addr, "--cluster-from", from.id(), "--cluster-to", to.id(), "--cluster-slots", strconv.Itoa(count), "--cluster-yes")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster reshard: %v\n%s", err, out[max(0, len(out)-2000):])
	}
}

// A master of a Redis Cluster dies and its replica takes over without its last writes; slots move from one master to another. Under
// load, with the rights that the services have: payments folds again what was lost, and follows what has moved.
func TestARedisClusterFailoverAndReshardingAreRepaired(t *testing.T) {
	t.Parallel() // it mostly waits
	secrets := newRedisSecrets(t)
	nodes := startRedisCluster(t, secrets)
	nats := natstest.Start(t)
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr)
	}
	w := newWorld(t, stores{nats: nats.Config, log: nats.Log("test"), operator: nats.Log("test"), redis: func(user string) redisquote.Config {
		return secrets.url(user, "redis+cluster", strings.Join(addrs, ","), "")
	}})
	w.publish(testsize.Of(t, 100, 500, 20_000))
	load := deliver(t, w, testsize.Of(t, 60, 80, 80))
	for round := range testsize.Of(t, 1, 5, 200) {
		load.moving(30)
		all := masters(nodes)
		outage(t, w, load, "slots moved", func() { reshard(t, all[round%3], all[(round+1)%3], testsize.Of(t, 300, 1500, 1500)) })
		whole(t, nodes)

		load.moving(30)
		repairs := w.repairs()
		victim := masters(nodes)[(round+2)%3]
		outage(t, w, load, "master of a cluster killed", func() {
			victim.proc.Kill()
			processtest.Until(t, patience, "a replica has taken over", func() bool { return len(masters(nodes)) == 3 })
		}, func() {
			processtest.Until(t, patience, "payments has folded again", func() bool { return w.repairs() > repairs })
			w.ready()
		})
		victim.start()
		whole(t, nodes)
	}
	load.rest()
	w.check(load)
	for _, n := range nodes {
		if told, err := n.must("INFO", "errorstats").Text(); err != nil || strings.Contains(told, "CROSSSLOT") || strings.Contains(told, "NOPERM") {
			t.Errorf("errors of %s: %s, %v; want neither CROSSSLOT nor NOPERM", n.addr, told, err)
		}
	}
}
