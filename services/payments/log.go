package payments

import (
	"context"

	"quittance.internal/libs/platform/natsstream"
)

// eventLog is what the steps of the work need of the log. natsstream.Log is the real one; the simulation has another, in
// memory.
type eventLog interface {
	Facts(ctx context.Context, messages []natsstream.Message) []natsstream.Result
	SetAside(ctx context.Context, d natsstream.DeadLetter) error
	LatestGeneration(ctx context.Context) (natsstream.Generation, error)
	ReadSequence(ctx context.Context, stream string, sequence uint64) (natsstream.Record, error)
	AckFloor(ctx context.Context, stream, durable string) (uint64, error)
	Durable(ctx context.Context) error
	ScanWhole(ctx context.Context, stream string, from uint64, limit int) (natsstream.Page, error)
}

var _ eventLog = (*natsstream.Log)(nil)
