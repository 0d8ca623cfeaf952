package natsstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
)

// RebuildSubject is the core NATS subject on which a payments worker takes a RebuildRequest and answers with a
// RebuildAnswer, both JSON. The operator's tools are the only ones who may publish there.
const RebuildSubject = "op.payments.rebuild"

// RebuildKey is the key in SYSTEM that holds the RebuildState. Only payments writes it.
const RebuildKey = "redis.rebuild"

// RebuildRequest asks payments to fold the log into a fresh generation of Redis keys and to go over to it, or to give that
// up.
type RebuildRequest struct {
	// Cancel gives up a rebuild that has not gone over yet.
	Cancel bool   `json:"cancel,omitempty"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// RebuildAnswer says how things stand after a request. Where Error is set, nothing was changed.
type RebuildAnswer struct {
	Error string       `json:"error,omitempty"`
	State RebuildState `json:"state"`
}

// Phases of a rebuild, in their order.
const (
	RebuildFolding   = "folding"   // into the new generation; the old one is in use
	RebuildSwitching = "switching" // the new one is written; it is read as soon as the last messages are in it
	RebuildCleaning  = "cleaning"  // the new one is in use; the old one's keys are being removed
	RebuildDone      = "done"
	RebuildCancelled = "cancelled" // the old one stays in use; the new one's keys are being removed, or gone
)

// RebuildState is how far a rebuild is. Any payments instance carries on with one whose owner is gone.
type RebuildState struct {
	From       string    `json:"from"`
	Generation string    `json:"generation"`
	Phase      string    `json:"phase"`
	By         string    `json:"by"`
	Reason     string    `json:"reason"`
	Began      time.Time `json:"began,omitzero"`
	Switched   time.Time `json:"switched,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	// Owner is the instance at work, Beat when it last said so.
	Owner string    `json:"owner"`
	Beat  time.Time `json:"beat,omitzero"`
	// Nonce stands in Redis as long as no key of the new generation was lost.
	Nonce string `json:"nonce"`
	// Servers are the Redis servers it was begun on, by address.
	Servers map[string]string `json:"servers,omitempty"`
	// Done and End are, by stream, up to where the log was folded and how far it reached.
	Done map[string]uint64 `json:"done"`
	End  map[string]uint64 `json:"end"`
	// Removed counts the keys of other generations that were removed.
	Removed int `json:"removed"`
	// Trouble is why the last try failed; it is tried again.
	Trouble string `json:"trouble,omitempty"`
	// Cleaned says of a rebuild that ended that no keys of other generations are left.
	Cleaned bool `json:"cleaned,omitempty"`
	// Revision is the key's in the bucket.
	Revision uint64 `json:"-"`
}

// Unfinished reports whether there is something left to do.
func (s *RebuildState) Unfinished() bool {
	switch s.Phase {
	case "", RebuildDone:
		return false
	case RebuildCancelled:
		return !s.Cleaned
	}
	return true
}

// RebuildState returns the newest rebuild's state; one without a phase where there was none.
func (l *Log) RebuildState(ctx context.Context) (RebuildState, error) {
	ctx, cancel := context.WithTimeout(ctx, generationTimeout)
	defer cancel()
	r, err := l.Read(ctx, systemStream, "$KV."+event.BucketSystem+"."+RebuildKey)
	if errors.Is(err, ErrNotFound) {
		return RebuildState{}, nil
	}
	if err != nil {
		return RebuildState{}, err
	}
	var s RebuildState
	if err := json.Unmarshal(r.Data, &s); err != nil {
		return RebuildState{}, fmt.Errorf("decode state of the rebuild: %w", err)
	}
	s.Revision = r.Sequence
	return s, nil
}
