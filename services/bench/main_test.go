package bench_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// roleVar names the environment variable by which this binary, run again, becomes one of the roles.
const roleVar = "QUITTANCE_BENCH_ROLE"

// profileVar names the folder into which each role writes profiles of its processor time and its allocations. Services run as roles then: from the
// same packages, with this module's requirements.
const profileVar = "BENCH_PROFILE"

// roles are what this binary can be besides a test: the servers and the programs that the product is compared with. Each
// prints one line once it can work, and works until ctx ends.
var roles = map[string]func(ctx context.Context) error{
	"nats":          runNATS,
	"bare-http":     runBareHTTP,
	"signed-http":   runSignedHTTP,
	"group-file":    runFile,
	"asynq":         runAsynq,
	"asynq-shipped": runAsynqShipped,
	"watermill":     runWatermill,
	"naive-worker":  runNaiveWorker,
	"fetch-and-ack": runFetchAndAck,

	"asynq-worker":     runAsynqWorker,
	"watermill-worker": runWatermillWorker,
	"asynq-mailer":     runAsynqMailer,

	"ingress":  runIngress,
	"payments": runPayments,
	"notifier": runNotifier,
}

// folder is where binaries and stores lie; it is removed at the end.
var folder string

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVar); name != "" {
		os.Exit(play(name))
	}
	dir, err := os.MkdirTemp("", "quittance-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	folder = dir
	go cleanUpWhenInterrupted()
	code := m.Run()
	_ = os.RemoveAll(dir)
	printSummary(os.Stdout) // b.Log shows nothing without -v
	if docs := os.Getenv("BENCH_DOCS"); docs != "" && code == 0 {
		if err := publishDocs(docs); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// cleanUpWhenInterrupted leaves no gigabytes behind when somebody has seen enough.
func cleanUpWhenInterrupted() {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	<-interrupted
	killAll()
	_ = os.RemoveAll(folder)
	os.Exit(130)
}

// play is a role's main. It ends when its standard input does, so that no role outlives the benchmark that started it.
func play(name string) int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	if dir := os.Getenv(profileVar); dir != "" {
		finish, err := profile(filepath.Join(dir, fmt.Sprintf("%s-%d", name, os.Getpid())))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer finish()
	}
	if err := roles[name](ctx); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// binary builds a service as it is shipped and returns its path.
var binary = func() func(tb testing.TB, service string) string {
	var mu sync.Mutex
	made := map[string]string{}
	return func(tb testing.TB, service string) string {
		tb.Helper()
		mu.Lock()
		defer mu.Unlock()
		if path := made[service]; path != "" {
			return path
		}
		path := filepath.Join(folder, service)
		cmd := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-o", path, "./services/"+service+"/cmd/"+service)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=") // this module is not in the workspace, the service is
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Fatalf("build %s: %v\n%s", service, err, out)
		}
		made[service] = path
		return path
	}
}()
