package operator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/stripegate"
)

const reconcileHelp = `It compares the log with Stripe's own list of events, which reaches 30 days back, and our
Checkout Sessions with the facts of their quotes: for what is older, and for what Stripe
made no event of. It needs STRIPE_API_KEY (and MODE, test if not given), NATS and Redis.

Classes: at_stripe  Stripe has the event, it never came here
         here       the log has it, and Stripe does not know it
         differing  one event id, two events
         beyond     Stripe's objects say more than our facts, and no event tells it

Events of other integrations on the same Stripe account are counted as not ours. The
services do the same every ten minutes by themselves (RECONCILE_EVERY on quotes).`

func (a *app) reconcileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare the log with Stripe and make good what never came",
		Long:  reconcileHelp + "\n\n" + exitCodeHelp,
		Example: `  quotectl reconcile report
  quotectl reconcile report --since 30d -o json | jq .gaps
  quotectl reconcile repair --since 30d --yes --reason "ingress was down, ticket 4711"`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.reconcileReportCommand(), a.reconcileRepairCommand())
	return cmd
}

// reconcileFlags are what both commands take.
type reconcileFlags struct {
	since, account string
	grace          time.Duration
}

func (f *reconcileFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.since, "since", "72h", "from when on: a span such as 72h or 30d, a date, or RFC 3339")
	cmd.Flags().StringVar(&f.account, "account", "", "only this account: platform (the deployment's own) or acct_…")
	cmd.Flags().DurationVar(&f.grace, "grace", reconcile.DefaultGrace, "events younger than this are on their way, not missing")
}

// options reads the flags.
func (f *reconcileFlags) options(cmd *cobra.Command, a *app) (reconcile.Options, error) {
	since, err := selection.ParseTime(f.since, a.now().In(a.zone))
	switch {
	case err != nil:
		return reconcile.Options{}, usage(cmd, "--since: %w", err)
	case since.After(a.now()):
		return reconcile.Options{}, usage(cmd, "--since is in the future")
	case f.grace < 0:
		return reconcile.Options{}, usage(cmd, "--grace is %s; it is 0 or more", f.grace)
	case f.account != "" && event.AccountFilter(f.account) == "":
		return reconcile.Options{}, usage(cmd, "--account is %q; it is platform or acct_…", f.account)
	}
	return reconcile.Options{Since: since, Account: f.account, Progress: func(text string) { a.progress("%s", text) }}, nil
}

func (a *app) reconcileReportCommand() *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "List the differences between the log and Stripe",
		Long: "Lists the differences between the log and Stripe, each with the command to type next. It\nchanges nothing and exits with 3 when there is a difference.\n\n" +
			reconcileHelp + "\n\n" + exitCodeHelp,
		Example: `  quotectl reconcile report
  quotectl reconcile report --since 90d --account acct_1Seller
  quotectl reconcile report -o jsonl | jq -r 'select(.class == "here") | .event'`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd, a)
			if err != nil {
				return err
			}
			w, err := a.openReconciler(cmd.Context(), f.grace)
			if err != nil {
				return err
			}
			defer w.close()
			report, err := w.report(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.showDifferences(report)
		},
	}
	f.add(cmd)
	return cmd
}

// reconciler is what the commands work with.
type reconciler struct {
	*reconcile.Reconciler
	backend
}

// openReconciler connects to everything that a comparison needs.
func (a *app) openReconciler(ctx context.Context, grace time.Duration) (*reconciler, error) {
	stripe, mode, err := a.stripeConfig()
	if err != nil {
		return nil, err
	}
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	b, err := a.openBackend(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.needsRedis("what belongs to a quote is not known without Redis"); err != nil {
		b.close()
		return nil, err
	}
	if grace == 0 {
		grace = -1
	}
	secret, _ := door.SecretFor(c.WebhookSecrets, event.SourceReconcile) // repair asks for it
	return &reconciler{backend: b, Reconciler: reconcile.New(reconcile.Config{
		Log: b.log, Reader: b.reader, Stripe: stripegate.New(stripe), Mode: mode, Grace: grace, Now: a.now,
		Door: door.Door{URL: c.IngressURL, Secret: secret, Source: event.SourceReconcile, Now: a.now, HTTP: &http.Client{Timeout: apiTimeout}},
	})}, nil
}

// stripeConfig reads how Stripe is called: by these commands alone, so that no other needs the key.
func (a *app) stripeConfig() (stripegate.Config, string, error) {
	c, mode, err := a.stripeSettings()
	if err != nil {
		return c, mode, err
	}
	if !c.Configured() {
		return c, mode, advise("export STRIPE_API_KEY_FILE=… as quotes has it (a restricted key that may read events, checkout sessions, payments and invoices is enough)",
			"STRIPE_API_KEY is set neither in the environment nor in a client.env file, so Stripe cannot be asked")
	}
	return c, mode, nil
}

// report compares; its errors say what to do.
func (w *reconciler) report(ctx context.Context, o reconcile.Options) (*reconcile.Report, error) {
	report, err := w.Report(ctx, o)
	if err != nil {
		return nil, reconcile.Explained(err)
	}
	return report, nil
}

// showDifferences prints a report; differences are exit code 3.
func (a *app) showDifferences(r *reconcile.Report) error {
	v := a.reportView(r)
	if err := a.show(v); err != nil {
		return err
	}
	if len(r.Rows) == 0 {
		return nil
	}
	return advice.Of(advice.Difference, r.Rows[0].Next, "%s", gaps(r))
}

func (a *app) reportView(r *reconcile.Report) view {
	v := view{document: r, items: []any{}, table: table{columns: []string{"CLASS", "TIME", "ACCOUNT", "EVENT", "TYPE", "QUOTE", "DETAIL", "+OBJECT", "NEXT"}}}
	v.before = append(v.before, fmt.Sprintf("since %s: %d the same (%d in another form), %d not ours, %d on their way, %d made by us, %d checkouts looked up",
		a.clock(r.Since), r.Matched, r.Renderings, r.NotOurs, r.InFlight, r.Made, r.Sessions))
	for _, account := range r.Accounts {
		line := fmt.Sprintf("%s: %d at Stripe, %d in the log", account.ID, account.Listed, account.Stored)
		if account.Note != "" {
			line = account.ID + ": " + account.Note
		}
		v.before = append(v.before, line)
	}
	if r.Refused > 0 {
		v.before = append(v.before, fmt.Sprintf("%d events of Stripe's list are of another mode or account, or unreadable: they are never entered", r.Refused))
	}
	for _, row := range r.Rows {
		v.items = append(v.items, row)
		v.table.add(string(row.Class), a.clock(row.Created), row.Account, dash(row.Event), dash(row.Type), dash(row.Quote), row.Detail, dash(row.Object), row.Next)
	}
	if len(r.Rows) == 0 {
		v.after = append(v.after, "no difference")
	}
	return v
}

// gaps says how many differences there are.
func gaps(r *reconcile.Report) string {
	var parts []string
	for _, c := range reconcile.Classes {
		if n := r.Gaps[c]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	return "the log and Stripe differ: " + strings.Join(parts, ", ")
}

func (a *app) reconcileRepairCommand() *cobra.Command {
	var f reconcileFlags
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Enter what is missing, through ingress",
		Long: `Enters what reconcile report finds missing (classes at_stripe and beyond) through ingress,
signed like a webhook and labelled with the source reconcile. An event that Stripe delivers
later is the same event again: nothing is counted, paid or mailed twice. What happened
beyond Stripe's list becomes an event of our own, evt_reconciled_…, made of the object.

Without --yes it only says what it would enter, and exits with 3 when there is something.
With --yes it asks for a reason and is journaled; what it cannot make good exits with 3.

` + exitCodeHelp,
		Example: `  quotectl reconcile repair
  quotectl reconcile repair --since 30d --yes --reason "ingress was down, ticket 4711"`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(cmd, a)
			if err != nil {
				return err
			}
			if yes {
				if reason, err = a.reason(cmd, reason); err != nil {
					return err
				}
			}
			return a.repair(cmd.Context(), f.grace, o, yes, reason)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "enter it; without this nothing is changed")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal; asked for on a terminal")
	return cmd
}

func (a *app) repair(ctx context.Context, grace time.Duration, o reconcile.Options, yes bool, reason string) error {
	w, err := a.openReconciler(ctx, grace)
	if err != nil {
		return err
	}
	defer w.close()
	if !yes {
		return a.wouldRepair(ctx, w, o)
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	if _, err := firstSecret(c.WebhookSecrets); err != nil {
		return err
	}
	report, err := w.report(ctx, o)
	if err != nil {
		return err
	}
	var done reconcile.Repaired
	if report.Repairable == 0 {
		done.Left, done.Events = len(report.Rows), []string{}
		return a.showRepaired(report, done)
	}
	entry := journal.Entry{Action: reconcile.ActionRepair, Reason: reason, Target: o.Account}
	err = a.journaled(ctx, w.log, entry, func(e *journal.Entry) error {
		told := a.now()
		done, err = w.Repair(ctx, report, func(n, all int) {
			if now := a.now(); now.Sub(told) >= 2*time.Second {
				told = now
				a.progress("%d of %d entered", n, all)
			}
		})
		e.Detail = done.Detail(o.Since)
		if err != nil {
			return advise("check INGRESS_URL and STRIPE_WEBHOOK_SECRETS, and run the command again: what was entered is not entered twice", "%w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.showRepaired(report, done)
}

// wouldRepair says what a repair would do.
func (a *app) wouldRepair(ctx context.Context, w *reconciler, o reconcile.Options) error {
	report, err := w.report(ctx, o)
	if err != nil {
		return err
	}
	v := a.reportView(report)
	n := report.Repairable
	v.after = append(v.after, fmt.Sprintf("would enter %d of %d; nothing was changed", n, len(report.Rows)))
	if err := a.show(v); err != nil || len(report.Rows) == 0 {
		return err
	}
	next := report.Rows[0].Next
	if n > 0 {
		next = "the same with --yes --reason '…'"
	}
	return advice.Of(advice.Difference, next, "%s", gaps(report))
}

// showRepaired prints what a repair came to; what is left is exit code 3.
func (a *app) showRepaired(report *reconcile.Report, done reconcile.Repaired) error {
	v := view{document: done, table: table{columns: []string{"ROWS", "STORED", "KNOWN", "ASIDE", "LEFT"}}}
	v.table.add(fmt.Sprint(done.Rows), fmt.Sprint(done.Stored), fmt.Sprint(done.Known), fmt.Sprint(done.Aside), fmt.Sprint(done.Left))
	if err := a.show(v); err != nil {
		return err
	}
	for _, row := range report.Rows {
		if !row.Repairable {
			return advice.Of(advice.Difference, row.Next, "%d differences are left that no repair makes good", done.Left)
		}
	}
	if done.Aside > 0 {
		return advice.Of(advice.Difference, "quotectl reconcile report", "%d events were stored aside: their ids are other events'", done.Aside)
	}
	return nil
}
