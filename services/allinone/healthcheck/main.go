// Command healthcheck asks one address and says by its exit code whether the answer was 200: the probe of our images,
// which hold no shell and no curl.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// timeout is below the three seconds that docker-compose.yml gives a check.
const timeout = 2500 * time.Millisecond

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: healthcheck http://127.0.0.1:9101/readyz")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // this is a main
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // the operator names the address
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	res, err := http.DefaultClient.Do(req) //nolint:gosec // the address is the image's own, given by its operator
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("check health of %s: %s", url, res.Status)
	}
	return nil
}
