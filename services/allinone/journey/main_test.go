package journey_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// process is the one browser of all tests; each person has windows and cookies of his own in it.
type process struct {
	ctx context.Context
	err error
}

// chromium starts the browser when the first test asks for it.
var chromium func() process

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "quittance-journey-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	var started []process
	chromium = sync.OnceValue(func() process {
		p := launch(ctx, dir)
		started = append(started, p)
		return p
	})
	code := m.Run()
	for _, p := range started {
		if p.err == nil {
			_ = chromedp.Cancel(p.ctx) // waits for the process, so that its folder can be removed
		}
	}
	return code
}

var errNoBrowser = errors.New("there is no chromium on PATH; on Debian: apt-get install chromium (make test does it as root)")

func launch(parent context.Context, dir string) process {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return process{err: errNoBrowser}
	}
	allocator, _ := chromedp.NewExecAllocator(parent, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-pings", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"), // whoever it is about to call: nobody answers
		chromedp.Flag("lang", "en-US"),
		chromedp.WSURLReadTimeout(patience),
	)...)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		return process{err: fmt.Errorf("start %s: %w", path, err)}
	}
	return process{ctx: ctx}
}

// browser is the browser's context.
func browser(t *testing.T) context.Context {
	t.Helper()
	p := chromium()
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.ctx
}
