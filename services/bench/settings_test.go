package bench_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// settings come from the environment: a short run for a change in hand, a long one for figures to be published.
type settings struct {
	rounds      int           // BENCH_ROUNDS
	window      time.Duration // BENCHTIME, of one candidate in one round
	connections []int         // BENCH_CONNECTIONS
	latency     time.Duration // BENCH_LATENCY_SECONDS, of one candidate of BenchmarkLatency in one round
	only        string        // BENCH_ONLY, a part of the names of those to run; limits of ratios run anyway
	base        string        // BENCH_BASE, a folder with an older ingress and payments, to be compared with the present ones
	docs        string        // BENCH_DOCS, the folder whose performance.md is written; none means the terminal alone
}

func readSettings(tb testing.TB) settings {
	tb.Helper()
	s := settings{
		rounds: 3, window: 1500 * time.Millisecond, latency: 5 * time.Second, connections: []int{64, 256}, only: os.Getenv("BENCH_ONLY"), base: os.Getenv("BENCH_BASE"), docs: os.Getenv("BENCH_DOCS"),
	}
	var err error
	if v := os.Getenv("BENCH_ROUNDS"); v != "" {
		if s.rounds, err = strconv.Atoi(v); err != nil || s.rounds < 1 {
			tb.Fatalf("BENCH_ROUNDS is %q, want a number from 1", v)
		}
	}
	if v := os.Getenv("BENCHTIME"); v != "" {
		if s.window, err = time.ParseDuration(v); err != nil || s.window < 100*time.Millisecond {
			tb.Fatalf("BENCHTIME is %q, want a duration from 100ms, such as 2s", v)
		}
	}
	if v := os.Getenv("BENCH_LATENCY_SECONDS"); v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil || seconds < 1 {
			tb.Fatalf("BENCH_LATENCY_SECONDS is %q, want a number from 1", v)
		}
		s.latency = time.Duration(seconds) * time.Second
	}
	if v := os.Getenv("BENCH_CONNECTIONS"); v != "" {
		s.connections = nil
		for part := range strings.SplitSeq(v, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				tb.Fatalf("BENCH_CONNECTIONS is %q, want numbers such as 64,256", v)
			}
			s.connections = append(s.connections, n)
		}
	}
	return s
}

// progress tells on standard error what is being done: a run takes minutes.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
