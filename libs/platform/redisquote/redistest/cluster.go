package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/redisquote"
)

// slots is how many hash slots every Redis Cluster has.
const slots = 16384

// Cluster is a running Redis Cluster of redis-server processes.
type Cluster struct {
	// URL is its address as REDIS_URL takes it.
	URL string
	// Nodes are the masters it began with, each followed by its replicas.
	Nodes []*Server

	tb testing.TB
}

// StartCluster starts a cluster in which each of the masters has that many replicas, with further arguments for every server.
// It ends with the test.
func StartCluster(tb testing.TB, masters, replicas int, args ...string) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	var addrs []string
	for range masters * (1 + replicas) {
		n := startNode(tb, args)
		c.Nodes, addrs = append(c.Nodes, n), append(addrs, n.Addr())
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	if err := c.form(tb.Context(), masters, replicas); err != nil {
		tb.Fatalf("form a cluster of redis-servers: %v", err)
	}
	c.Await(func() error { return c.whole(tb.Context()) })
	return c
}

// startNode starts a server that is in a cluster of its own, on ports to which it can come back.
func startNode(tb testing.TB, args []string) *Server {
	tb.Helper()
	_, port, err := net.SplitHostPort(freeaddr.New(tb))
	if err != nil {
		tb.Fatal(err)
	}
	_, bus, err := net.SplitHostPort(freeaddr.New(tb))
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, served: true, bus: bus}
	if s.port, err = strconv.Atoi(port); err != nil {
		tb.Fatal(err)
	}
	s.URL = "redis://" + s.Addr() + "/0"
	s.args = arguments(tb, append([]string{"--cluster-enabled", "yes", "--cluster-port", bus}, args...))
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// form makes one cluster of the nodes: the masters share the slots evenly, then each replica follows its master.
func (c *Cluster) form(ctx context.Context, masters, replicas int) error {
	for i, n := range c.Nodes {
		do := func(args ...any) error { return n.Do(ctx, args...).Err() }
		// Without epochs of their own they would argue for seconds about whose word counts.
		if err := do("CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if m := i / (1 + replicas); i%(1+replicas) == 0 {
			if err := do("CLUSTER", "ADDSLOTSRANGE", m*slots/masters, (m+1)*slots/masters-1); err != nil {
				return err
			}
		}
		first := c.Nodes[0]
		if err := do("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus); err != nil {
			return err
		}
	}
	for i, n := range c.Nodes {
		if i%(1+replicas) == 0 {
			continue
		}
		master, err := c.Nodes[i/(1+replicas)*(1+replicas)].Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		c.Await(func() error { return n.Do(ctx, "CLUSTER", "REPLICATE", master).Err() }) // as soon as it has heard of its master
	}
	return nil
}

// whole returns nil when all nodes know each other, serve all slots, and every replica has its master's data.
func (c *Cluster) whole(ctx context.Context) error {
	for _, n := range c.Nodes {
		info, err := n.Do(ctx, "CLUSTER", "INFO").Text()
		if err != nil {
			return err
		}
		for _, want := range []string{"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", slots), fmt.Sprintf("cluster_known_nodes:%d", len(c.Nodes))} {
			if !strings.Contains(info, want+"\r\n") {
				return fmt.Errorf("node %s: not %s:\n%s", n.Addr(), want, info)
			}
		}
		if info, err = n.Do(ctx, "INFO", "replication").Text(); err != nil {
			return err
		}
		if strings.Contains(info, "master_link_status:down") {
			return fmt.Errorf("replica %s has no link to its master", n.Addr())
		}
	}
	return nil
}

// Await tries f until it succeeds, for up to a minute.
func (c *Cluster) Await(f func() error) {
	c.tb.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("redis cluster, not within a minute: %v", err)
		}
	}
}

// Config returns the client's configuration.
func (c *Cluster) Config() redisquote.Config { return redisquote.Config{URL: env.NewSecret(c.URL)} }

// Do sends one command to this very server, over a connection of its own. A NIL answer is an error.
func (s *Server) Do(ctx context.Context, args ...any) *redis.Cmd {
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), DialerRetryTimeout: 5 * time.Millisecond, MaxRetries: -1})
	defer client.Close()
	return client.Do(ctx, args...)
}

// Role is "master" or "slave", as the server itself says.
func (s *Server) Role(ctx context.Context) (string, error) {
	answer, err := s.Do(ctx, "ROLE").Slice()
	if err != nil {
		return "", err
	}
	if role, ok := answer[0].(string); ok {
		return role, nil
	}
	return "", errors.New("ROLE answers something else than a role")
}
