package cluster_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/processtest"
)

// The check must be able to fail: where Stripe's events have one copy, the loss of its server with the disk, which three copies
// outlive above, takes what was answered 2xx, and the same look at the log finds it.
func TestSabotageOneCopyOfTheLogIsFound(t *testing.T) {
	t.Parallel() // it mostly waits
	nats, single := startNATS(t), redistest.Start(t)
	w := newWorld(t, stores{
		nats: nats.config, log: nats.log("quotes"), operator: nats.log("operator"), monitors: nats.monitors(), redis: func(string) redisquote.Config { return single.Config() },
	})
	js := w.stores.operator.JetStream()
	nats.current(js)
	stripe, err := js.Stream(t.Context(), event.StreamStripe)
	if err != nil {
		t.Fatal(err)
	}
	one := stripe.CachedInfo().Config
	one.Replicas = 1
	if _, err := js.UpdateStream(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	w.publish(20)
	load := deliver(t, w, 80)
	load.rest()
	if broken := load.broken(w.scan(event.StreamStripe)); len(broken) > 0 {
		t.Fatalf("before the loss: %v", broken)
	}
	keeper := nats.leader(js, event.StreamStripe)
	nats.lose(keeper)
	nats.servers[keeper].Start()
	nats.servers[keeper].Ready()
	nats.leader(js, event.StreamStripe)
	broken := load.broken(w.scan(event.StreamStripe))
	if len(broken) != len(load.acked) {
		t.Errorf("of %d events of which the only copy is gone the check finds %d missing", len(load.acked), len(broken))
	}
}

// An upgrade that runs `quotectl declare` without saying how many copies must not take those of a cluster away.
func TestDeclareKeepsTheCopiesOfACluster(t *testing.T) {
	t.Parallel() // it mostly waits
	nats := startNATS(t)
	operator := nats.log("operator")
	nats.current(operator.JetStream())
	cmd := exec.CommandContext(t.Context(), processtest.Binary(t, "operator/cmd/quotectl", ""), "declare")
	url := nats.config("operator").URL
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NATS_URL=" + url.Reveal()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("quotectl declare: %v\n%s", err, &out)
	}
	streams := operator.JetStream().ListStreams(t.Context())
	count := 0
	for info := range streams.Info() {
		count++
		if info.Config.Replicas != len(nats.names) {
			t.Errorf("stream %s has %d copies after quotectl declare, want %d\n%s", info.Config.Name, info.Config.Replicas, len(nats.names), &out)
		}
	}
	if streams.Err() != nil || count == 0 {
		t.Fatalf("%d streams: %v", count, streams.Err())
	}
}
