package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func (a *app) quotesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quotes",
		Short: "List quotes, show one, show its card",
		Long:  "Reads quotes through the API of the quotes service (QUOTES_URL, API_TOKEN).\n\n" + exitCodeHelp,
		Example: `  quotectl quotes list --status paid
  quotectl quotes get q_1042 -o json
  quotectl quotes card q_1042`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.quotesListCommand(), a.quotesGetCommand(), a.quotesCardCommand())
	return cmd
}

func (a *app) quotesListCommand() *cobra.Command {
	var status, deal string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List quotes, the newest first",
		Long:  "Lists quotes, the newest first. -o json and -o jsonl print them as the API has them.\n\n" + exitCodeHelp,
		Example: `  quotectl quotes list
  quotectl quotes list --status paid --limit 500
  quotectl quotes list --deal d_17 -o jsonl | jq -r .id`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", limit)
			}
			return a.listQuotes(cmd.Context(), filter{status: status, deal: deal, limit: limit})
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only quotes of this status: draft, published, recalled, expired, processing, paid, refunded, charged_back, review")
	cmd.Flags().StringVar(&deal, "deal", "", "only quotes of this deal")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

// filter selects quotes; status and deal may be empty.
type filter struct {
	status, deal string
	limit        int // 0 for all
}

// collect reads as many pages as the filter's limit needs; more says that there are others.
func (f filter) collect(ctx context.Context, client *api) (items []json.RawMessage, more bool, err error) {
	if f.limit == 0 {
		f.limit = math.MaxInt
	}
	query := url.Values{"limit": {number(min(f.limit, pageSize))}}
	for name, value := range map[string]string{"status": f.status, "deal": f.deal} {
		if value != "" {
			query.Set(name, value)
		}
	}
	items = []json.RawMessage{}
	for {
		p, err := client.list(ctx, query)
		if err != nil {
			return nil, false, err
		}
		items = append(items, p.items...)
		if p.next == "" || len(items) >= f.limit {
			return items[:min(len(items), f.limit)], p.next != "" || len(items) > f.limit, nil
		}
		query.Set("cursor", p.next)
	}
}

func (a *app) listQuotes(ctx context.Context, f filter) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	items, more, err := f.collect(ctx, newAPI(c))
	if err != nil {
		return err
	}
	v := view{document: items, items: []any{}, table: table{
		columns: []string{"ID", "STATUS", "REVISION", "AMOUNT", "TITLE", "DEAL", "+VERSION", "+CREATED", "+UPDATED"},
	}}
	for _, item := range items {
		var q apiQuote
		if err := json.Unmarshal(item, &q); err != nil {
			return fmt.Errorf("decode list of quotes: %w", err)
		}
		v.items = append(v.items, item)
		v.table.add(q.ID, q.Status, revision(q.Revision), money(q.Amount, q.Currency), shorten(q.Title, 40), dash(q.Deal.ID),
			number(q.Version), a.day(q.CreatedAt), a.day(q.UpdatedAt))
	}
	if len(items) == 0 {
		a.progress("no quotes match")
	}
	if more {
		a.progress("there are more; --limit 0 lists all")
	}
	return a.show(v)
}

// pageSize is the most that the API puts on one page.
const pageSize = 100

func (a *app) quotesGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "get <quote>",
		Short:   "Show one quote",
		Long:    "Shows one quote with its lines. -o json prints it as the API has it.\n\n" + exitCodeHelp,
		Example: "  quotectl quotes get q_1042\n  quotectl quotes get q_1042 -o json",
		Args:    exact("quote id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !plainID(args[0]) {
				return usage(cmd, "%q is not a quote id", args[0])
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			q, raw, err := newAPI(c).quote(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(a.quoteView(q, raw))
		},
	}
}

func (a *app) quoteView(q apiQuote, raw json.RawMessage) view {
	v := view{document: raw, table: table{columns: []string{"LINE", "QUANTITY", "UNIT", "DISCOUNT", "CHARGED"}}}
	v.before = []string{
		fmt.Sprintf("Quote %s  %s", q.ID, q.Title),
		fmt.Sprintf("status    %s, revision %s, version %d", q.Status, revision(q.Revision), q.Version),
		fmt.Sprintf("flags     %s", flagsText(q.Flags)),
		fmt.Sprintf("amount    %s due at checkout", money(q.Total.Due, q.Currency)),
		fmt.Sprintf("deal      %s %s", dash(q.Deal.ID), q.Deal.Name),
		fmt.Sprintf("created   %s, changed %s", a.day(q.CreatedAt), a.day(q.UpdatedAt)),
		"page      " + dash(q.URL),
		"",
	}
	for _, l := range q.LineItems {
		every := "once"
		if l.Recurring != nil {
			every = "every " + strconv.FormatInt(l.Recurring.IntervalCount, 10) + " " + l.Recurring.Interval
		}
		v.table.add(shorten(l.Name, 48), strconv.FormatInt(l.Quantity, 10), money(l.UnitAmount, q.Currency), money(l.DiscountAmount, q.Currency), every)
	}
	if q.Discount != nil {
		text := q.Discount.Percent + " %"
		if q.Discount.Percent == "" {
			text = money(q.Discount.Amount, q.Currency)
		}
		v.after = append(v.after, "discount  "+text+" "+q.Discount.Duration)
	}
	if q.Tax != nil {
		v.after = append(v.after, "tax       "+money(q.Tax.Amount, q.Currency)+" "+q.Tax.Name)
	}
	return v
}

func (a *app) quotesCardCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "card <quote>",
		Short:   "Show the card that the deal record shows",
		Long:    "Shows the quote's card: the text on the deal record, the payment status and its flags.\n\n" + exitCodeHelp,
		Example: "  quotectl quotes card q_1042\n  quotectl quotes card q_1042 -o json | jq -r .status",
		Args:    exact("quote id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !plainID(args[0]) {
				return usage(cmd, "%q is not a quote id", args[0])
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			card, raw, err := newAPI(c).card(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			v := view{document: raw, table: table{columns: []string{"CARD", "STATUS", "FLAGS", "AMOUNT", "PAID AT"}}}
			v.table.add(card.Text, card.Status, flagsText(card.Flags), money(card.Amount, card.Currency), a.day(card.PaidAt))
			return a.show(v)
		},
	}
}

func revision(n int) string {
	if n == 0 {
		return "-"
	}
	return number(n)
}

// shorten cuts a text for a column.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
