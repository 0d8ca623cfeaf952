package processtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// builds are the binaries under test, made once for each set of build tags.
var builds struct {
	sync.Mutex
	dir  string
	made map[string]string
}

// Main runs the tests of a package that uses Binary. Its TestMain calls it and nothing else.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "quittance-processes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir, builds.made = dir, map[string]string{}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// NATSServer returns the path of the nats-server that go.mod pins, built from its sources.
func NATSServer(tb testing.TB) string {
	tb.Helper()
	return binary(tb, "nats-server", "", "github.com/nats-io/nats-server/v2", ".")
}

// Binary returns the path of a command built with the given tags, "" for none. The command is named by its folder within the
// module of a service, such as ingress/cmd/ingress; the calling package lies two folders below services.
func Binary(tb testing.TB, command, tags string) string {
	tb.Helper()
	return binary(tb, filepath.Base(command), tags, "./services/"+command, filepath.Join("..", "..", ".."))
}

func binary(tb testing.TB, name, tags, pkg, dir string) string {
	tb.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := name + strings.ReplaceAll("-"+tags, ",", "-")
	if path := builds.made[key]; path != "" {
		return path
	}
	path := filepath.Join(builds.dir, key)
	// go run, which takes what nobody has changed out of the build cache; go build would link it again for each package. The
	// test's own context would end a build that several tests wait for.
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "run", "-tags", tags, "-exec", "cp", pkg, path)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s with tags %q: %v\n%s", pkg, tags, err, out)
	}
	builds.made[key] = path
	return path
}
