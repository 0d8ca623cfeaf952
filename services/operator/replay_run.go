package operator

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/replay"
)

func (a *app) replayRunCommand() *cobra.Command {
	var o replay.Options
	var yes bool
	cmd := &cobra.Command{
		Use:   "run <plan>",
		Short: "Carry a plan out, or go on with it",
		Long: `Has the payments worker fold the plan's events again, at a rate, and compares what came of it
with the plan. It refuses with 4 when the plan changes more quotes or sends more mails than
allowed, and when things have moved so that it would do something else than was planned.

Without --resend-email in the plan the only mail that can follow is the one that is owed: the
first about a quote that becomes paid now. Even that needs --max-mails.

Ctrl-C, or quotectl replay cancel, stops it and keeps the cursor; the same command goes on. A
plan that is done is not run again. Start and end are in the journal.

` + exitCodeHelp,
		Example: `  quotectl replay run rp_3kq7w2mzx5ta --reason "ticket 4711"
  quotectl replay run incident-4711 --reason "ticket 4711" --max-quotes 500 --max-mails 12 --rate 1000`,
		Args: exact("plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Rate < 0 || o.MaxQuotes < 0 || o.MaxMails < 0 && cmd.Flags().Changed("max-mails") {
				return usage(cmd, "--rate, --max-quotes and --max-mails are 0 or more")
			}
			var err error
			if o.Reason, err = a.reason(cmd, o.Reason); err != nil {
				return err
			}
			return a.runReplay(cmd, args[0], o, yes)
		},
	}
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for the journal and the worker's log; asked for on a terminal")
	cmd.Flags().IntVar(&o.Rate, "rate", replay.DefaultRate, "at most so many events a second; 0 for as fast as the worker can")
	cmd.Flags().IntVar(&o.MaxQuotes, "max-quotes", replay.DefaultMaxQuotes, "refuse when more quotes would change")
	cmd.Flags().IntVar(&o.MaxMails, "max-mails", -1, fmt.Sprintf("refuse when more mails would go; by default 0, with --resend-email in the plan %d", replay.DefaultMaxMails))
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask on a terminal")
	return cmd
}

func (a *app) runReplay(cmd *cobra.Command, id string, o replay.Options, yes bool) error {
	ctx := cmd.Context()
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	s, err := a.replaySystem(b)
	if err != nil {
		return err
	}
	plan, err := b.plan(ctx, id)
	if err != nil {
		return err
	}
	if o.MaxMails < 0 {
		o.MaxMails = maxMails(plan)
	}
	r := replay.Runner{System: s, Conn: b.nc, Journal: journal.New(b.log, a.now), Who: who()}
	if !yes {
		r.Confirm = a.confirmReplay(cmd)
	}
	run, err := r.Run(ctx, plan, o)
	if run.Starts == 0 {
		return err // refused before anything was done
	}
	if showErr := a.showRun(plan, run); showErr != nil {
		return showErr
	}
	if err == nil && run.Over() && run.State != replay.Done {
		return advice.Of(advice.Difference, "quotectl replay status "+plan.ID, "%s is over, and came to something else than planned", plan.ID)
	}
	return err
}

// confirmReplay asks on a terminal; elsewhere the plan's id is the word that it was seen.
func (a *app) confirmReplay(cmd *cobra.Command) func(*replay.Plan, replay.Run) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(p *replay.Plan, r replay.Run) error {
		fmt.Fprintf(a.err, "replay %d messages from %d on: %d quotes change, %d mails go. Go on? [y/N] ", p.Totals.Messages, r.Done, p.Totals.Changed, p.Totals.Mails)
		line, err := bufio.NewReader(in).ReadString('\n')
		if word := strings.ToLower(strings.TrimSpace(line)); err != nil || word != "y" && word != "yes" {
			return advise("quotectl replay show "+p.ID, "nothing was done")
		}
		return nil
	}
}

func (a *app) replayCancelCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel <plan>",
		Short: "Stop a run where it is; replay run goes on with it",
		Long: `Stops a run, wherever it is at work, before its next batch. What was folded stays folded. The
cursor is kept, and replay run goes on from there.

` + exitCodeHelp,
		Example: `  quotectl replay cancel incident-4711 --reason "load"`,
		Args:    exact("plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := a.reason(cmd, reason)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			b, err := a.openLogOnly(ctx)
			if err != nil {
				return err
			}
			defer b.close()
			plan, err := b.plan(ctx, args[0])
			if err != nil {
				return err
			}
			r := replay.Runner{System: replay.System{Log: b.log, Now: a.now}, Journal: journal.New(b.log, a.now), Who: who()}
			run, err := r.Cancel(ctx, plan, reason)
			if err != nil {
				return err
			}
			return a.showRun(plan, run)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal; asked for on a terminal")
	return cmd
}

func (a *app) replayListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List replay plans, the newest first",
		Long: `Lists all replay plans, the newest first, with what they would change and how far they are.

` + exitCodeHelp,
		Example: "  quotectl replay list\n  quotectl replay list -o json | jq -r '.[] | select(.run.state == \"cancelled\") | .plan.id'",
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.openLogOnly(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			store, err := replay.OpenStore(cmd.Context(), b.log)
			if err != nil {
				return err
			}
			all, err := store.List(cmd.Context())
			if err != nil {
				return err
			}
			v := view{document: all, items: []any{}, table: table{columns: []string{"PLAN", "NAME", "PLANNED", "BY", "MESSAGES", "CHANGES", "MAILS", "STATE", "DONE", "+SELECTION"}}}
			for _, e := range all {
				v.items = append(v.items, e)
				t := e.Plan.Totals
				v.table.add(e.Plan.ID, dash(e.Plan.Name), a.day(e.Plan.At), e.Plan.By, number(t.Messages), number(t.Changed), number(t.Mails), e.Run.State,
					number(e.Run.Done), dash(e.Plan.Selection.Query))
			}
			if len(all) == 0 {
				a.progress("no plans; quotectl replay plan makes one")
			}
			return a.show(v)
		},
	}
}

func (a *app) replayShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show <plan>",
		Short: "Show a plan as it was made",
		Long: `Shows a plan as it was made: what would change, which facts would be published, which mails
would go or be held back. -o json has the frozen selection and every quote that something
would happen to.

` + exitCodeHelp,
		Example: "  quotectl replay show incident-4711\n  quotectl replay show rp_3kq7w2mzx5ta -o jsonl | jq -r .quote",
		Args:    exact("plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPlan(cmd.Context(), args[0], func(_ backend, p *replay.Plan) error { return a.showPlan(p) })
		},
	}
}

func (a *app) replayStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status <plan>",
		Short: "Show how far a plan was carried out, and what came of it",
		Long: `Shows how far a plan was carried out, by whom, what came of it, and what is not as planned;
then the exit code is 3.

` + exitCodeHelp,
		Example: "  quotectl replay status incident-4711\n  quotectl replay status rp_3kq7w2mzx5ta -o json | jq -r '.differences[]'",
		Args:    exact("plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPlan(cmd.Context(), args[0], func(b backend, p *replay.Plan) error {
				store, err := replay.OpenStore(cmd.Context(), b.log)
				if err != nil {
					return err
				}
				run, err := store.Run(cmd.Context(), p.ID)
				if err != nil {
					return err
				}
				if err := a.showRun(p, run); err != nil {
					return err
				}
				if run.State == replay.Differs {
					return advice.Of(advice.Difference, "quotectl replay show "+p.ID, "%d differences from the plan", len(run.Differences)+run.More)
				}
				return nil
			})
		},
	}
}

func (a *app) withPlan(ctx context.Context, id string, f func(b backend, p *replay.Plan) error) error {
	b, err := a.openLogOnly(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	plan, err := b.plan(ctx, id)
	if err != nil {
		return err
	}
	return f(b, plan)
}

// runShown is a run with what it is of.
type runShown struct {
	Plan     string `json:"plan"`
	Name     string `json:"name,omitempty"`
	Messages int    `json:"messages"`
	replay.Run
}

func (a *app) showRun(p *replay.Plan, r replay.Run) error {
	v := view{document: runShown{p.ID, p.Name, p.Totals.Messages, r}, table: table{columns: []string{"PLAN", "STATE", "MESSAGES", "MAILED", "BY", "BEGAN", "TOOK"}}}
	took := "-"
	if !r.Ended.IsZero() {
		took = elapsed(r.Ended.Sub(r.Began).Round(time.Millisecond))
	}
	v.table.add(p.ID, r.State, fmt.Sprintf("%d of %d", r.Done, p.Totals.Messages), number(r.Mailed), dash(r.By), a.clock(r.Began), took)
	if r.Starts > 0 {
		v.after = append(v.after, "messages  "+counts(r.Outcomes), "facts     "+counts(r.Stored))
	}
	switch {
	case r.State == replay.Done:
		v.after = append(v.after, "as planned")
	case r.Trouble != "":
		v.after = append(v.after, "trouble: "+r.Trouble)
	}
	if r.MovedOn > 0 {
		v.after = append(v.after, fmt.Sprintf("of %d quotes more has become known since", r.MovedOn))
	}
	for _, d := range r.Differences {
		v.after = append(v.after, "differs: "+d)
	}
	if r.More > 0 {
		v.after = append(v.after, fmt.Sprintf("and %d more differences", r.More))
	}
	return a.show(v)
}
