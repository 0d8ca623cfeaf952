package operator

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/invariants"
)

func (a *app) checkInvariantsCommand() *cobra.Command {
	var acked, tempDir string
	cmd := &cobra.Command{
		Use:   "invariants",
		Short: "Hold the log, Redis and the mail ledger against everything that is promised",
		Long: `Judges I1 to I9 from the outside and changes nothing: no acknowledged webhook lost (I1) or
stored twice (I2); status and facts of every quote those of the pure fold of the log (I3,
I7, I8); one quote.paid for each paid revision (I4) and none without a payment (I5); one
mail for each (I6); no message dropped silently (I9). It exits with 3 where one is broken
and lists what, each with the next command; -o jsonl lists every violation on its own line.

I1 needs to be told what was acknowledged: --acked names a file with one Stripe event id on
a line and, after a space, the hex SHA-256 of the body that was sent, if you have it (then
the log must have these very bytes: leave it out where your endpoints send an event in
several API versions). I6 is judged by the ledger: what a mail server has accepted it alone
knows.

What is on its way is waited for, up to half a minute, and then counted as in flight, which
is no violation; a quote that could not be compared in that time is exit code 3 too, as it
is with rebuild --verify, whose temporary files this needs as well.

` + exitCodeHelp,
		Example: `  quotectl check invariants
  quotectl check invariants --acked acknowledged.txt
  quotectl check invariants -o json | jq .violations`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.checkInvariants(cmd.Context(), acked, tempDir) },
	}
	cmd.Flags().StringVar(&acked, "acked", "", "file with the ids of the webhooks that were answered 2xx, one on a line")
	cmd.Flags().StringVar(&tempDir, "temp-dir", "", "where to keep temporary files, half a kilobyte for each event")
	return cmd
}

func (a *app) checkInvariants(ctx context.Context, ackedFile, tempDir string) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.needsRedis("most of what is promised is about Redis"); err != nil {
		return err
	}
	var acked invariants.Acked
	if ackedFile != "" {
		f, err := os.Open(ackedFile) //nolint:gosec // the operator names it
		if err != nil {
			return advise("quotectl check invariants --help", "open the acknowledged ids: %w", err)
		}
		defer f.Close()
		if acked, err = invariants.ReadAcked(f); err != nil {
			return fmt.Errorf("%s: %w", ackedFile, err)
		}
	}
	c := invariants.Checker{Log: b.log, Redis: b.redis, Now: a.now, Progress: a.bar(), TempDir: tempDir, Acked: acked}
	report, err := c.Check(ctx)
	if err != nil {
		return err
	}
	if err := a.show(invariantsView(report)); err != nil {
		return err
	}
	if n := len(report.Violations); n > 0 {
		return advice.Of(advice.Difference, report.Violations[0].Next, "%d violations of what is promised", n)
	}
	for _, l := range report.Lines {
		if l.Invariant == "I7" && l.InFlight > 0 {
			return advice.Of(advice.Difference, "look at payments' /readyz and log; quotectl check invariants", "%d quotes could not be compared: payments has not come to their newest messages", l.InFlight)
		}
	}
	return nil
}

// violationsShown bounds the lines for people; -o json and jsonl have all.
const violationsShown = 50

func invariantsView(r *invariants.Report) view {
	v := view{document: r, items: []any{}, table: table{columns: []string{"INVARIANT", "PROMISE", "LOOKED AT", "VIOLATIONS", "IN FLIGHT", "NOT CHECKED"}}}
	for _, l := range r.Lines {
		looked := fmt.Sprintf("%d %s", l.Looked, l.Of)
		v.table.add(l.Invariant, l.Promise, looked, number(l.Violations), number(l.InFlight), dash(l.NotChecked))
	}
	for i, broken := range r.Violations {
		v.items = append(v.items, broken)
		if i < violationsShown {
			v.after = append(v.after, broken.Invariant+": "+broken.What+"  next: "+broken.Next)
		}
	}
	if n := len(r.Violations) - violationsShown; n > 0 {
		v.after = append(v.after, fmt.Sprintf("and %d more: -o jsonl lists all", n))
	}
	if r.Held() {
		v.items = append(v.items, r)
		v.after = append(v.after, "everything holds; looked for "+elapsed(time.Duration(r.TookMS)*time.Millisecond))
	}
	return v
}
