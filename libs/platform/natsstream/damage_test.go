package natsstream_test

import (
	"fmt"
	"slices"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// A message that the server holds and cannot read is named, wherever it lies and however much is read at a time: it is neither
// passed over in silence nor taken for the stream's end. What was erased is not damaged.
func TestScanWholeAccountsForEverySequence(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("test")
	const count = 10
	for i := 1; i <= count; i++ {
		m := natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_%d.a.b", i), Data: fmt.Appendf(nil, "body %02d", i)}
		if _, err := log.Fact(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := log.JetStream().Stream(t.Context(), event.StreamStripe)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	srv.Damage(event.StreamStripe, "body 01", "body xx", "body 05", "body xx", "body 09", "body xx", "body 10", "body xx")
	log = srv.Log("again")

	for _, limit := range []int{1, 3, 100} {
		var read, damaged []uint64
		for from, last := uint64(1), false; !last; {
			p, err := log.ScanWhole(t.Context(), event.StreamStripe, from, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				read = append(read, r.Sequence)
				if string(r.Data) != fmt.Sprintf("body %02d", r.Sequence) {
					t.Errorf("message %d holds %s", r.Sequence, r.Data)
				}
			}
			damaged = append(damaged, p.Damaged...)
			from, last = p.Next, p.Last
		}
		if !slices.Equal(damaged, []uint64{1, 5, 9, 10}) || !slices.Equal(read, []uint64{2, 3, 4, 6, 8}) {
			t.Errorf("limit %d: read %v, damaged %v, want 1, 5, 9 and 10 damaged, 7 erased, and the others", limit, read, damaged)
		}
	}
	if p, err := log.ScanWhole(t.Context(), event.StreamStripe, count+1, 100); err != nil || len(p.Records)+len(p.Damaged) != 0 || !p.Last || p.Next != count+1 {
		t.Errorf("ScanWhole from the end = %+v, %v, want nothing, and the end", p, err)
	}
}
