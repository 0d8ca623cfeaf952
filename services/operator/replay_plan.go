package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/operations/selection"
)

// planning is what replay plan was given.
type planning struct {
	selection selection.Selection
	ids       []string
	like      string
	all       bool
	name      string
	resend    bool
}

func (a *app) replayPlanCommand() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan [event id | STRIPE:sequence]...",
		Short: "Say what folding events again would change, and keep that as a plan",
		Long: `Freezes a selection of events, folds them into a copy of what Redis holds of their quotes,
with the worker's own rules, and prints per quote what would change, which facts would be
published, and which mails would go or be held back, and why. Nothing is changed. What is
stored later does not join the plan, and spans such as 2h are counted from now, once.

The plan is kept under an id, rp_…, and the name that --name gives it, without personal data.
Events are named one by one or selected by flags; --all takes the whole stream.

` + exitCodeHelp,
		Example: `  quotectl replay plan evt_1QaB STRIPE:88120
  quotectl replay plan --outcome failed --since 24h --name incident-4711
  quotectl replay plan --quote q_1042 --resend-email
  quotectl replay plan --seq 88000..99000 -o json | jq .totals`,
		Args: cobra.ArbitraryArgs,
	}
	read := a.selectionFlags(cmd, "0")
	cmd.Flags().BoolVar(&p.all, "all", false, "every event of the stream")
	cmd.Flags().StringVar(&p.like, "like", "", "the same events as in this plan")
	cmd.Flags().StringVar(&p.name, "name", "", "a name for the plan, such as incident-4711")
	cmd.Flags().BoolVar(&p.resend, "resend-email", false, "send the mail about each paid quote once more; without it no mail goes twice")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if p.selection, err = read(); err != nil {
			return err
		}
		p.ids = args
		chosen := 0
		for _, given := range []bool{len(args) > 0, p.like != "", p.all, !p.selection.Unbounded() || p.selection.Limit > 0} {
			if given {
				chosen++
			}
		}
		switch {
		case chosen == 0:
			return usage(cmd, "say which events: name them, select some with --since, --outcome, --quote, --seq, or take --all")
		case chosen > 1:
			return usage(cmd, "events are named, selected by flags, taken from another plan, or --all: only one of these")
		case p.name != "" && !replay.ValidName(p.name):
			return usage(cmd, "--name is %q; it has letters, digits, - and _, at most 64, and does not begin with rp_", p.name)
		}
		return a.planReplay(cmd, p)
	}
	return cmd
}

func (a *app) planReplay(cmd *cobra.Command, p planning) error {
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
	z, err := a.freeze(cmd, b, p)
	if err != nil {
		return err
	}
	plan, err := s.Make(ctx, replay.Request{Selection: z, Name: p.name, By: who(), ResendEmail: p.resend})
	if err != nil {
		return err
	}
	if err := a.showPlan(plan); err != nil {
		return err
	}
	a.progress("next: %s", runCommand(plan))
	return nil
}

// runCommand is the command that carries a plan out, with the budgets that it needs.
func runCommand(p *replay.Plan) string {
	line := "quotectl replay run " + p.ID + " --reason …"
	if p.Totals.Changed > replay.DefaultMaxQuotes {
		line += " --max-quotes " + number(p.Totals.Changed)
	}
	if p.Totals.Mails > maxMails(p) {
		line += " --max-mails " + number(p.Totals.Mails)
	}
	return line
}

// maxMails is the budget of mails that a plan has where none is given.
func maxMails(p *replay.Plan) int {
	if p.ResendEmail {
		return replay.DefaultMaxMails
	}
	return 0
}

func (a *app) replaySystem(b backend) (replay.System, error) {
	if err := b.needsRedis("what a replay would change is not known without Redis"); err != nil {
		return replay.System{}, err
	}
	return replay.System{Log: b.log, Redis: b.redis, Now: a.now, Progress: a.bar()}, nil
}

// freeze says which events are meant.
func (a *app) freeze(cmd *cobra.Command, b backend, p planning) (selection.Frozen, error) {
	ctx := cmd.Context()
	switch {
	case p.like != "":
		plan, err := b.plan(ctx, p.like)
		if err != nil {
			return selection.Frozen{}, err
		}
		return plan.Selection, nil
	case len(p.ids) > 0:
		return a.freezeNamed(cmd, b, p.ids)
	}
	return b.finder().Freeze(ctx, p.selection, a.now(), a.looking())
}

func (a *app) freezeNamed(cmd *cobra.Command, b backend, ids []string) (selection.Frozen, error) {
	stream := ""
	var sequences []uint64
	for _, id := range ids {
		byPlace, err := replayID(cmd, id)
		if err != nil {
			return selection.Frozen{}, err
		}
		r, err := replayable(cmd.Context(), b.log, id, byPlace)
		if err != nil {
			return selection.Frozen{}, err
		}
		if stream != "" && r.Stream != stream {
			return selection.Frozen{}, usage(cmd, "a plan is of one stream: make one for %s and one for %s", stream, r.Stream)
		}
		stream, sequences = r.Stream, append(sequences, r.Sequence)
	}
	slices.Sort(sequences)
	return selection.FrozenOf(strings.Join(ids, " "), stream, slices.Compact(sequences), a.now()), nil
}

// plan finds a stored plan by its id or name.
func (b backend) plan(ctx context.Context, id string) (*replay.Plan, error) {
	store, err := replay.OpenStore(ctx, b.log)
	if err != nil {
		return nil, err
	}
	return store.Find(ctx, id)
}

// quotesShown bounds the table of a plan; -o json has all that something happens to.
const quotesShown = 100

func (a *app) showPlan(p *replay.Plan) error {
	v := view{document: p, items: []any{}, table: table{columns: []string{"QUOTE", "ACCOUNT", "BEFORE", "AFTER", "FACTS", "MAIL", "+DIGEST BEFORE", "+DIGEST AFTER"}}}
	for i, q := range p.Quotes {
		v.items = append(v.items, q)
		if i < quotesShown {
			v.table.add(q.Quote, q.Account, sideOf(q.Before), sideOf(q.After), factsText(q), mailsText(q), dash(q.Before.Digest), dash(q.After.Digest))
		}
	}
	t := p.Totals
	name := p.ID
	if p.Name != "" {
		name += "  " + p.Name
	}
	v.before = []string{
		fmt.Sprintf("Plan %s  by %s  %s", name, p.By, a.clock(p.At)),
		fmt.Sprintf("%d messages of %s (%s), frozen at %s, hash %.12s", t.Messages, p.Selection.Stream, dash(p.Selection.Query), a.clock(p.Selection.TakenAt), p.Selection.Hash),
	}
	if hidden := len(p.Quotes) - quotesShown; hidden > 0 {
		v.after = append(v.after, fmt.Sprintf("and %d more quotes: -o jsonl lists all", hidden))
	}
	v.after = append(v.after,
		fmt.Sprintf("messages  %s%s", counts(t.Outcomes), notes(t)),
		fmt.Sprintf("quotes    %d touched, %d would change", t.Quotes, t.Changed),
		"facts     "+counts(t.Facts),
		fmt.Sprintf("mails     %d would go; %s", t.Mails, counts(t.Held)),
		fmt.Sprintf("budget    %d quotes, %d mails; by default %d and %d are allowed", t.Changed, t.Mails, replay.DefaultMaxQuotes, maxMails(p)),
		"planned in "+elapsed(time.Duration(p.TookMS)*time.Millisecond))
	return a.show(v)
}

func notes(t replay.Totals) string {
	var b strings.Builder
	if t.Undecided > 0 {
		fmt.Fprintf(&b, "; %d have no outcome yet", t.Undecided)
	}
	if t.Gone > 0 {
		fmt.Fprintf(&b, "; %d are no longer in the log", t.Gone)
	}
	return b.String()
}

func sideOf(s replay.Side) string { return dash(strings.TrimSpace(s.Status + " " + s.Flags)) }

func factsText(q replay.Quote) string {
	names := make([]string, 0, len(q.Facts)+len(q.Superseded))
	for _, subject := range q.Facts {
		if s, ok := event.ParseQuoteSubject(subject); ok {
			names = append(names, "quote."+s.Event+" "+s.N)
		}
	}
	for range q.Superseded {
		names = append(names, "(quote.paid: a newer revision is published)")
	}
	return dash(strings.Join(names, ", "))
}

func mailsText(q replay.Quote) string {
	texts := make([]string, len(q.Mails))
	for i, m := range q.Mails {
		texts[i] = m.What
	}
	return strings.Join(texts, "; ")
}

// counts is "3 folded, 1 parked", the most first.
func counts(n map[string]int) string {
	names := slices.Sorted(maps.Keys(n))
	slices.SortStableFunc(names, func(x, y string) int { return n[y] - n[x] })
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = strconv.Itoa(n[name]) + " " + name
	}
	return dash(strings.Join(parts, ", "))
}
