package operator

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/parked"
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

// parkedFlags gives a command the flags that select what waits.
func parkedFlags(cmd *cobra.Command, f *parked.Filter) {
	cmd.Flags().DurationVar(&f.OlderThan, "older-than", 0, "only what has waited for so long, such as 24h")
	cmd.Flags().StringVar(&f.Type, "type", "", "only types that fit, such as 'charge.*'")
	cmd.Flags().StringVar(&f.Account, "account", "", "only of this Stripe account")
}

func (a *app) parkedDesk(b backend) parked.Desk {
	return parked.Desk{Log: b.log, NATS: b.nc, Reader: b.reader, Now: a.now}
}

func (a *app) parkedListCommand() *cobra.Command {
	var f parked.Filter
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
			if f.OlderThan < 0 {
				return usage(cmd, "--older-than is %s; it is 0 or more", f.OlderThan)
			}
			b, err := a.openBackend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			if err := b.needsRedis("what waits stands in Redis"); err != nil {
				return err
			}
			all, err := a.parkedDesk(b).List(cmd.Context(), f)
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
	parkedFlags(cmd, &f)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

func (a *app) showWaiting(all []parked.Waiting) error {
	v := view{document: all, items: []any{}, table: table{columns: []string{"KIND", "PLACE", "TYPE", "ACCOUNT", "WAITS FOR", "SINCE", "AGE", "ID"}}}
	for _, w := range all {
		v.items = append(v.items, w)
		v.table.add(w.Kind, dash(w.Place), dash(w.Type), w.Account, shorten(strings.Join(w.WaitsFor, " or "), 60), a.day(w.Since),
			elapsed(w.Age()), dash(w.EventID))
	}
	return a.show(v)
}

func (a *app) parkedReleaseCommand() *cobra.Command {
	var f parked.Filter
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
			if selects := f != (parked.Filter{}); selects == (len(args) > 0) {
				return usage(cmd, "name parked messages, or select some with --older-than, --type or --account")
			}
			if f.OlderThan < 0 {
				return usage(cmd, "--older-than is %s; it is 0 or more", f.OlderThan)
			}
			b, err := a.openBackend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			if err := b.needsRedis("what waits stands in Redis"); err != nil {
				return err
			}
			all, err := a.parkedDesk(b).List(cmd.Context(), f)
			if err != nil {
				return err
			}
			if all, err = parked.Messages(all, args); err != nil {
				return err
			}
			if len(all) > 1 && !yes {
				a.progress("this would release %d messages; next: the same with --yes", len(all))
				return a.showWaiting(all)
			}
			if reason, err = a.reason(cmd, reason); err != nil {
				return err
			}
			return a.release(cmd.Context(), b, all, parked.Order{GiveUp: giveUp, Who: who(), Why: reason})
		},
	}
	parkedFlags(cmd, &f)
	cmd.Flags().BoolVar(&giveUp, "give-up", false, "end the wait: ignored from now on")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it, not only plan it, where it is more than one message")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal; asked for on a terminal")
	return cmd
}

func (a *app) release(ctx context.Context, b backend, all []parked.Waiting, o parked.Order) error {
	results, err := a.parkedDesk(b).Release(ctx, all, o, func(parked.Result) {})
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
