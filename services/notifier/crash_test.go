//go:build faults

package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

// TestChild is no test: run by itself with CHILD=1 it is a notifier, for tests that kill one.
func TestChild(t *testing.T) {
	if os.Getenv("CHILD") == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := notifier.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	log, err := logging.New(os.Stderr, "info", "notifier")
	if err != nil {
		t.Fatal(err)
	}
	service, err := notifier.New(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// Row 4 with real processes: SIGKILL at every fault point, at its first three hits, under both policies. R61 G3 G11
//
//	go test -tags faults -run TestKilledAtEveryFaultPoint .
func TestKilledAtEveryFaultPoint(t *testing.T) {
	t.Parallel()
	var runs, mails, doubled, parked atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d kills, 3 quotes each: %d mails, %d of them second copies after an unanswered attempt, %d parked",
			runs.Load(), mails.Load(), doubled.Load(), parked.Load())
	})
	for _, policy := range []string{"resend", "park"} {
		for _, point := range []string{"before-claim", "before-sending", "after-sending", "after-data", "after-sent", "before-ack"} {
			for hit := 1; hit <= 3; hit++ {
				t.Run(fmt.Sprintf("%s/%s/%d", policy, point, hit), func(t *testing.T) {
					t.Parallel()
					entries, sent := killOnce(t, policy, fmt.Sprintf("notifier.%s:%d", point, hit))
					runs.Add(1)
					for i, e := range entries {
						checkI6(t, e, sent[i])
						mails.Add(int64(len(sent[i])))
						doubled.Add(int64(max(len(sent[i])-1, 0)))
						if e.State == notifier.StateParked {
							parked.Add(1)
						}
						unsure := point == "after-sending" || point == "after-data"
						if !unsure && (e.State != notifier.StateSent || len(sent[i]) != 1) {
							t.Errorf("quote %d: %d mails, %+v; a death there leaves no doubt", i, len(sent[i]), e)
						}
						if policy == "park" && len(sent[i]) > 1 {
							t.Errorf("quote %d: %d mails under park", i, len(sent[i]))
						}
					}
				})
			}
		}
	}
}

// killOnce lets a notifier die at the fault and another finish its work; it returns the entries and mails of three quotes.
func killOnce(t *testing.T, policy, fault string) (entries []notifier.Entry, sent [][]accepted) {
	t.Helper()
	h := newHouse(t, script{})
	js := h.log.JetStream()
	c, err := js.Consumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	durable := c.CachedInfo().Config
	durable.AckWait = time.Second
	if _, err := js.UpdateConsumer(t.Context(), event.StreamQuotes, durable); err != nil {
		t.Fatal(err)
	}
	child := func(fault string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), "CHILD=1", "FAULT="+fault, "NATS_URL="+h.nats.URL, "MAIL_FROM=quittance@seller.example", "NOTIFIER_ADDR=127.0.0.1:0",
			fmt.Sprintf("SMTP_URL=smtp://%s", h.smtp.listener.Addr()), "MAIL_LEASE=2s", "MAIL_WORKERS=1", "MAIL_AMBIGUOUS_AFTER=1s", "MAIL_AMBIGUOUS="+policy)
		cmd.Stderr = h.lines
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	h.pay(0, 3)
	doomed := child(fault)
	err = doomed.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the notifier ended with %v, want SIGKILL\n%s", err, h.lines)
	}
	heir := child("none")
	for i := range 3 {
		eventually(t, func() bool { return h.entry(i).Final() }, fmt.Sprintf("quote %d comes to an end\n%s", i, h.lines))
	}
	h.acked()
	if err := heir.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := heir.Wait(); err != nil {
		t.Errorf("the second notifier ended with %v", err)
	}
	h.quiet()
	for i := range 3 {
		var mails []accepted
		for _, m := range h.smtp.mails() {
			if m.to == fmt.Sprintf("canary%d@seller.example", i) {
				mails = append(mails, m)
			}
		}
		entries, sent = append(entries, h.entry(i)), append(sent, mails)
	}
	return entries, sent
}
