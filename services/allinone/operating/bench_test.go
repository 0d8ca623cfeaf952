package operating_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
)

// BenchmarkVerify measures `quotectl rebuild --verify`, a process of its own, over logs that payments has settled, of as many quotes
// as VERIFY_QUOTES says, comma-separated and growing (default 2,000; each is about eleven messages). For 100,000, 300,000 and
// 1,000,000 messages: VERIFY_QUOTES=9000,27000,90000, and -timeout.
func BenchmarkVerify(b *testing.B) {
	quotectl := processtest.Binary(b, "operator/cmd/quotectl", "")
	r, from := benchRig(b), 0
	for _, quotes := range sizes(b, "VERIFY_QUOTES") {
		r.grow(from, quotes)
		from = quotes
		b.Run(strconv.Itoa(quotes), func(b *testing.B) {
			for b.Loop() {
				r.verifyApart(b, quotectl)
			}
		})
	}
}

// verifyApart runs the command once and reports the most memory that it held.
func (r *rig) verifyApart(b *testing.B, quotectl string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), quotectl, "rebuild", "--verify", "-o", "json")
	cmd.Env = []string{"NATS_URL=" + r.nats.URL, "REDIS_URL=" + r.redis.URL, "TMPDIR=" + b.TempDir()}
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	peak := peakMemory(b, cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v\n%s%s", err, &out, &progress)
	}
	var report rebuild.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(report.Messages)/(float64(report.TookMS)/1000), "messages/s")
	b.ReportMetric(float64(peak())/1024, "peak-RSS-MiB")
	b.Logf("%d messages, %d quotes: %d ms, processor time %v, peak RSS %d MiB", report.Messages, report.Quotes,
		report.TookMS, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), peak()>>10)
}

// peakMemory watches a process until it ends; the function then returns the most memory it held, in KiB. It asks the system for the
// high-water mark of the program (VmHWM): the one that wait4 tells of a child begins with the memory of the parent that started it.
func peakMemory(b *testing.B, pid int) (peak func() int) {
	b.Helper()
	most, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, rest, found := strings.Cut(string(status), "VmHWM:")
			if err != nil || !found { // it has ended
				return
			}
			if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				most = n
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int { <-done; return most }
}

// settledRig has as many quotes as the variable says (default 2,000), each with about ten messages, which payments has settled.
// The worker is at work.
func settledRig(b *testing.B, variable string) *rig {
	b.Helper()
	r := benchRig(b)
	r.grow(0, sizes(b, variable)[0])
	return r
}

func benchRig(b *testing.B) *rig {
	b.Helper()
	r := newRig(b)
	r.patience = 20 * time.Minute
	r.worker()
	return r
}

// sizes are the numbers that a variable says, by default 2,000.
func sizes(b *testing.B, variable string) []int {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return []int{2000}
	}
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// grow stores quotes q_<from> to q_<to - 1> and their events and waits for payments to settle them.
func (r *rig) grow(from, to int) {
	r.t.Helper()
	const step = 500
	for n := from; n < to; n += step {
		r.publish(n, n+step)
		var messages []natsstream.Message
		for _, e := range r.events(n, n+step) {
			s := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: e.ID, Type: e.Type}
			messages = append(messages, natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Body})
		}
		for _, result := range r.log.Facts(r.t.Context(), messages) {
			if result.Err != nil {
				r.t.Fatal(result.Err)
			}
		}
	}
	r.settled()
}

// BenchmarkReplay measures `replay plan --all` and `replay run --rate 0` over REPLAY_QUOTES quotes (default 2,000; 12,500 are
// about 100,000 events): where nothing changes, and where Redis has lost every payment.
func BenchmarkReplay(b *testing.B) {
	r := settledRig(b, "REPLAY_QUOTES")
	for b.Loop() {
		r.measureReplay(b, "nothing changes")
		keys, err := r.cache.Keys(b.Context(), r.keys().PayPattern()).Result()
		if err != nil {
			b.Fatal(err)
		}
		for part := range slices.Chunk(keys, 1000) {
			if err := r.cache.Del(b.Context(), part...).Err(); err != nil {
				b.Fatal(err)
			}
		}
		r.measureReplay(b, "every payment lost")
	}
}

func (r *rig) measureReplay(b *testing.B, name string) {
	b.Helper()
	var after runtime.MemStats
	began := time.Now()
	p := r.plan("--all")
	planned := time.Since(began)
	runtime.ReadMemStats(&after)
	began = time.Now()
	run := r.runPlan(0, p, "--max-quotes", "1000000")
	b.Logf("%s: %d messages, %d quotes, %d change: planned in %v (%.0f messages/s, heap %d MiB with the worker), run in %v: %s", name, p.Totals.Messages,
		p.Totals.Quotes, p.Totals.Changed, planned.Round(time.Millisecond), float64(p.Totals.Messages)/planned.Seconds(),
		after.HeapSys>>20, time.Since(began).Round(time.Millisecond), run.State)
}
