package bench_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
)

// syncMode says when the NATS server writes through to the disk: how much an acknowledgement is worth.
type syncMode string

const (
	// syncDefault is nats-server's own default, every two minutes: a power cut loses what was acknowledged since.
	syncDefault syncMode = "default"
	// syncAlways is what we recommend and what DURABILITY=server demands: an acknowledged message is on the disk.
	syncAlways syncMode = "always"
)

// natsPatience bounds the start and the end of a NATS server: with five million messages each may take half a minute.
const natsPatience = 5 * time.Minute

// natsServer is a NATS server as a process of its own.
type natsServer struct {
	tb                  testing.TB
	proc                *process
	store, url, monitor string
	log                 *natsstream.Log
}

// startNATS starts a server on an empty store with everything declared.
func startNATS(tb testing.TB, how syncMode) *natsServer {
	tb.Helper()
	store, err := os.MkdirTemp(folder, "nats-") //nolint:usetesting // gone after the round, not after the benchmark: it is large
	if err != nil {
		tb.Fatal(err)
	}
	s := &natsServer{tb: tb, store: store}
	s.launch(how, freeaddr.New(tb))
	nc, err := natsstream.Connect(tb.Context(), s.config("bench"), zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if err := natsstream.Declare(tb.Context(), nc, natsstream.Options{}); err != nil {
		tb.Fatal(err)
	}
	if s.log, err = natsstream.NewLog(nc); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *natsServer) launch(how syncMode, addr string) {
	s.tb.Helper()
	p, line := startRole(s.tb, "nats", "BENCH_STORE="+s.store, "BENCH_SYNC="+string(how), "BENCH_ADDR="+addr)
	s.proc = p
	s.url, s.monitor, _ = strings.Cut(line, " ")
}

// restart starts the server again on its store and port, with another way to sync.
func (s *natsServer) restart(how syncMode) {
	s.tb.Helper()
	s.proc.stop()
	s.launch(how, strings.TrimPrefix(s.url, "nats://"))
	processtest.Eventually(s.tb, 20*time.Second, "the connection to NATS is back", func() error {
		return natsstream.Ready(s.log.JetStream().Conn())
	})
}

// drop ends the server and removes its store.
func (s *natsServer) drop() {
	s.log.JetStream().Conn().Close()
	s.proc.stop()
	_ = os.RemoveAll(s.store)
}

func (s *natsServer) config(name string) natsstream.Config {
	return natsstream.Config{URL: env.NewSecret(s.url), Name: name}
}

// runNATS is the role of the NATS server: nats-server as a library.
func runNATS(ctx context.Context) error {
	host, port, err := net.SplitHostPort(os.Getenv("BENCH_ADDR"))
	if err != nil {
		return fmt.Errorf("read BENCH_ADDR: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("read BENCH_ADDR: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		Host: host, Port: number, HTTPHost: host, HTTPPort: -1, JetStream: true, StoreDir: os.Getenv("BENCH_STORE"),
		SyncAlways: syncMode(os.Getenv("BENCH_SYNC")) == syncAlways, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return fmt.Errorf("make nats-server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(natsPatience) {
		return fmt.Errorf("nats-server is not ready after %s", natsPatience)
	}
	fmt.Fprintln(os.Stdout, s.ClientURL(), "http://"+s.MonitorAddr().String())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
