package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
)

func (a *app) sellersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sellers",
		Short: "Show sellers, give them plans and seats",
		Long: `Shows whether a seller may be paid by Stripe, and on which account, and says what he paid us
for: his plan, and who of his people has a paid sales seat. Only those may connect a Stripe
account, and until the first seat is given out everybody has one. A user is the name of an
API token.

Plans and seats need an API_TOKEN of the role admin. Who was refused to connect an account
stands in the journal: quotectl journal list --action connect_refused

` + exitCodeHelp,
		Example: `  quotectl sellers show main
  quotectl sellers set-plan main starter --reason "invoice 4711"
  quotectl sellers set-seat main sue paid --reason "invoice 4711"`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.sellersShowCommand(), a.sellersHistoryCommand(), a.sellersSetPlanCommand(), a.sellersSetSeatCommand())
	return cmd
}

// apiSeller is a seller as the API shows him.
type apiSeller struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	quote.Payee
	Mode       string             `json:"mode"`
	Connection *seller.Connection `json:"connection"`
	Seats      []seller.Seat      `json:"seats"`
}

func (a *app) sellersShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show <seller>",
		Short:   "Show a seller: plan, seats, Stripe account",
		Long:    "Shows a seller: his plan, his seats, and the Stripe account that he is paid on. -o json\nprints him as the API has him.\n\n" + exitCodeHelp,
		Example: "  quotectl sellers show main\n  quotectl sellers show main -o json | jq -r .activated",
		Args:    exact("seller id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.sellerAPI(cmd, args[0])
			if err != nil {
				return err
			}
			raw, err := client.get(cmd.Context(), "/v1/sellers/"+args[0], "seller "+args[0])
			if err != nil {
				return err
			}
			v, err := a.sellerView(raw)
			if err != nil {
				return err
			}
			return a.show(v)
		},
	}
}

// sellerAPI is the API for a seller whose id can be one.
func (a *app) sellerAPI(cmd *cobra.Command, id string) (*api, error) {
	if !event.ValidSeller(id) {
		return nil, usage(cmd, "%q is not a seller id", id)
	}
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	return newAPI(c), nil
}

func (a *app) sellerView(raw json.RawMessage) (view, error) {
	var s apiSeller
	if err := json.Unmarshal(raw, &s); err != nil {
		return view{}, fmt.Errorf("decode seller: %w", err)
	}
	account := s.Account + ", the deployment's own"
	if c := s.Connection; c != nil {
		account = c.Account + ", " + c.Mode + ", connected " + a.day(c.ConnectedAt) + by(c.ConnectedBy)
	}
	v := view{document: raw, table: table{columns: []string{"USER", "SEAT"}}}
	v.before = []string{
		"Seller " + s.ID,
		"plan      " + s.Plan,
		"account   " + account,
		"payable   " + payable(s.Payee),
	}
	if len(s.Seats) == 0 {
		v.after = append(v.after, "seats     none given out: everybody has one")
	}
	if s.Version == 0 {
		v.after = append(v.after, "note      nothing was set for this id yet: what is shown is what every new seller has")
	}
	for _, seat := range s.Seats {
		v.table.add(seat.User, seatWord(seat.Paid))
	}
	return v, nil
}

func by(user string) string {
	if user == "" {
		return ""
	}
	return " by " + user
}

// payable says in a word whether the account can be paid; whether the plan lets it is the policy's business.
func payable(p quote.Payee) string {
	switch {
	case p.Deauthorized:
		return "no: the account gives no access any more"
	case !p.Activated:
		return "no: the account is not activated at Stripe"
	default:
		return "yes"
	}
}

// The words for a seat.
const (
	seatPaid   = "paid"
	seatUnpaid = "unpaid"
)

func seatWord(paid bool) string {
	if paid {
		return seatPaid
	}
	return seatUnpaid
}

// happened is one event of a seller's history.
type happened struct {
	Sequence uint64         `json:"sequence"`
	Event    string         `json:"event"`
	At       time.Time      `json:"at"`
	Data     map[string]any `json:"data"`
}

func (a *app) sellersHistoryCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history <seller>",
		Short: "List what happened to a seller, the newest first",
		Long: `Lists what happened to a seller, the newest first: plans, seats, connections, and what Stripe
said of his accounts.

` + exitCodeHelp,
		Example: "  quotectl sellers history main\n  quotectl sellers history main --limit 500 -o jsonl",
		Args:    exact("seller id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", limit)
			}
			client, err := a.sellerAPI(cmd, args[0])
			if err != nil {
				return err
			}
			items, more, err := sellerHistory(cmd.Context(), client, args[0], limit)
			if err != nil {
				return err
			}
			v := view{document: items, items: []any{}, table: table{columns: []string{"AT", "EVENT", "WHAT", "BY", "+SEQ"}}}
			for _, item := range items {
				var h happened
				if err := json.Unmarshal(item, &h); err != nil {
					return fmt.Errorf("decode history of seller %s: %w", args[0], err)
				}
				v.items = append(v.items, item)
				v.table.add(a.clock(h.At), h.Event, h.what(), dash(text(h.Data["by"])), strconv.FormatUint(h.Sequence, 10))
			}
			if len(items) == 0 {
				a.progress("nothing happened yet")
			}
			if more {
				a.progress("there is more; --limit 0 lists all")
			}
			return a.show(v)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

// what is the event in short.
func (h happened) what() string {
	word := func(name, yes, no string) string {
		if on, ok := h.Data[name].(bool); ok && on {
			return yes
		}
		return no
	}
	switch h.Event {
	case event.NamePlanSet:
		return text(h.Data["plan"])
	case event.NameSeatSet:
		return text(h.Data["user"]) + " " + word("paid", seatPaid, seatUnpaid)
	case event.NameAccountUpdated:
		return text(h.Data["account"]) + " " + word("activated", "activated", "not activated")
	default:
		return dash(text(h.Data["account"]))
	}
}

func text(v any) string {
	s, _ := v.(string) // absent or of a newer kind: nothing to show
	return s
}

// historyPage is the most that the API puts on one page of a history.
const historyPage = 1000

func sellerHistory(ctx context.Context, client *api, id string, limit int) (items []json.RawMessage, more bool, err error) {
	items = []json.RawMessage{}
	if limit == 0 {
		limit = math.MaxInt
	}
	query := url.Values{"limit": {number(min(limit, historyPage))}}
	for {
		raw, err := client.get(ctx, "/v1/sellers/"+id+"/history?"+query.Encode(), "history of seller "+id)
		if err != nil {
			return nil, false, err
		}
		var answer struct {
			Data       []json.RawMessage `json:"data"`
			NextCursor string            `json:"next_cursor"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return nil, false, fmt.Errorf("decode history of seller %s: %w", id, err)
		}
		items = append(items, answer.Data...)
		if answer.NextCursor == "" || len(items) >= limit {
			return items[:min(len(items), limit)], answer.NextCursor != "" || len(items) > limit, nil
		}
		query.Set("cursor", answer.NextCursor)
	}
}

func (a *app) sellersSetPlanCommand() *cobra.Command {
	var o sellerChange
	cmd := &cobra.Command{
		Use:   "set-plan <seller> <plan>",
		Short: "Put a seller on a plan",
		Long: `Puts a seller on a plan: ` + strings.Join(seller.Plans, ", ") + `. The policy says which of
them include Stripe on quotes; on the others his quotes cannot be paid by Stripe, also those
that are published already. What is paid stays paid.

` + exitCodeHelp,
		Example: `  quotectl sellers set-plan main starter --reason "invoice 4711"
  quotectl sellers set-plan main free --dry-run`,
		Args: exact("seller id", "plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(seller.Plans, args[1]) {
				return usage(cmd, "%q is no plan; plans are %s", args[1], strings.Join(seller.Plans, ", "))
			}
			o.seller, o.action, o.path = args[0], "seller_plan", "/plan"
			o.body = map[string]any{"plan": args[1]}
			o.value = func(s apiSeller) string { return s.Plan }
			o.want = args[1]
			return a.changeSeller(cmd, o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *app) sellersSetSeatCommand() *cobra.Command {
	var o sellerChange
	cmd := &cobra.Command{
		Use:   "set-seat <seller> <user> <paid|unpaid>",
		Short: "Give a user a paid sales seat, or take it",
		Long: `Gives a user of a seller a paid sales seat, or takes it. Only users with one may connect a
Stripe account. Beware of the first: before it everybody has a seat, after it only those who
were given one.

` + exitCodeHelp,
		Example: `  quotectl sellers set-seat main sue paid --reason "invoice 4711"
  quotectl sellers set-seat main sue unpaid --reason "left the company"`,
		Args: exact("seller id", "user", "word paid or unpaid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[2] != seatPaid && args[2] != seatUnpaid {
				return usage(cmd, "%q is neither paid nor unpaid", args[2])
			}
			o.seller, o.action, o.path = args[0], "seller_seat", "/seats/"+url.PathEscape(args[1])
			o.body = map[string]any{"paid": args[2] == seatPaid}
			o.value = func(s apiSeller) string {
				for _, seat := range s.Seats {
					if seat.User == args[1] {
						return args[1] + " " + seatWord(seat.Paid)
					}
				}
				return args[1] + " never said"
			}
			o.want = args[1] + " " + args[2]
			return a.changeSeller(cmd, o)
		},
	}
	o.flags(cmd)
	return cmd
}

// sellerChange is a change of what a seller paid us for.
type sellerChange struct {
	seller, action, path string
	body                 map[string]any
	value                func(apiSeller) string // of what is changed
	want, reason         string
	dryRun               bool
}

func (o *sellerChange) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the journal; asked for on a terminal")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "change nothing, say what would change; exit code 3 when something would")
}

// changedSeller is what such a change prints.
type changedSeller struct {
	Seller  string `json:"seller"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// changeSeller carries the change out, if nobody else changed the seller since he was read, and journals it.
func (a *app) changeSeller(cmd *cobra.Command, o sellerChange) error {
	ctx := cmd.Context()
	client, err := a.sellerAPI(cmd, o.seller)
	if err != nil {
		return err
	}
	if !o.dryRun {
		if o.reason, err = a.reason(cmd, o.reason); err != nil {
			return err
		}
	}
	now, err := client.seller(ctx, o.seller)
	if err != nil {
		return err
	}
	out := changedSeller{Seller: o.seller, Before: o.value(now), After: o.want, DryRun: o.dryRun, Changed: o.value(now) != o.want}
	if o.dryRun {
		if err := a.showChanged(out); err != nil || !out.Changed {
			return err
		}
		return advice.Of(advice.Difference, "the same with --reason … in place of --dry-run", "seller %s would change", o.seller)
	}
	if !out.Changed {
		return a.showChanged(out)
	}
	if now.Version == 0 {
		a.progress("note: nothing was known of seller %s until now; is the id right?", o.seller)
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	entry := journal.Entry{Action: o.action, Reason: o.reason, Target: o.seller, Before: out.Before, After: out.After}
	err = a.journaled(ctx, log, entry, func(*journal.Entry) error {
		return client.put(ctx, "/v1/sellers/"+o.seller+o.path, "seller "+o.seller, now.Version, o.body)
	})
	if err != nil {
		return err
	}
	return a.showChanged(out)
}

func (a *app) showChanged(out changedSeller) error {
	v := view{document: out, table: table{columns: []string{"SELLER", "BEFORE", "AFTER", "RESULT"}}}
	result := "unchanged"
	switch {
	case out.Changed && out.DryRun:
		result = "would change"
	case out.Changed:
		result = "changed"
	}
	v.table.add(out.Seller, out.Before, out.After, result)
	return a.show(v)
}

func (c *api) seller(ctx context.Context, id string) (apiSeller, error) {
	raw, err := c.get(ctx, "/v1/sellers/"+id, "seller "+id)
	if err != nil {
		return apiSeller{}, err
	}
	var s apiSeller
	if err := json.Unmarshal(raw, &s); err != nil {
		return apiSeller{}, fmt.Errorf("decode seller %s: %w", id, err)
	}
	return s, nil
}

// put replaces what lies at path, if the version is still the one that was read; what says what it is, for errors.
func (c *api) put(ctx context.Context, path, what string, version int, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("change %s: %w", what, err)
	}
	r, err := c.do(ctx, http.MethodPut, path, "change "+what, b, `"`+strconv.Itoa(version)+`"`)
	if err != nil {
		return err
	}
	switch r.code {
	case http.StatusOK:
		return nil
	case http.StatusPreconditionFailed:
		return advise("look at it and run the command again", "change %s: somebody else changed it meanwhile", what)
	case http.StatusForbidden:
		return advise("set API_TOKEN to a token of the role admin", "change %s: %s", what, problem(r.status, r.body))
	default:
		return r.refused(what)
	}
}
