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

// Binary returns the path of a command built with the given tags, "" for none. The command is named by its folder within the
// module of a service, such as ingress/cmd/ingress; the calling package lies two folders below services.
func Binary(tb testing.TB, command, tags string) string {
	tb.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := filepath.Base(command) + strings.ReplaceAll("-"+tags, ",", "-")
	if path := builds.made[key]; path != "" {
		return path
	}
	path := filepath.Join(builds.dir, key)
	// The test's own context would end a build that several tests wait for.
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-tags", tags, "-o", path, "./services/"+command)
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s with tags %q: %v\n%s", command, tags, err, out)
	}
	builds.made[key] = path
	return path
}
