package cluster_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
)

const (
	deployDir = "../../../deploy"
	patience  = 3 * time.Minute // for whatever must come by itself on a loaded machine
)

// natsCluster is three nats-servers from deploy/nats/cluster.conf, with the users and passwords that prepare.sh makes.
type natsCluster struct {
	tb      testing.TB
	secrets string
	names   []string
	servers map[string]*processtest.Process
	monitor map[string]string // name → monitoring URL
	disks   map[string]string // name → folder of the store
}

// startNATS starts the servers, each laid out as its host has it (/etc/nats, /run/secrets, /data), with the streams and three
// copies of each declared. Only the addresses and the folder of the store are changed.
func startNATS(tb testing.TB) *natsCluster {
	tb.Helper()
	return startNATSIn(tb, loopback{tb})
}

// startNATSIn is startNATS on the hosts nats-1, nats-2 and nats-3 of a network.
func startNATSIn(tb testing.TB, hosts network) *natsCluster {
	tb.Helper()
	c := &natsCluster{
		tb: tb, names: []string{"nats-1", "nats-2", "nats-3"}, secrets: tb.TempDir(),
		servers: map[string]*processtest.Process{}, monitor: map[string]string{}, disks: map[string]string{},
	}
	var clients, routes []string
	for _, name := range c.names {
		clients = append(clients, hosts.address(name))
		routes = append(routes, hosts.address(name))
	}
	prepare := exec.CommandContext(tb.Context(), "sh", filepath.Join(deployDir, "prepare.sh"))
	prepare.Env = []string{"PATH=" + os.Getenv("PATH"), "CONFIG=" + deployDir, "SECRETS=" + c.secrets, "NATS=" + strings.Join(clients, ",")}
	if out, err := prepare.CombinedOutput(); err != nil {
		tb.Fatalf("prepare.sh: %v\n%s", err, out)
	}
	binary := processtest.NATSServer(tb)
	for i, name := range c.names {
		root, http := tb.TempDir(), hosts.address(name)
		etc, run := filepath.Join(root, "etc", "nats"), filepath.Join(root, "run", "secrets")
		replaced := strings.NewReplacer(`"0.0.0.0:4222"`, `"`+clients[i]+`"`, `"0.0.0.0:8222"`, `"`+http+`"`, `"0.0.0.0:6222"`, `"`+routes[i]+`"`,
			`"/data"`, `"`+filepath.Join(root, "data")+`"`, "20GB", "1GB")
		for _, file := range []string{"cluster.conf", "nats-server.conf", "users.conf"} {
			write(tb, filepath.Join(etc, file), replaced.Replace(read(tb, deployDir, "nats", file)))
		}
		write(tb, filepath.Join(run, "nats_passwords.conf"), read(tb, c.secrets, "nats", "nats_passwords.conf"))
		const password = "cluster-password"
		write(tb, filepath.Join(run, "nats_cluster.conf"), fmt.Sprintf("NATS_SERVER_NAME: %q\nNATS_PASSWORD_CLUSTER: %q\nNATS_ROUTES: [\"nats-route://cluster:%s@%s\"]\n",
			name, password, password, strings.Join(routes, `", "nats-route://cluster:`+password+`@`)))
		c.monitor[name], c.disks[name] = "http://"+http, filepath.Join(root, "data")
		c.servers[name] = processtest.New(tb, name, binary, "http://"+http+"/healthz", nil)
		c.servers[name].Args = []string{"-c", filepath.Join(etc, "cluster.conf")}
		hosts.place(name, c.servers[name])
		c.servers[name].Start()
	}
	for _, s := range c.servers {
		s.Ready()
	}
	nc, err := natsstream.Connect(tb.Context(), c.config("operator"), zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	defer nc.Close()
	processtest.Eventually(tb, patience, "the streams are declared", func() error { // there is a leader for new streams first
		return natsstream.Declare(tb.Context(), nc, natsstream.Options{Replicas: len(c.names)})
	})
	return c
}

// config is that of a client with the rights of a user.
func (c *natsCluster) config(user string) natsstream.Config {
	return natsstream.Config{URL: env.NewSecret(read(c.tb, c.secrets, user, "nats_url")), Name: user}
}

// monitors are all monitoring addresses as NATS_MONITOR_URL takes them.
func (c *natsCluster) monitors() string {
	var all []string
	for _, n := range c.names {
		all = append(all, c.monitor[n])
	}
	return strings.Join(all, ",")
}

// log returns a Log for a user, on a connection of its own.
func (c *natsCluster) log(user string) *natsstream.Log {
	c.tb.Helper()
	nc, err := natsstream.Connect(c.tb.Context(), c.config(user), zap.NewNop())
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(nc.Close)
	l, err := natsstream.NewLog(nc)
	if err != nil {
		c.tb.Fatal(err)
	}
	return l
}

// lose kills a server and takes its disk away: the host is gone, and the one that comes in its place has nothing.
func (c *natsCluster) lose(name string) {
	c.tb.Helper()
	c.servers[name].Kill()
	if err := os.RemoveAll(c.disks[name]); err != nil {
		c.tb.Fatal(err)
	}
}

// leader names the server that leads a stream.
func (c *natsCluster) leader(js jetstream.JetStream, stream string) string {
	c.tb.Helper()
	var leader string
	processtest.Eventually(c.tb, patience, stream+" has a leader", func() error {
		s, err := js.Stream(c.tb.Context(), stream)
		if err != nil {
			return err
		}
		if leader = s.CachedInfo().Cluster.Leader; leader == "" {
			return errors.New("it has none")
		}
		return nil
	})
	return leader
}

// current waits until every copy of every stream is up to date: the cluster could lose any server now.
func (c *natsCluster) current(js jetstream.JetStream) {
	c.tb.Helper()
	processtest.Eventually(c.tb, patience, "all copies are up to date", func() error {
		for _, s := range c.servers {
			if err := healthy(s.Probe); err != nil {
				return err
			}
		}
		streams := js.ListStreams(c.tb.Context())
		for info := range streams.Info() {
			if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != len(c.names)-1 {
				return fmt.Errorf("stream %s: %+v", info.Config.Name, info.Cluster)
			}
			for _, r := range info.Cluster.Replicas {
				if !r.Current || r.Offline {
					return fmt.Errorf("copy of %s on %s is %d behind, offline %t", info.Config.Name, r.Name, r.Lag, r.Offline)
				}
			}
		}
		return streams.Err()
	})
}

func healthy(probe string) error {
	res, err := http.Get(probe)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func read(tb testing.TB, path ...string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
