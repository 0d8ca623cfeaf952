package allinone_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

// prepareSecrets runs deploy/prepare.sh as compose does and returns the folder with one folder per container.
func prepareSecrets(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	prepare(t, nil, append([]string{"SECRETS=" + dir}, env...))
	return dir
}

// prepareSandbox is the step that the profile sandbox adds.
func prepareSandbox(t *testing.T, secrets string, env ...string) {
	t.Helper()
	prepare(t, []string{"sandbox"}, append([]string{"SECRETS=" + secrets}, env...))
}

func prepare(t *testing.T, args, env []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join(deployDir, "prepare.sh")}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CONFIG=" + deployDir}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("prepare.sh: %v\n%s", err, out)
	}
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(readFile(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// deployedNATS is a server that runs from deploy/nats/nats-server.conf.
type deployedNATS struct {
	srv     *server.Server
	secrets string
}

// startDeployedNATS lays the files out as the container has them (/etc/nats, /run/secrets) and starts the server from its
// own configuration; only the addresses and the folder of the store are changed.
func startDeployedNATS(t *testing.T, secrets string) deployedNATS {
	t.Helper()
	root := t.TempDir()
	conf := filepath.Join(root, "etc/nats/nats-server.conf")
	copyFile(t, deployDir+"/nats/nats-server.conf", conf)
	copyFile(t, deployDir+"/nats/users.conf", filepath.Join(root, "etc/nats/users.conf"))
	copyFile(t, secrets+"/nats/nats_passwords.conf", filepath.Join(root, "run/secrets/nats_passwords.conf"))
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatalf("nats-server.conf: %v", err)
	}
	if !opts.JetStream || !opts.SyncAlways || opts.StoreDir != "/data" || opts.Port != 4222 || opts.HTTPPort != 8222 || opts.MaxPayload != 1<<20 {
		t.Fatalf("nats-server.conf: jetstream %t, sync always %t, store %s, port %d, monitoring %d, payload %d",
			opts.JetStream, opts.SyncAlways, opts.StoreDir, opts.Port, opts.HTTPPort, opts.MaxPayload)
	}
	opts.Host, opts.Port, opts.HTTPHost, opts.HTTPPort = "127.0.0.1", -1, "127.0.0.1", -1
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	opts.JetStreamMaxStore = 1 << 30
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server did not become ready within 20 s")
	}
	return deployedNATS{srv, secrets}
}

// url returns the address with the password that prepare.sh gave the user.
func (d deployedNATS) url(t *testing.T, user string) string {
	t.Helper()
	file := filepath.Join(d.secrets, user, "nats_url")
	if user == "subscriber_example" {
		file = filepath.Join(d.secrets, "operator", user+"_nats_url")
	}
	return strings.Replace(readFile(t, file), "nats:4222", strings.TrimPrefix(d.srv.ClientURL(), "nats://"), 1)
}

// connect connects the way the services do.
func (d deployedNATS) connect(t *testing.T, user string) *nats.Conn {
	t.Helper()
	nc, err := natsstream.Connect(t.Context(), natsstream.Config{URL: env.NewSecret(d.url(t, user)), Name: user}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func (d deployedNATS) log(t *testing.T, user string) *natsstream.Log {
	t.Helper()
	l, err := natsstream.NewLog(d.connect(t, user))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// subscriberDurable is what operator declares for another team.
func subscriberDurable(name string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: name, FilterSubject: "quote.paid.*.*.*", AckPolicy: jetstream.AckExplicitPolicy}
}

// declared is startDeployedNATS with everything declared by operator.
func declared(t *testing.T) deployedNATS {
	t.Helper()
	d := startDeployedNATS(t, prepareSecrets(t))
	nc := d.connect(t, "operator")
	if err := natsstream.Declare(t.Context(), nc, natsstream.Options{}); err != nil {
		t.Fatalf("declare as operator: %v", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateConsumer(t.Context(), event.StreamQuotes, subscriberDurable("subscriber_example")); err != nil {
		t.Fatal(err)
	}
	return d
}
