package natsstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quittance.internal/libs/platform/barrier"
)

// ErrNotDurable means that a sync has failed: nothing that this Log is told is known to be durable, and nothing will be until
// the process is started again. It comes with ErrUnavailable; to try again is in vain.
var ErrNotDurable = errors.New("the log cannot be synced any more")

// Durable returns when all that the server has acknowledged or delivered so far will survive a power cut: at once without a
// barrier, where it is the server that syncs. Facts, Command and Append do it by themselves; whoever acts on what it has read,
// or has written to a bucket, calls it. It answers ErrUnavailable for everything that may be repeated.
func (l *Log) Durable(ctx context.Context) error {
	if l.store == nil {
		return nil
	}
	return l.store.wait(ctx)
}

// settle makes durable what the answers tell, all by one sync. A refusal tells something too: that an earlier message is there,
// whose own writer may not have waited to the end. What cannot be made durable is unavailable.
func (l *Log) settle(ctx context.Context, results []Result) {
	tells := func(r Result) bool { return r.Err == nil || errors.Is(r.Err, ErrGuard) }
	if !slices.ContainsFunc(results, tells) {
		return
	}
	err := l.Durable(ctx)
	if err == nil {
		return
	}
	for i, r := range results {
		if tells(r) {
			results[i] = Result{Err: err}
		}
	}
}

// settled is settle for one message that was stored.
func (l *Log) settled(ctx context.Context, subject string, stored Stored) (Stored, error) {
	if err := l.Durable(ctx); err != nil {
		return Stored{}, fmt.Errorf("publish %s: %w", subject, err)
	}
	return stored, nil
}

// Ready reports why nothing can be stored, or nil: the connection, or a sync that has failed. Of the streams see Check.
func (l *Log) Ready() error {
	if err := Ready(l.nc); err != nil || l.store == nil {
		return err
	}
	return l.store.barrier.Err()
}

// Barrier is what makes the Log durable, nil where the server does.
func (l *Log) Barrier() *barrier.Barrier {
	if l.store == nil {
		return nil
	}
	return l.store.barrier
}

// Close ends what OpenLog began; the connection stays open. A nil Log may be closed.
func (l *Log) Close() error {
	if l == nil || l.store == nil {
		return nil
	}
	return l.store.barrier.Close()
}
