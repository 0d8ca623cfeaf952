package operator

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"quittance.internal/libs/operations/rebuild"
)

func (a *app) rebuildCommand() *cobra.Command {
	var verify bool
	cmd := &cobra.Command{
		Use:   "rebuild --verify",
		Short: "Prove that Redis holds what the log says",
		Long: `--verify folds the whole log in memory, from its first message, compares every quote with
Redis (facts, status, flags), and prints one hash over all of each side. It exits with 3
where they differ and lists the differences, each with the next command. It changes
nothing. What is in flight is waited for, so that a busy system shows no false difference.

` + exitCodeHelp,
		Example: `  quotectl rebuild --verify
  quotectl rebuild --verify -o json | jq .differences`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !verify {
				return usage(cmd, "say what to do: --verify")
			}
			return a.verify(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "compare the log with Redis")
	return cmd
}

func (a *app) verify(ctx context.Context) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if b.redis == nil {
		return advise("export REDIS_URL=redis://127.0.0.1:6379/0", "there is nothing to compare with: REDIS_URL is not set")
	}
	v := rebuild.Verifier{Log: b.log, Redis: b.redis, Now: a.now, Progress: a.bar()}
	report, err := v.Verify(ctx)
	if err != nil {
		return err
	}
	if err := a.show(verifyView(report)); err != nil {
		return err
	}
	switch {
	case len(report.Differences) > 0:
		return &fault{code: codeDifference, err: fmt.Errorf("%d quotes differ from the log", len(report.Differences)), next: report.Differences[0].Next}
	case report.InFlight > 0:
		return &fault{
			code: codeDifference, err: fmt.Errorf("%d quotes could not be compared: payments has not come to their newest messages", report.InFlight),
			next: "look at payments' /readyz and log; quotectl rebuild --verify",
		}
	}
	return nil
}

func verifyView(r *rebuild.Report) view {
	v := view{document: r, items: []any{}, table: table{columns: []string{"ACCOUNT", "QUOTE", "WHY", "LOG", "REDIS", "+LOG DIGEST", "+REDIS DIGEST", "NEXT"}}}
	for _, d := range r.Differences {
		v.items = append(v.items, d)
		v.table.add(d.Account, d.Quote, d.Kind, sideText(d.Log), sideText(d.Redis), digestText(d.Log), digestText(d.Redis), d.Next)
	}
	if len(r.Differences) == 0 {
		v.items = append(v.items, r)
	}
	word := "equal"
	if !r.Equal() {
		word = "DIFFERENT"
	}
	v.after = []string{
		fmt.Sprintf("%d quotes of generation %s compared, %d differ, %d in flight; %d messages folded at %.0f a second, %s in all",
			r.Quotes, r.Generation, len(r.Differences), r.InFlight, r.Messages, r.PerSecond, elapsed(time.Duration(r.TookMS)*time.Millisecond)),
		"root of the log    " + r.LogRoot,
		"root of redis      " + r.RedisRoot + "  " + word,
	}
	if r.Unsent > 0 {
		v.after = append(v.after, fmt.Sprintf("%d facts are due and not in the log yet", r.Unsent))
	}
	return v
}

func sideText(s *rebuild.Side) string {
	if s == nil {
		return "-"
	}
	return strings.TrimSpace(s.Status + " " + s.Flags)
}

func digestText(s *rebuild.Side) string {
	if s == nil {
		return "-"
	}
	return s.Digest
}

// bar shows the progress of a long task on stderr: one line that is drawn again on a terminal, plain lines otherwise.
func (a *app) bar() func(rebuild.Progress) {
	f, ok := a.err.(*os.File)
	drawn := ok && term.IsTerminal(int(f.Fd()))
	return func(p rebuild.Progress) {
		text := fmt.Sprintf("%-12s %9d of %d", p.Step, p.Done, p.Of)
		if p.PerSecond > 0 {
			text += fmt.Sprintf("  %.0f/s", p.PerSecond)
		}
		if p.Left > 0 {
			text += "  " + elapsed(p.Left.Round(time.Second)) + " left"
		}
		if !drawn {
			a.progress("%s", text)
			return
		}
		end := "\r"
		if p.Done >= p.Of {
			end = "\n"
		}
		const width = 20
		full := width
		if p.Of > 0 {
			full = int(min(p.Done, p.Of) * width / p.Of) //nolint:gosec // at most width
		}
		fmt.Fprintf(a.err, "\r\x1b[K[%s%s] %s%s", strings.Repeat("#", full), strings.Repeat(".", width-full), text, end)
	}
}
