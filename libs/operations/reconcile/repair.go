package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/operations/door"
)

// Repaired is what a repair came to. Each event that was entered counts in exactly one of Stored, Known and Aside.
type Repaired struct {
	// Rows are the rows that were made good, Stored the events that were new to the log.
	Rows   int `json:"rows"`
	Stored int `json:"stored"`
	// Known were there already: Stripe, or another repair, was quicker.
	Known int `json:"known"`
	// Aside were stored apart, since their id is another event's.
	Aside int `json:"aside"`
	// Left are the rows that no repair can make good.
	Left int `json:"left"`
	// Events are the ids of those stored, in the order in which they were entered.
	Events []string `json:"events"`
}

// detailIDs bounds the event ids of Detail: an entry of the journal is small, and the log has all under the source reconcile.
const detailIDs = 500

// Detail is what the journal says about a repair of what came since a time.
func (r Repaired) Detail(since time.Time) map[string]any {
	ids := r.Events[:min(len(r.Events), detailIDs)]
	return map[string]any{
		"since": since.UTC(), "rows": r.Rows, "stored": r.Stored, "known": r.Known, "aside": r.Aside, "left": r.Left,
		"events": ids, "events_not_named": len(r.Events) - len(ids),
	}
}

// patience is how often one event is tried while ingress is away: for half a minute.
const patience = 8

// Repair enters what the report lacks, the oldest first. It may be repeated, also after an error, which tells how far it
// came by what it returns beside it.
func (r *Reconciler) Repair(ctx context.Context, report *Report, progress func(done, all int)) (Repaired, error) {
	out := Repaired{Events: []string{}}
	var todo []Row
	for _, row := range report.Rows {
		if row.Repairable {
			todo = append(todo, row)
			continue
		}
		out.Left++
	}
	slices.SortStableFunc(todo, func(a, b Row) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Event, b.Event)) })
	for i, row := range todo {
		if progress != nil {
			progress(i, len(todo))
		}
		ids := strings.Split(row.Event, ",")
		for n, body := range row.bodies {
			answer, err := r.enter(ctx, body)
			if err != nil {
				return out, fmt.Errorf("enter %s: %w", ids[n], err)
			}
			switch answer {
			case door.Stored:
				out.Stored++
				out.Events = append(out.Events, ids[n])
			case door.Conflict, door.Unreadable:
				out.Aside++
			default:
				out.Known++
			}
		}
		out.Rows++
	}
	return out, nil
}

// enter posts one event, again while ingress is away.
func (r *Reconciler) enter(ctx context.Context, body []byte) (string, error) {
	for try := uint64(1); ; try++ {
		answer, err := r.cfg.Door.Enter(ctx, body)
		if err == nil || !errors.Is(err, door.ErrUnavailable) || try == patience {
			return answer, err
		}
		if wait := sleep(ctx, waits.After(try)); wait != nil {
			return "", errors.Join(err, wait)
		}
	}
}

// Overlap is how far an automatic run looks back before the one before it.
const Overlap = time.Hour
