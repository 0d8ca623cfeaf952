package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

const (
	requestTimeout = 25 * time.Second
	followEvery    = 300 * time.Millisecond
	// silentAfter is how long the owner of a rebuild may say nothing before it is told.
	silentAfter = 20 * time.Second
)

// Ask sends a request to payments and returns the state after it. It returns natsstream.RebuildState as it stands together
// with the error where payments refuses.
func Ask(ctx context.Context, nc *nats.Conn, request natsstream.RebuildRequest) (natsstream.RebuildState, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return natsstream.RebuildState{}, fmt.Errorf("encode request: %w", err)
	}
	msg, err := nc.RequestWithContext(ctx, natsstream.RebuildSubject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return natsstream.RebuildState{}, advice.New("start the payments worker, or look at its /readyz", "no payments worker listens")
	}
	if err != nil {
		return natsstream.RebuildState{}, advice.New("look at the payments worker's /readyz and log", "no answer of the payments worker: %w", err)
	}
	var answer natsstream.RebuildAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return natsstream.RebuildState{}, fmt.Errorf("decode the payments worker's answer: %w", err)
	}
	if answer.Error != "" {
		return answer.State, advice.New("quotectl rebuild --status", "%s", answer.Error)
	}
	return answer.State, nil
}

// Follow tells the progress of the rebuild to a generation until it has ended. A break in the answers of NATS ends it with
// an error; the rebuild goes on.
func Follow(ctx context.Context, log *natsstream.Log, generation string, now func() time.Time, tell func(Progress), say func(string)) (natsstream.RebuildState, error) {
	meters := map[string]*meter{}
	phase, trouble, silent := "", "", false
	for {
		s, err := log.RebuildState(ctx)
		if err != nil {
			return s, advice.New("quotectl rebuild --status", "follow the rebuild, which goes on: %w", err)
		}
		if s.Generation != generation {
			return s, advice.New("quotectl rebuild --status", "another rebuild, to %s, was begun after the one to %s", s.Generation, generation)
		}
		if s.Phase != phase {
			phase = s.Phase
			say(phase + " " + s.Generation)
		}
		if s.Trouble != trouble {
			if trouble = s.Trouble; trouble != "" {
				say("trouble, tried again: " + trouble)
			}
		}
		if !s.Unfinished() {
			return s, nil
		}
		if gone := !s.Beat.IsZero() && now().Sub(s.Beat) > silentAfter; gone != silent {
			if silent = gone; gone {
				say("no word of the payments instance at work since " + s.Beat.Format(time.TimeOnly) + " UTC; another one takes over")
			}
		}
		if s.Phase == natsstream.RebuildFolding {
			for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
				if meters[stream] == nil {
					meters[stream] = newMeter("fold "+stream, s.End[stream], now, tell)
					meters[stream].first = s.Done[stream]
				}
				if m := meters[stream]; s.Done[stream] != m.done {
					m.of = s.End[stream]
					m.at(s.Done[stream])
				}
			}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(followEvery):
		}
	}
}
