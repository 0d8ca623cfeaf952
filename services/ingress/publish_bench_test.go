package ingress_test

import (
	"bytes"
	"fmt"
	"testing"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// What the guard over an event's whole family costs against one over its literal subject, in a small log and a large one:
// both must be flat, or the guard would slow every webhook down as the log grows.
func BenchmarkGuard(b *testing.B) {
	for _, events := range []int{1_000, 100_000} {
		log := natstest.Start(b).Log("bench")
		fillLog(b, log, events)
		data := bytes.Repeat([]byte("x"), 1024)
		next := 0
		for _, guard := range []string{"literal", "family"} {
			b.Run(fmt.Sprintf("%s/%d", guard, events), func(b *testing.B) {
				for b.Loop() {
					next++
					m := natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_new_%d.charge.succeeded", next), Data: data}
					if guard == "family" {
						m.Absent = fmt.Sprintf("stripe.test.platform.evt_new_%d.>", next)
					}
					if stored, err := log.Fact(b.Context(), m); err != nil || stored.Taken {
						b.Fatal(stored, err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s-taken/%d", guard, events), func(b *testing.B) {
				for n := 0; b.Loop(); n++ {
					id := fmt.Sprintf("evt_%d", n*7919%events)
					m := natsstream.Message{Subject: "stripe.test.platform." + id + ".charge.succeeded", Data: data}
					if guard == "family" {
						m.Absent = "stripe.test.platform." + id + ".>"
					}
					if stored, err := log.Fact(b.Context(), m); err == nil && !stored.Taken {
						b.Fatal(stored, err)
					}
				}
			})
		}
	}
}

func fillLog(b *testing.B, log *natsstream.Log, events int) {
	b.Helper()
	data := bytes.Repeat([]byte("x"), 1024)
	var batch []natsstream.Message
	for n := range events {
		batch = append(batch, natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_%d.charge.succeeded", n), Data: data})
		if len(batch) < 1000 && n < events-1 {
			continue
		}
		for _, r := range log.Facts(b.Context(), batch) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		batch = batch[:0]
	}
}
