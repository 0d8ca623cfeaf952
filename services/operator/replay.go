package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
)

// replayTimeout bounds one replay; the worker gives up after 20 s.
const replayTimeout = 25 * time.Second

// replayed is what replay prints.
type replayed struct {
	EventID  string `json:"event_id"`
	Type     string `json:"type"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Quote    string `json:"quote,omitempty"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason,omitempty"`
	// Recorded is the outcome that stands: that of the first time.
	Recorded string `json:"recorded,omitempty"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
	Changed  bool   `json:"changed"`
}

func (a *app) replayCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "replay [event id | STRIPE:sequence]",
		Short: "Fold stored events again: plan it, see what would change, run it",
		Long: `Folds stored events again. That is harmless: facts only grow, so what was folded before
changes nothing, publishes nothing again and mails nobody. What had not been published yet is
published then.

replay plan says beforehand, per quote, what would change, which facts would be published and
which mails would go; replay run carries a plan out. With an event in place of a command,
that one event is folded at once, as by replay one.

` + exitCodeHelp,
		Example: `  quotectl replay plan --outcome failed --since 24h --name incident-4711
  quotectl replay run incident-4711 --reason "ticket 4711"
  quotectl replay evt_1QaB --reason "ticket 4711"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && strings.ContainsAny(args[0], "_:") {
				return a.replay(cmd, args[0], reason)
			}
			return group(cmd, args)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and the worker's log; asked for on a terminal")
	cmd.AddCommand(a.replayPlanCommand(), a.replayRunCommand(), a.replayOneCommand(), a.replayListCommand(), a.replayShowCommand(),
		a.replayStatusCommand(), a.replayCancelCommand())
	return cmd
}

func (a *app) replayOneCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "one <event id | STRIPE:sequence>",
		Short: "Fold one stored event again, at once",
		Long: `Lets the payments worker fold a stored Stripe event again and prints what changed. A quote's
own event is named by its place, QUOTES:4410. quotectl replay <event> is the same.

` + exitCodeHelp,
		Example: `  quotectl replay one evt_1QaB --reason "ticket 4711"
  quotectl replay STRIPE:88120 --reason "drill" -o json`,
		Args: exact("event id"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.replay(cmd, args[0], reason) },
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and the worker's log; asked for on a terminal")
	return cmd
}

func (a *app) replay(cmd *cobra.Command, id, reason string) error {
	byPlace, err := replayID(cmd, id)
	if err != nil {
		return err
	}
	reason, err = a.reason(cmd, reason)
	if err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), replayTimeout)
	defer cancel()
	r, err := replayable(ctx, log, id, byPlace)
	if err != nil {
		return err
	}
	var answer natsstream.ReplayAnswer
	entry := journal.Entry{Action: "replay", Reason: reason, Target: story.Reference(r)}
	err = a.journaled(ctx, log, entry, func(e *journal.Entry) error {
		if answer, err = replay.Ask(ctx, nc, natsstream.ReplayRequest{Stream: r.Stream, Sequence: r.Sequence, Reason: reason}); err != nil {
			return fmt.Errorf("replay %s: %w", story.Reference(r), err)
		}
		e.Before, e.After = dash(answer.Before), dash(answer.After)
		e.Detail = map[string]any{"quote": answer.Quote, "outcome": answer.Outcome, "recorded": answer.Recorded, "changed": answer.Changed}
		return nil
	})
	if err != nil {
		return err
	}
	out := replayed{
		Stream: r.Stream, Sequence: r.Sequence, Quote: answer.Quote, Outcome: answer.Outcome, Reason: answer.Reason,
		Recorded: answer.Recorded, Before: answer.Before, After: answer.After, Changed: answer.Changed,
	}
	out.EventID, out.Type = story.EventOf(r)
	return a.showReplayed(out, story.Reference(r))
}

// replayID reports whether a message is named by its place rather than by its event's id.
func replayID(cmd *cobra.Command, id string) (byPlace bool, err error) {
	byPlace = strings.HasPrefix(id, event.StreamStripe+":") || strings.HasPrefix(id, event.StreamQuotes+":")
	if byID := strings.HasPrefix(id, "evt_") && plainID(id); !byPlace && !byID {
		return false, usage(cmd, "%q is neither an event id (evt_…) nor a place in the log (STRIPE:88120)", id)
	}
	return byPlace, nil
}

// replayable finds the one message that is meant.
func replayable(ctx context.Context, log *natsstream.Log, id string, byPlace bool) (natsstream.Record, error) {
	if byPlace {
		return story.Message(ctx, log, id)
	}
	records, err := log.ReadAll(ctx, event.StreamStripe, "stripe.*.*."+id+".>")
	if err != nil {
		return natsstream.Record{}, err
	}
	switch len(records) {
	case 0:
		return natsstream.Record{}, notFound("quotectl explain "+id, "event %s is not in the log: ingress has not stored it", id)
	case 1:
		return records[0], nil
	}
	places := make([]string, len(records))
	for i, r := range records {
		places[i] = story.Reference(r)
	}
	return natsstream.Record{}, advise("quotectl replay "+places[0]+" --reason …", "%d stored events have the id %s: %s; name one by its place", len(records), id, strings.Join(places, ", "))
}

func (a *app) showReplayed(r replayed, place string) error {
	v := view{document: r, table: table{columns: []string{"EVENT", "PLACE", "TYPE", "QUOTE", "OUTCOME", "FIRST TIME", "BEFORE", "AFTER"}}}
	v.table.add(r.EventID, place, r.Type, dash(r.Quote), r.Outcome, dash(r.Recorded), dash(r.Before), dash(r.After))
	if r.Reason != "" {
		v.after = append(v.after, "reason: "+r.Reason)
	}
	if !r.Changed {
		v.after = append(v.after, "nothing changed")
	}
	return a.show(v)
}
