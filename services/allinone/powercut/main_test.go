//go:build linux

package powercut_test

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"quittance.internal/services/allinone/processtest"
)

// roleVar makes this binary something else than a test.
const roleVar = "POWERCUT_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleVar); role {
	case "":
		processtest.Main(m)
	case "nats":
		err = runNATS(os.Getenv("POWERCUT_CONF"))
	case "writer":
		err = runWriter(os.Getenv("POWERCUT_FILE"), os.Getenv("POWERCUT_SYNC") == "yes")
	default:
		err = fmt.Errorf("no role %s", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runNATS is nats-server with a configuration file, as its own program reads it.
func runNATS(conf string) error {
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		return err
	}
	opts.NoSigs = true
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	s.Shutdown()
	return nil
}

// runWriter is the control: it appends records to a file, and tells each one on its standard output as soon as write, or write and
// fsync, have returned.
func runWriter(path string, synced bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if _, err := fmt.Fprintf(f, recordFormat, n); err != nil {
			return err
		}
		if synced {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// recordFormat makes records of 64 bytes.
const (
	recordFormat = "record %055d\n"
	recordSize   = 63
)
