package natsstream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// However close or far apart they lie, what is asked for comes, once, in order, and nothing else; what was erased is left out.
func TestReadManyReturnsWhatIsAskedForAndNothingElse(t *testing.T) {
	log := natstest.Start(t).Log("test")
	const count = 2500
	messages := make([]natsstream.Message, count)
	for i := range messages {
		messages[i] = natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_%d.a.b", i+1), Data: fmt.Append(nil, i+1)}
	}
	for _, r := range log.Facts(t.Context(), messages) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	stream, err := log.JetStream().Stream(t.Context(), event.StreamStripe)
	if err != nil {
		t.Fatal(err)
	}
	erased := []uint64{1, 700, 701, 2500}
	for _, sequence := range erased {
		if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []int{1, 2, 40, 900} { // of so many
		rnd := rand.New(rand.NewPCG(uint64(one), 1))
		var asked, want, got []uint64
		for sequence := uint64(1); sequence <= count+3; sequence++ {
			if rnd.IntN(one) > 0 {
				continue
			}
			asked = append(asked, sequence)
			if sequence <= count && !slices.Contains(erased, sequence) {
				want = append(want, sequence)
			}
		}
		records, err := log.ReadMany(t.Context(), event.StreamStripe, asked)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			got = append(got, r.Sequence)
			if string(r.Data) != fmt.Sprint(r.Sequence) {
				t.Errorf("message %d holds %s", r.Sequence, r.Data)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("one of %d: read %d messages, want %d", one, len(got), len(want))
		}
	}
}
