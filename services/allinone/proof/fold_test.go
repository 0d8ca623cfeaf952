package proof_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/natsstream"
)

// foldOutcomes folds the log without any server: what the projection in Redis must come to, whatever happened on the way,
// and what must have become of each message.
func foldOutcomes(tb testing.TB, quotes, stripe []natsstream.Record) (*projection.Projection, map[projection.Place]projection.Outcome) {
	tb.Helper()
	outcomes := map[projection.Place]projection.Outcome{}
	p := projection.New(projection.Config{Rules: projection.Rules{Mode: event.ModeTest}, Decided: func(at projection.Place, o projection.Outcome) {
		if !outcomes[at].Stands() {
			outcomes[at] = o
		}
	}})
	for _, records := range [][]natsstream.Record{quotes, stripe} {
		for _, r := range records {
			p.Fold(projection.Message{Subject: r.Subject, Sequence: r.Sequence, Time: r.Time, Body: r.Data})
		}
	}
	return p, outcomes
}
