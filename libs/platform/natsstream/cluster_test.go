package natsstream_test

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// Of a cluster every server counts that may be the next leader, and one that is away does not keep a service from starting.
func TestOfAClusterEveryServerMustSync(t *testing.T) {
	nc := natstest.StartEmpty(t).Conn("a")
	synced, lazy := natstest.StartSynced(t), natstest.StartEmpty(t)
	away := natstest.StartSynced(t)
	away.Stop()
	for _, c := range []struct {
		what string
		urls []string
		says string // "" for no error
	}{
		{"all sync, one is away", []string{synced.MonitorURL, away.MonitorURL, synced.MonitorURL}, ""},
		{"one does not sync", []string{synced.MonitorURL, lazy.MonitorURL, synced.MonitorURL}, "sync_interval: always"},
		{"most are away", []string{away.MonitorURL, synced.MonitorURL, away.MonitorURL}, "connection refused"},
		{"half are away", []string{away.MonitorURL, synced.MonitorURL}, "connection refused"},
	} {
		_, err := natsstream.OpenLog(t.Context(), nc, natsstream.Durability{Mode: natsstream.DurabilityServer, MonitorURL: strings.Join(c.urls, ",")}, zap.NewNop())
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: OpenLog = %v, want an error that says %q", c.what, err, c.says)
		}
	}
}

// guarded starts a server that lets in one user with a password, on an address that does not change.
func guarded(t *testing.T, addr, password string) *server.Server {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: at.Port, Username: "ingress", Password: password, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server did not become ready within a minute")
	}
	return srv
}

// A list of servers carries the password once, as a person writes it; every server of the list is told it.
func TestThePasswordIsForEveryServerOfTheList(t *testing.T) {
	first, second := freeaddr.New(t), freeaddr.New(t)
	srv := guarded(t, first, "right")
	guarded(t, second, "right")
	nc := connect(t, "nats://ingress:right@"+first+","+second)
	srv.Shutdown()
	eventually(t, "the connection goes over to the second server", func() bool { return nc.IsConnected() && nc.ConnectedAddr() == second })
}

// A server that refuses the password for a while, as one does whose users were changed before the services, does not end the
// connection for good: that would leave a process that runs and can never work again.
func TestAConnectionOutlivesARefusal(t *testing.T) {
	addr := freeaddr.New(t)
	srv := guarded(t, addr, "right")
	nc := connect(t, "nats://ingress:right@"+addr)
	srv.Shutdown()
	srv.WaitForShutdown()
	srv = guarded(t, addr, "another")
	var refused atomic.Int64
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrAuthorization) {
			refused.Add(1)
		}
	})
	eventually(t, "it is refused for the third time", func() bool { return refused.Load() >= 3 })
	srv.Shutdown()
	srv.WaitForShutdown()
	guarded(t, addr, "right")
	eventually(t, "it is let in again", nc.IsConnected)
}

func connect(t *testing.T, urls string) *nats.Conn {
	t.Helper()
	nc, err := natsstream.Connect(t.Context(), natsstream.Config{URL: env.NewSecret(urls), Name: "ingress"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
