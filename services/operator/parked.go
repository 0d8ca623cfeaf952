package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
)

func (a *app) parkedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "See what waits for its link or its quote, fold it again, give it up",
		Long: `Parked is what waits: a refund, a charge, an invoice whose quote is not known yet, and
payments of a quote that is not published on that account. It is completed by itself when
the missing thing arrives; what nothing has linked for PARKED_FOR (72h) is ignored.

` + exitCodeHelp,
		Example: `  quotectl parked list
  quotectl parked release evt_1QaB --reason "ticket 4711"
  quotectl parked release evt_1QaB --give-up --reason "plugin's own charge"`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.parkedListCommand(), a.parkedReleaseCommand())
	return cmd
}

// waiting is one thing that waits.
type waiting struct {
	// Kind is link (a Stripe message) or quote (payment facts).
	Kind string `json:"kind"`
	// Place and EventID are of the message; of facts there may be several.
	Place   string `json:"place,omitempty"`
	EventID string `json:"event_id,omitempty"`
	Type    string `json:"type,omitempty"`
	Account string `json:"account"`
	// WaitsFor is what would end the wait: any of these objects of Stripe's, or the publication of this quote.
	WaitsFor []string  `json:"waits_for"`
	Since    time.Time `json:"since"`
	AgeS     float64   `json:"age_seconds"`

	sequence uint64
}

// parkedFilter selects what waits.
type parkedFilter struct {
	olderThan time.Duration
	typ       string
	account   string
}

func (f *parkedFilter) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.olderThan, "older-than", 0, "only what has waited for so long, such as 24h")
	cmd.Flags().StringVar(&f.typ, "type", "", "only types that fit, such as 'charge.*'")
	cmd.Flags().StringVar(&f.account, "account", "", "only of this Stripe account")
}

func (f *parkedFilter) takes(w waiting) bool {
	fits, err := path.Match(f.typ, w.Type)
	return w.AgeS >= f.olderThan.Seconds() && (f.typ == "" || err == nil && fits) && (f.account == "" || f.account == w.Account)
}

// waitingIn lists what waits, the oldest first.
func (a *app) waitingIn(ctx context.Context, b backend, f parkedFilter) ([]waiting, error) {
	if b.reader == nil {
		return nil, advise("export REDIS_URL=redis://127.0.0.1:6379/0", "what waits is not known without Redis")
	}
	parked, err := b.reader.ParkedMessages(ctx)
	if err != nil {
		return nil, err
	}
	unknown, err := b.reader.UnknownQuotes(ctx)
	if err != nil {
		return nil, err
	}
	all := []waiting{}
	now := a.now()
	for _, p := range parked {
		all = append(all, waiting{
			Kind: "link", Place: event.StreamStripe + ":" + strconv.FormatUint(p.Sequence, 10), EventID: p.EventID, Type: p.Type, Account: p.Account,
			WaitsFor: p.Objects, Since: p.Since, AgeS: now.Sub(p.Since).Seconds(), sequence: p.Sequence,
		})
	}
	for _, u := range unknown {
		all = append(all, waiting{Kind: "quote", Account: u.Account, WaitsFor: []string{u.Quote}, Since: u.Since, AgeS: now.Sub(u.Since).Seconds()})
	}
	all = slices.DeleteFunc(all, func(w waiting) bool { return !f.takes(w) })
	slices.SortStableFunc(all, func(x, y waiting) int { return x.Since.Compare(y.Since) })
	return all, nil
}

func (a *app) parkedListCommand() *cobra.Command {
	var f parkedFilter
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what waits, for what and since when, the oldest first",
		Long:    "Lists what waits, for what and since when, the oldest first.\n\n" + exitCodeHelp,
		Example: "  quotectl parked list\n  quotectl parked list --older-than 24h\n  quotectl parked list -o jsonl | jq -r '.waits_for[]'",
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", limit)
			}
			b, err := a.openBackend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			all, err := a.waitingIn(cmd.Context(), b, f)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				a.progress("nothing waits")
			}
			if limit > 0 && len(all) > limit {
				a.progress("%d more; --limit 0 shows all", len(all)-limit)
				all = all[:limit]
			}
			return a.showWaiting(all)
		},
	}
	f.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

func (a *app) showWaiting(all []waiting) error {
	v := view{document: all, items: []any{}, table: table{columns: []string{"KIND", "PLACE", "TYPE", "ACCOUNT", "WAITS FOR", "SINCE", "AGE", "ID"}}}
	for _, w := range all {
		v.items = append(v.items, w)
		v.table.add(w.Kind, dash(w.Place), dash(w.Type), w.Account, shorten(strings.Join(w.WaitsFor, " or "), 60), a.day(w.Since),
			elapsed(time.Duration(w.AgeS*float64(time.Second))), dash(w.EventID))
	}
	return a.show(v)
}

func (a *app) parkedReleaseCommand() *cobra.Command {
	var f parkedFilter
	var giveUp, yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "release [STRIPE:sequence | event id]...",
		Short: "Fold parked messages again now, or give them up",
		Long: `Has the payments worker fold a parked message again: should its link be there, it is
applied. With --give-up its wait ends and its outcome is ignored, with the reason; should its
link turn up after all, it is applied all the same. After a loss of Redis what was given up
waits again until PARKED_FOR is over.

Messages are named, or selected with --older-than, --type and --account; more than one is only
planned, unless --yes is given. Payments of an unknown quote are released by its publication.

` + exitCodeHelp,
		Example: `  quotectl parked release evt_1QaB --reason "ticket 4711"
  quotectl parked release --older-than 48h --give-up --reason "not ours" --yes`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if selects := f != (parkedFilter{}); selects == (len(args) > 0) {
				return usage(cmd, "name parked messages, or select some with --older-than, --type or --account")
			}
			b, err := a.openBackend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			all, err := a.waitingIn(cmd.Context(), b, f)
			if err != nil {
				return err
			}
			if all, err = named(all, args); err != nil {
				return err
			}
			if len(all) > 1 && !yes {
				a.progress("this would release %d messages; next: the same with --yes", len(all))
				return a.showWaiting(all)
			}
			if reason, err = a.reason(cmd, reason); err != nil {
				return err
			}
			return a.release(cmd.Context(), b, all, natsstream.ParkedRequest{GiveUp: giveUp, Who: who(), Why: reason})
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&giveUp, "give-up", false, "end the wait: ignored from now on")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it, not only plan it, where it is more than one message")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal; asked for on a terminal")
	return cmd
}

// named keeps the parked messages that are named, or, without names, all that can be released.
func named(all []waiting, refs []string) ([]waiting, error) {
	all = slices.DeleteFunc(all, func(w waiting) bool { return w.Kind != "link" })
	if len(refs) == 0 {
		if len(all) == 0 {
			return nil, notFound("quotectl parked list", "no parked messages match")
		}
		return all, nil
	}
	var found []waiting
	for _, ref := range refs {
		i := slices.IndexFunc(all, func(w waiting) bool { return w.Place == ref || w.EventID == ref })
		if i < 0 {
			return nil, notFound("quotectl explain "+ref, "%s is not parked", ref)
		}
		found = append(found, all[i])
	}
	return found, nil
}

// released is what came of one release.
type released struct {
	Place   string `json:"place"`
	EventID string `json:"event_id,omitempty"`
	natsstream.ParkedAnswer
}

func (a *app) release(ctx context.Context, b backend, all []waiting, request natsstream.ParkedRequest) error {
	results := []released{}
	target := all[0].Place
	if len(all) > 1 {
		target = fmt.Sprintf("%d messages", len(all))
	}
	entry := journal.Entry{Action: map[bool]string{false: "parked_release", true: "parked_give_up"}[request.GiveUp], Reason: request.Why, Target: target}
	err := a.journaled(ctx, b.log, entry, func(e *journal.Entry) error {
		var err error
		for _, w := range all {
			if err = ctx.Err(); err != nil {
				break
			}
			request.Sequence = w.sequence
			var answer natsstream.ParkedAnswer
			if answer, err = requestParked(ctx, b.nc, request); err != nil {
				break
			}
			results = append(results, released{w.Place, w.EventID, answer})
		}
		counts := map[string]int{}
		for _, r := range results {
			counts[or(r.Outcome, "error")]++
		}
		e.Detail = map[string]any{"selected": len(all), "outcomes": counts}
		if len(all) == 1 && len(results) == 1 {
			e.Before, e.After = results[0].Before, results[0].Outcome
		}
		return err
	})
	v := view{document: results, items: []any{}, table: table{columns: []string{"PLACE", "ID", "OUTCOME", "QUOTE", "REASON"}}}
	failed := 0
	for _, r := range results {
		v.items = append(v.items, r)
		if r.Error != "" {
			failed++
		}
		v.table.add(r.Place, dash(r.EventID), or(r.Outcome, "error"), dash(r.Quote), or(r.Error, r.Reason))
	}
	if showErr := a.show(v); showErr != nil {
		return errors.Join(err, showErr)
	}
	if err == nil && failed > 0 {
		err = advise("quotectl parked list", "%d of %d messages were not released", failed, len(results))
	}
	return err
}

func requestParked(ctx context.Context, nc *nats.Conn, request natsstream.ParkedRequest) (natsstream.ParkedAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	var answer natsstream.ParkedAnswer
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	msg, err := nc.RequestWithContext(ctx, natsstream.ParkedSubject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return answer, advise("start the payments worker, or look at its /readyz", "no payments worker listens")
	}
	if err != nil {
		return answer, advise("look at the payments worker's /readyz and log", "no answer of the payments worker: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("decode the payments worker's answer: %w", err)
	}
	return answer, nil
}
