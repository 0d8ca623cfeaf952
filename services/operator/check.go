package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/platform/redisquote"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what should worry an operator; for cron and monitoring",
		Long: `Checks that end with exit code 3 when something is wrong, for cron and monitoring.

` + exitCodeHelp,
		Example: `  quotectl check lag --warn 1m
  quotectl check gap
  quotectl check silence
  quotectl check conservation
  quotectl check invariants`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.checkConservationCommand(), a.checkLagCommand(), a.checkGapCommand(), a.checkSilenceCommand(), a.checkInvariantsCommand())
	return cmd
}

func (a *app) checkConservationCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "conservation",
		Short: "Account for every message of the log",
		Long: `Every message of STRIPE and QUOTES must have exactly one outcome or be in flight: messages =
the sum of the outcomes + in flight. It exits with 3 where one does not, and lists the
sequences; -o jsonl lists every range on its own line.

The metric quittance_unaccounted_messages of payments counts the same every minute.

` + exitCodeHelp,
		Example: `  quotectl check conservation
  quotectl check conservation -o jsonl | jq -r 'select(.why) | .range'`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.checkConservation(cmd.Context()) },
	}
}

// gap is one line of -o jsonl.
type gap struct {
	Stream string `json:"stream"`
	Why    string `json:"why"`
	Range  string `json:"range"`
	Count  uint64 `json:"count"`
	Next   string `json:"next"`
}

func (a *app) checkConservation(ctx context.Context) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.needsRedis("the outcomes lie in Redis"); err != nil {
		return err
	}
	told := a.now()
	books := check.Books{Log: b.log, Redis: b.redis, Progress: func(stream string, done, of uint64) {
		if now := a.now(); now.Sub(told) >= 2*time.Second && done < of {
			told = now
			a.progress("%s: looked at %d of %d", stream, done, of)
		}
	}}
	accounts, err := books.Conservation(ctx)
	if err != nil {
		return err
	}
	gaps := gapsOf(accounts)
	if err := a.show(conservationView(accounts, gaps)); err != nil {
		return err
	}
	if len(gaps) == 0 {
		return nil
	}
	whole, err := b.whole(ctx)
	if err != nil {
		return err
	}
	if !whole { // payments does by itself what a replay of these ranges would
		return advice.Of(advice.Difference, "quotectl doctor", "%d ranges of messages are not accounted for: Redis has lost what it held, and payments has not folded the log again yet", len(gaps))
	}
	return advice.Of(advice.Difference, gaps[0].Next, "%d ranges of messages are not accounted for", len(gaps))
}

// whole reports whether Redis holds what payments once folded to its end.
func (b backend) whole(ctx context.Context) (bool, error) {
	generation, err := b.log.LatestGeneration(ctx)
	if err != nil {
		return false, err
	}
	return redisquote.NewReader(b.redis, redisquote.NewKeys(generation.Read)).Complete(ctx)
}

func gapsOf(accounts []*check.Account) []gap {
	var all []gap
	for _, acc := range accounts {
		for _, r := range acc.Unaccounted {
			all = append(all, gap{
				acc.Stream, "acknowledged without an outcome", r.String(), r.Len(),
				fmt.Sprintf("quotectl replay %s:%d --reason \"not accounted for\"", acc.Stream, r.From),
			})
		}
		for _, r := range acc.Extra {
			all = append(all, gap{
				acc.Stream, "an outcome without its message", r.String(), r.Len(), `quotectl rebuild --switch --reason "outcomes without messages"`,
			})
		}
	}
	return all
}

// gapsShown bounds the table; -o json and jsonl have all.
const gapsShown = 20

func conservationView(accounts []*check.Account, gaps []gap) view {
	v := view{
		document: accounts, items: []any{},
		table: table{columns: []string{"STREAM", "MESSAGES", "OUTCOMES", "IN FLIGHT", "UNACCOUNTED", "EXTRA"}},
	}
	for _, acc := range accounts {
		v.items = append(v.items, acc)
		parts := make([]string, 0, len(acc.Outcomes))
		for _, kind := range slices.Sorted(maps.Keys(acc.Outcomes)) {
			parts = append(parts, fmt.Sprintf("%s %d", kind, acc.Outcomes[kind]))
		}
		v.table.add(acc.Stream, fmt.Sprint(acc.Messages), dash(strings.Join(parts, ", ")), fmt.Sprint(acc.InFlight),
			fmt.Sprint(check.Total(acc.Unaccounted)), fmt.Sprint(check.Total(acc.Extra)))
	}
	for i, g := range gaps {
		v.items = append(v.items, g)
		if i < gapsShown {
			v.after = append(v.after, fmt.Sprintf("%s %s (%d): %s", g.Stream, g.Range, g.Count, g.Why))
		}
	}
	if len(gaps) > gapsShown {
		v.after = append(v.after, fmt.Sprintf("and %d more ranges: -o jsonl lists all", len(gaps)-gapsShown))
	}
	return v
}
