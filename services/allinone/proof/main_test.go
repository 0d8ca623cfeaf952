package proof_test

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

// builds makes the binaries under test, once for each set of build tags.
var builds struct {
	sync.Mutex
	dir  string
	made map[string]string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quittance-proof-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir, builds.made = dir, map[string]string{}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// binary returns the path of a service's binary built with the given tags.
func binary(tb testing.TB, service, tags string) string {
	tb.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := service + "-" + strings.ReplaceAll(tags, ",", "-")
	if path := builds.made[key]; path != "" {
		return path
	}
	path := filepath.Join(builds.dir, key)
	// The test's own context would end a build that several tests wait for.
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-tags", tags, "-o", path, "./services/"+service+"/cmd/"+service)
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s with tags %q: %v\n%s", service, tags, err, out)
	}
	builds.made[key] = path
	return path
}
