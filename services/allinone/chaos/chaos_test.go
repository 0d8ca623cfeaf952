package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"quittance.internal/libs/operations/invariants"
	"quittance.internal/services/allinone/processtest"
)

// seedOf is SEED, or a random one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CHAOS_SEED")
	if text == "" || text == "random" {
		return rand.Uint64N(1 << 32)
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SEED=%q is neither a number nor random", text)
	}
	return seed
}

// R61, R58, R62: whatever is killed, and whenever, no acknowledged webhook is lost, and nothing is doubled.
func TestRandomKillsOfEverythingLoseAndDoubleNothing(t *testing.T) {
	seed := seedOf(t)
	kills := fromEnv(t, "CHAOS_KILLS", 20)
	webhooks := fromEnv(t, "CHAOS_WEBHOOKS", 1200)
	c := newCampaign(newWorld(t, nil), seed, kills, webhooks, max(1, min(kills/100, 10)))
	if broken := c.run(); len(broken) > 0 {
		c.tell(broken)
		return
	}
	c.byQuotectl()
	for _, k := range c.w.all() {
		if k.kills.Load() == 0 && kills >= 100 {
			t.Errorf("%s was never killed", k.Name)
		}
	}
	t.Logf("%s; the slowest round came to its end within %s of its last fault", c.summary(), c.slowest)
	c.say("everything holds: %s; the slowest round came to its end within %s of its last fault", c.summary(), c.slowest)
}

// tell fails the test with what is broken, where the logs are, and what to run to see it again.
func (c *campaign) tell(broken []invariants.Violation) {
	c.w.tb.Helper()
	var lines []string
	for _, v := range broken[:min(len(broken), 20)] {
		lines = append(lines, v.Invariant+": "+v.What)
	}
	c.w.tb.Errorf("%d violations:\n%s\n%s\nlogs of the processes: %s\nagain: make chaos SEED=%d KILLS=%d WEBHOOKS=%d (the faults are the same, what they meet is the machine's doing)",
		len(broken), strings.Join(lines, "\n"), c.summary(), c.w.keepLogs(c.seed), c.seed, c.kills, c.webhooks)
}

// byQuotectl lets the operators' command come to the same end.
func (c *campaign) byQuotectl() {
	c.w.tb.Helper()
	cmd := exec.CommandContext(c.w.tb.Context(), processtest.Binary(c.w.tb, "operator/cmd/quotectl", ""), "check", "invariants", "--acked", c.w.tester.file(c.w.tb))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.w.tb.TempDir(), "NATS_URL=" + c.w.natsURL, "REDIS_URL=" + c.w.redisURL, "MODE=test"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "everything holds") {
		c.w.tb.Errorf("quotectl check invariants: %v\n%s", err, out)
	}
	c.say("quotectl check invariants --acked FILE:\n%s", fmt.Sprint(string(out)))
}
