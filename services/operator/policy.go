package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/advice"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show the policy of Stripe payment, compare two, check quotes",
		Long: `The policy is a dated file that says which quotes may be paid by Stripe: currencies, limits,
numbers of lines. A policy is named by its file, by its date where it is built in (` + quote.DefaultPolicyDate + `),
or by the word "active": the one that the quotes service judges by.

` + exitCodeHelp,
		Example: `  quotectl policy show
  quotectl policy diff active policy-2027.json
  quotectl policy check q_1042 --policy policy-2027.json`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.policyShowCommand(), a.policyDiffCommand(), a.policyCheckCommand())
	return cmd
}

// activePolicy is the name of the policy that the quotes service judges by.
const activePolicy = "active"

// policy reads a policy by its name.
func (a *app) policy(ctx context.Context, name string) (*quote.Policy, error) {
	var b []byte
	switch name {
	case quote.DefaultPolicyDate:
		return quote.DefaultPolicy(), nil
	case activePolicy:
		c, err := a.config()
		if err != nil {
			return nil, err
		}
		if b, err = newAPI(c).get(ctx, "/v1/policy", "active policy"); err != nil {
			return nil, err
		}
	default:
		var err error
		if b, err = os.ReadFile(name); err != nil { //nolint:gosec // the operator names the file
			return nil, notFound("quotectl policy --help", "policy %q is neither active, nor "+quote.DefaultPolicyDate+", nor a file: %w", name, err)
		}
	}
	p, err := quote.DecodePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", name, err)
	}
	return p, nil
}

func (a *app) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show [policy]",
		Short:   "Show a policy; without a name the active one",
		Long:    "Shows a policy. -o json prints it as the file that it is.\n\n" + exitCodeHelp,
		Example: "  quotectl policy show\n  quotectl policy show " + quote.DefaultPolicyDate + " -o json > policy.json",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.policy(cmd.Context(), append(args, activePolicy)[0])
			if err != nil {
				return err
			}
			return a.show(policyView(p))
		},
	}
}

func policyView(p *quote.Policy) view {
	v := view{document: p, table: table{columns: []string{"CURRENCY", "LEAST", "MOST"}}}
	v.before = []string{
		"Policy of " + p.Date,
		"plans     " + strings.Join(p.Plans.Entitled, ", "),
		fmt.Sprintf("lines     %d; with recurring lines %d recurring and %d one-time",
			p.LineItems.Payment, p.LineItems.SubscriptionRecurring, p.LineItems.SubscriptionOneTime),
	}
	for _, e := range p.Excluded {
		v.before = append(v.before, fmt.Sprintf("excluded  %d, %s (%s): %s", len(e.Currencies), e.Text, e.Rule, strings.ToUpper(strings.Join(e.Currencies, " "))))
	}
	v.before = append(v.before, "least     "+p.Minimum.Source+", read "+p.Minimum.Read, "most      "+p.Maximum.Source+", read "+p.Maximum.Read, "")
	for _, c := range slices.Sorted(maps.Keys(p.Minimum.Amounts)) {
		most, ok := p.Maximum.Amounts[c]
		if !ok {
			most = p.Maximum.Default
		}
		v.table.add(strings.ToUpper(c), money(p.Minimum.Amounts[c], c), money(most, c))
	}
	return v
}

func (a *app) policyDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "diff <from> <to>",
		Short:   "Show what differs between two policies",
		Long:    "Shows what differs between two policies, entry by entry; exit code 3 when something does.\n\n" + exitCodeHelp,
		Example: "  quotectl policy diff active policy-2027.json\n  quotectl policy diff " + quote.DefaultPolicyDate + " active -o jsonl",
		Args:    exact("policy to compare from", "policy to compare to"),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := a.policy(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			to, err := a.policy(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			differences := from.Diff(to)
			v := view{document: differences, items: []any{}, table: table{columns: []string{"WHAT", "FROM", "TO"}}}
			for _, d := range differences {
				v.items = append(v.items, d)
				v.table.add(d.What, dash(d.From), dash(d.To))
			}
			if len(differences) == 0 {
				a.progress("no difference")
			}
			if err := a.show(v); err != nil || len(differences) == 0 {
				return err
			}
			return advice.Of(advice.Difference, "quotectl policy check --all --policy "+args[1], "%d differences from the policy of %s to that of %s", len(differences), from.Date, to.Date)
		},
	}
}

func (a *app) policyCheckCommand() *cobra.Command {
	var name string
	var all bool
	cmd := &cobra.Command{
		Use:   "check [quote]...",
		Short: "Judge quotes by a policy",
		Long: `Judges quotes by a policy: every refusal and warning that publishing them would bring. The
document is judged alone: whether its seller may be paid is taken as given. Exit code 3 when
a quote would be refused.

` + exitCodeHelp,
		Example: "  quotectl policy check q_1042\n  quotectl policy check --all --policy policy-2027.json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage(cmd, "name quotes or give --all")
			}
			for _, id := range args {
				if !plainID(id) {
					return usage(cmd, "%q is not a quote id", id)
				}
			}
			return a.checkQuotes(cmd.Context(), name, args)
		},
	}
	cmd.Flags().StringVar(&name, "policy", activePolicy, "policy to judge by: a file, a built-in date, or active")
	cmd.Flags().BoolVar(&all, "all", false, "every quote of this token's seller")
	return cmd
}

// judged is the verdict on one quote.
type judged struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Policy string `json:"policy"`
	quote.Verdict
}

// anyPayee is a seller who may be paid: check judges documents alone.
func anyPayee(p *quote.Policy) quote.Payee {
	return quote.Payee{Plan: p.Plans.Entitled[0], Account: "platform", Activated: true}
}

// checkQuotes judges the quotes with these ids, all when there are none.
func (a *app) checkQuotes(ctx context.Context, name string, ids []string) error {
	p, err := a.policy(ctx, name)
	if err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	client := newAPI(c)
	if len(ids) == 0 {
		if ids, err = everyQuote(ctx, client); err != nil {
			return err
		}
	}
	v := view{items: []any{}, table: table{columns: []string{"QUOTE", "STATUS", "VERDICT", "RULE", "CODE", "DETAIL"}}}
	refused := 0
	for _, id := range ids {
		q, _, err := client.quote(ctx, id)
		if err != nil {
			return err
		}
		j := judged{ID: id, Status: q.Status, Policy: p.Date, Verdict: p.Lint(q.Document, anyPayee(p))}
		v.items = append(v.items, j)
		if len(j.Refusals) > 0 {
			refused++
		}
		j.rows(&v.table)
	}
	v.document = v.items
	if err := a.show(v); err != nil || refused == 0 {
		return err
	}
	return advice.Of(advice.Difference, "quotectl quotes get <quote>", "the policy of %s refuses %d of %d quotes", p.Date, refused, len(ids))
}

func (j judged) rows(t *table) {
	if len(j.Refusals)+len(j.Warnings) == 0 {
		t.add(j.ID, j.Status, "ok", "-", "-", "-")
	}
	for _, r := range j.Refusals {
		t.add(j.ID, j.Status, "refused", dash(r.Rule), r.Code, r.Detail)
	}
	for _, r := range j.Warnings {
		t.add(j.ID, j.Status, "warning", dash(r.Rule), r.Code, r.Detail)
	}
}

func everyQuote(ctx context.Context, client *api) ([]string, error) {
	items, _, err := filter{}.collect(ctx, client)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(items))
	for _, item := range items {
		var q apiQuote
		if err := json.Unmarshal(item, &q); err != nil {
			return nil, fmt.Errorf("decode list of quotes: %w", err)
		}
		ids = append(ids, q.ID)
	}
	return ids, nil
}
