package payments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/natsstream"
)

// defaultGenerationEvery is for markers and idle workers: every batch asks by itself before it is acknowledged.
const defaultGenerationEvery = 500 * time.Millisecond

// errSwitched means that a rebuild has gone over to another generation while the batch was in hand: it has to be written
// there too before its messages may be acknowledged.
var errSwitched = errors.New("another generation of Redis is written now")

// confirm makes sure that what the batch has written is where it must be, before anything is acknowledged. A rebuild folds
// the whole log up to the messages that stood there when it declared its generation the written one; a batch that was
// confirmed before that is among them, one that asks later goes over. The bucket's leader answers, so that no old answer
// can slip in between.
func (b *batch) confirm(ctx context.Context) error {
	if b.build != nil {
		return nil
	}
	g, err := b.w.events.LatestGeneration(ctx)
	if err != nil {
		return err
	}
	if g.Write == b.keys.Generation() {
		return nil
	}
	b.w.adopt(g)
	return errSwitched
}

// adopt goes over to the generation that is written now. Batches in hand stay with the one that they began with. An answer
// that is older than one seen before changes nothing: a replica of the bucket may lag.
func (w *worker) adopt(g natsstream.Generation) {
	w.adopting.Lock()
	defer w.adopting.Unlock()
	if g.Revision < w.adopted {
		return
	}
	w.adopted = g.Revision
	if before := w.active.Keys().Generation(); g.Write != before {
		w.log.Info("writing another generation of redis", zap.String("generation", g.Write), zap.String("before", before))
		w.active.Set(g.Write)
	}
}

// rules are what every message is decided by.
func (w *worker) rules() projection.Rules {
	return projection.Rules{Mode: w.cfg.Mode, Policy: w.cfg.Policy}
}

// tellRules stores the rules where the operator's tools find them.
func (w *worker) tellRules(ctx context.Context) error {
	encoded, err := natsstream.EncodeRules(w.rules())
	if err != nil {
		return err
	}
	entry, err := w.system.Get(ctx, natsstream.RulesKey)
	if err == nil && bytes.Equal(entry.Value(), encoded) {
		return nil
	}
	if _, err := w.system.Put(ctx, natsstream.RulesKey, encoded); err != nil {
		return fmt.Errorf("store rules: %w", err)
	}
	return nil
}
