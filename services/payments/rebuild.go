package payments

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

const (
	// rebuildEvery is how often an instance looks whether there is a rebuild to do.
	rebuildEvery = time.Second
	// beatEvery is how often the instance at work says so, and ownerGone after which silence another takes over.
	beatEvery = time.Second
	ownerGone = 15 * time.Second
	// durableAfter is how long the bulk of the new generation lies in Redis before it is relied on. A failover loses the last
	// writes (at most 7 s were measured); what it loses of newer messages the guard folds again.
	durableAfter = 10 * time.Second
	// nearEnough is how many messages may be left when the new generation begins to be written: they are folded within a
	// moment, and only for that moment the old one, which is read, stands still.
	nearEnough = repairBatch
)

// build is a generation that is filled beside the one in use.
type build struct {
	keys, from redisquote.Keys
}

// rebuild is one rebuild at work in this instance. No message is acknowledged by it, so it may be broken off anywhere.
type rebuild struct {
	w     *worker
	state natsstream.RebuildState
	build *build
	// removed guards state.Removed while several masters are swept at a time.
	removed sync.Mutex
}

// errTakenOver means that the state was changed by somebody else: cancelled, or another instance took over.
var errTakenOver = errors.New("the rebuild was cancelled or is another instance's now")

// errHarmed means that Redis has lost keys of the new generation, or may have.
var errHarmed = errors.New("redis lost keys while the new generation was folded, or another server has taken over; folding from the beginning")

// serveRebuild takes requests until ctx ends. The work is rebuildForever's.
func (w *worker) serveRebuild(ctx context.Context, nc *nats.Conn) error {
	requests := make(chan *nats.Msg, 16)
	sub, err := nc.ChanQueueSubscribe(natsstream.RebuildSubject, "payments", requests)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", natsstream.RebuildSubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed already
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			encoded, err := json.Marshal(w.takeRebuild(ctx, m.Data))
			if err == nil {
				err = m.Respond(encoded)
			}
			if err != nil {
				w.log.Warn("rebuild not answered", zap.Error(err))
			}
		}
	}
}

func (w *worker) takeRebuild(ctx context.Context, data []byte) natsstream.RebuildAnswer {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	var request natsstream.RebuildRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return natsstream.RebuildAnswer{Error: "request is not JSON: " + err.Error()}
	}
	state, err := w.logs.RebuildState(ctx)
	if err != nil {
		return natsstream.RebuildAnswer{Error: err.Error()}
	}
	if request.Cancel {
		if state.Phase != natsstream.RebuildFolding {
			return natsstream.RebuildAnswer{Error: "no rebuild is folding that could be cancelled", State: state}
		}
		state.Phase, state.Ended = natsstream.RebuildCancelled, w.cfg.Now().UTC()
	} else {
		if state.Unfinished() {
			return natsstream.RebuildAnswer{Error: "a rebuild to " + state.Generation + " is under way already", State: state}
		}
		g, err := w.logs.LatestGeneration(ctx)
		if err != nil {
			return natsstream.RebuildAnswer{Error: err.Error(), State: state}
		}
		next := g.NextGeneration()
		if after := (natsstream.Generation{Read: state.Generation}).NextGeneration(); len(after) > len(next) || len(after) == len(next) && after > next {
			next = after // a cancelled rebuild has used that name
		}
		state = natsstream.RebuildState{
			From: g.Read, Generation: next, Phase: natsstream.RebuildFolding, By: request.By, Reason: request.Reason, Began: w.cfg.Now().UTC(),
			Nonce: rand.Text(), Done: map[string]uint64{}, End: map[string]uint64{}, Revision: state.Revision,
		}
	}
	if err := w.putRebuild(ctx, &state); err != nil {
		return natsstream.RebuildAnswer{Error: err.Error(), State: state}
	}
	w.log.Warn("rebuild asked for", zap.String("generation", state.Generation), zap.String("phase", state.Phase), zap.String("by", request.By))
	return natsstream.RebuildAnswer{State: state}
}

// putRebuild stores the state if nobody has changed it since it was read.
func (w *worker) putRebuild(ctx context.Context, s *natsstream.RebuildState) error {
	encoded, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode state of the rebuild: %w", err)
	}
	var revision uint64
	if s.Revision == 0 {
		revision, err = w.system.Create(ctx, natsstream.RebuildKey, encoded)
	} else {
		revision, err = w.system.Update(ctx, natsstream.RebuildKey, encoded, s.Revision)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || errors.Is(err, jetstream.ErrKeyExists) {
		return errTakenOver
	}
	if err != nil {
		return fmt.Errorf("store state of the rebuild: %w", err)
	}
	s.Revision = revision
	return nil
}

// rebuildForever carries out what was asked for, and what an instance that is gone has left.
func (w *worker) rebuildForever(ctx context.Context) error {
	for {
		if err := w.rebuildOnce(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("rebuild put off", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rebuildEvery):
		}
	}
}

func (w *worker) rebuildOnce(ctx context.Context) error {
	s, err := w.logs.RebuildState(ctx)
	if err != nil {
		return err
	}
	now := w.cfg.Now()
	if !s.Unfinished() || s.Owner != "" && s.Owner != w.id && now.Sub(s.Beat) < ownerGone {
		return nil
	}
	s.Owner, s.Beat = w.id, now.UTC()
	if err := w.putRebuild(ctx, &s); err != nil {
		if errors.Is(err, errTakenOver) {
			return nil // by another instance
		}
		return err
	}
	r := &rebuild{w: w, state: s, build: &build{keys: redisquote.NewKeys(s.Generation), from: redisquote.NewKeys(s.From)}}
	err = r.run(ctx)
	if errors.Is(err, errTakenOver) {
		w.log.Warn("rebuild given up here", zap.Error(err))
		return nil
	}
	if err != nil && ctx.Err() == nil {
		r.state.Trouble = err.Error()
		return errors.Join(err, w.putRebuild(ctx, &r.state))
	}
	return err
}

// run carries on from the phase that the state is in. Each phase may be repeated from its beginning.
func (r *rebuild) run(ctx context.Context) error {
	if r.state.Phase == natsstream.RebuildFolding {
		if err := r.fold(ctx); err != nil {
			return err
		}
		if err := r.enter(ctx, natsstream.RebuildSwitching); err != nil {
			return err
		}
	}
	if r.state.Phase == natsstream.RebuildSwitching {
		if err := r.goOver(ctx); err != nil {
			return err
		}
		r.state.Switched = r.w.cfg.Now().UTC()
		if err := r.enter(ctx, natsstream.RebuildCleaning); err != nil {
			return err
		}
	}
	if err := r.clean(ctx); err != nil {
		return err
	}
	r.state.Cleaned = true
	if r.state.Phase == natsstream.RebuildCleaning {
		r.state.Ended = r.w.cfg.Now().UTC()
		return r.enter(ctx, natsstream.RebuildDone)
	}
	return r.beat(ctx)
}

func (r *rebuild) enter(ctx context.Context, phase string) error {
	r.state.Phase = phase
	if err := r.beat(ctx); err != nil {
		return err
	}
	r.w.log.Warn("rebuild", zap.String("generation", r.state.Generation), zap.String("phase", phase))
	return nil
}

func (r *rebuild) beat(ctx context.Context) error {
	r.state.Beat, r.state.Trouble = r.w.cfg.Now().UTC(), ""
	return r.w.putRebuild(ctx, &r.state)
}

// fold folds the log into the new generation until little is left. A rebuild that is resumed carries on where it was, if
// Redis has lost nothing meanwhile.
func (r *rebuild) fold(ctx context.Context) error {
	whole, err := r.unharmed(ctx)
	if err != nil {
		return err
	}
	if !whole {
		r.state.Done = map[string]uint64{}
		if r.state.Servers, _, err = r.w.survey(ctx); err != nil {
			return err
		}
		if err := r.w.beginRepair(ctx, r.build.keys, r.state.Nonce); err != nil {
			return err
		}
	}
	if _, err := r.foldToEnd(ctx); err != nil {
		return err
	}
	for until := r.w.cfg.Now().Add(min(durableAfter, r.grace())); ; {
		left, err := r.foldToEnd(ctx)
		if err != nil {
			return err
		}
		if left <= nearEnough && !r.w.cfg.Now().Before(until) {
			return r.mustBeUnharmed(ctx)
		}
		if err := r.pause(ctx, min(rebuildEvery, r.grace())); err != nil {
			return err
		}
	}
}

func (r *rebuild) mustBeUnharmed(ctx context.Context) error {
	whole, err := r.unharmed(ctx)
	if err == nil && !whole {
		return errHarmed
	}
	return err
}

// unharmed reports whether Redis can have lost nothing of the new generation: it holds what was written at the beginning,
// and no other server has taken over.
func (r *rebuild) unharmed(ctx context.Context) (bool, error) {
	servers, _, err := r.w.survey(ctx)
	if err != nil {
		return false, err
	}
	if !maps.Equal(servers, r.state.Servers) {
		return false, nil
	}
	for _, shard := range redisquote.Shards(r.w.redis) {
		have, err := r.w.redis.Get(ctx, r.build.keys.Marker(shard)+":repair").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, fmt.Errorf("look for markers: %w", err)
		}
		if have != r.state.Nonce {
			return false, nil
		}
	}
	return true, nil
}

// foldToEnd folds up to where the streams end now, QUOTES first, so that the marks of what was published stand before
// payments are folded. It returns how many messages have come since.
func (r *rebuild) foldToEnd(ctx context.Context) (left uint64, err error) {
	if err := r.lookAtEnd(ctx); err != nil {
		return 0, err
	}
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		if err := r.foldStream(ctx, stream, r.state.End[stream]); err != nil {
			return 0, fmt.Errorf("fold %s into %s: %w", stream, r.state.Generation, err)
		}
	}
	if err := r.lookAtEnd(ctx); err != nil {
		return 0, err
	}
	for stream, end := range r.state.End {
		left += end - min(end, r.state.Done[stream])
	}
	return left, r.beat(ctx)
}

func (r *rebuild) lookAtEnd(ctx context.Context) error {
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		s, err := r.w.logs.JetStream().Stream(ctx, stream)
		if err != nil {
			return fmt.Errorf("look at the end of %s: %w", stream, err)
		}
		r.state.End[stream] = s.CachedInfo().State.LastSeq
	}
	return nil
}

// foldStream folds up to a sequence that is known to have been stored. A message that NATS cannot read is trouble: the
// generation in use may know it, and the new one would not.
func (r *rebuild) foldStream(ctx context.Context, stream string, end uint64) error {
	for r.state.Done[stream] < end {
		page, err := r.w.logs.ScanWhole(ctx, stream, r.state.Done[stream]+1, repairBatch)
		if err != nil {
			return err
		}
		if len(page.Damaged) > 0 {
			return fmt.Errorf("nats cannot read %d messages, the first is %d: cancel the rebuild, then see the runbook messages-unaccounted",
				len(page.Damaged), page.Damaged[0])
		}
		items := make([]*item, len(page.Records))
		for i, rec := range page.Records {
			items[i] = &item{record: rec, attempt: 1}
		}
		b := r.w.newBatch(items)
		b.build, b.keys = r.build, r.build.keys
		if err := b.settle(ctx); err != nil {
			return err
		}
		for _, it := range items {
			if it.err != nil {
				return fmt.Errorf("message %d: %w", it.record.Sequence, it.err)
			}
		}
		r.state.Done[stream] = page.Next - 1
		fault.Hit("payments.rebuild-batch")
		if r.w.cfg.Now().Sub(r.state.Beat) >= beatEvery {
			if err := r.beat(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
