package operator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/deadletter"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "See the dead letters by cause, have them tried again, give them up",
		Long: `A dead letter is a message that a consumer of ours could not work on: it cannot be decoded,
its handler panics, the policy excludes its currency. It blocks nothing, it is never deleted,
and what was given up can still be tried again. Messages that merely wait are parked, see
quotectl parked.

` + exitCodeHelp,
		Example: `  quotectl dead list
  quotectl dead show DEAD:12
  quotectl dead retry --cause c_1a2b3c4d --reason "fixed in 1.4.1" --yes`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.deadListCommand(), a.deadShowCommand(), a.deadActCommand(deadletter.VerbRetry), a.deadActCommand(deadletter.VerbDiscard))
	return cmd
}

// deadFilterFlags gives a command the flags that select letters; the returned function reads them.
func (a *app) deadFilterFlags(cmd *cobra.Command, states string) func() (dead.Filter, error) {
	var f dead.Filter
	var state, since, until string
	flags := cmd.Flags()
	flags.StringVar(&f.Cause, "cause", "", "only of this cause, as dead list prints it")
	flags.StringVar(&f.Consumer, "consumer", "", "only of this consumer: payments, notifier, customers, …")
	flags.StringVar(&f.Stream, "stream", "", "only messages of this stream")
	flags.StringVar(&f.Type, "type", "", "only messages whose type fits, such as 'charge.*'")
	flags.StringVar(&state, "state", states, "only in these states: open, discarded, resolved, or all")
	flags.StringVar(&since, "since", "", "not set aside before: a span such as 2h or 7d, a date, or RFC 3339")
	flags.StringVar(&until, "until", "", "set aside before: a span, a date, or RFC 3339")
	return func() (dead.Filter, error) {
		for name, of := range map[string]struct {
			text string
			into *time.Time
		}{"since": {since, &f.Since}, "until": {until, &f.Until}} {
			if of.text == "" {
				continue
			}
			at, err := selection.ParseTime(of.text, a.now().In(a.zone))
			if err != nil {
				return f, usage(cmd, "--%s: %w", name, err)
			}
			*of.into = at
		}
		if state == "all" {
			return f, nil
		}
		for word := range strings.SplitSeq(state, ",") {
			s := deadletter.State(strings.TrimSpace(word))
			if s != deadletter.Open && s != deadletter.Discarded && s != deadletter.Resolved {
				return f, usage(cmd, "--state is %q; it is open, discarded, resolved or all", word)
			}
			f.States = append(f.States, s)
		}
		return f, nil
	}
}

func (a *app) deadListCommand() *cobra.Command {
	var letters bool
	var limit int
	var before uint64
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters: by cause, or each",
		Long: `Lists what is open, one line per cause with a count and a sample. With --letters, or for
one --cause, it lists each letter, the last one first; --before continues from the number
in the last LETTER.

` + exitCodeHelp,
		Example: `  quotectl dead list
  quotectl dead list --cause c_1a2b3c4d --limit 0 -o jsonl
  quotectl dead list --state discarded --letters`,
		Args: exact(),
	}
	read := a.deadFilterFlags(cmd, string(deadletter.Open))
	cmd.Flags().BoolVar(&letters, "letters", false, "list each letter")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many letters; 0 for all")
	cmd.Flags().Uint64Var(&before, "before", 0, "only letters before this one: the number in LETTER")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f, err := read()
		if err != nil {
			return err
		}
		if limit < 0 {
			return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", limit)
		}
		b, err := a.openLogOnly(cmd.Context())
		if err != nil {
			return err
		}
		defer b.close()
		all, err := b.desk().Letters(cmd.Context(), f)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			a.progress("no dead letters match")
		}
		if !letters && f.Cause == "" {
			return a.showDeadGroups(dead.Groups(all))
		}
		for before > 0 && len(all) > 0 && all[0].Place >= before {
			all = all[1:]
		}
		if limit > 0 && len(all) > limit {
			all = all[:limit]
			a.progress("next: the same with --before %d", all[len(all)-1].Place)
		}
		return a.showLetters(all)
	}
	return cmd
}

func (b backend) desk() dead.Desk { return dead.Desk{Log: b.log, NATS: b.nc} }

func letterRef(l deadletter.Letter) string { return "DEAD:" + strconv.FormatUint(l.Place, 10) }

func messageRef(k deadletter.Key) string { return k.Stream + ":" + strconv.FormatUint(k.Sequence, 10) }

func (a *app) showDeadGroups(groups []dead.Group) error {
	v := view{document: groups, items: []any{}, table: table{columns: []string{"CAUSE", "CONSUMER", "COUNT", "FIRST", "LAST", "SAMPLE", "REASON", "+MESSAGE"}}}
	for _, g := range groups {
		v.items = append(v.items, g)
		v.table.add(g.Cause, g.Consumer, number(g.Count), a.day(g.First), a.day(g.Last), letterRef(g.Sample), shorten(g.Pattern, 80), messageRef(g.Sample.Key))
	}
	if len(groups) > 0 {
		a.progress("next: quotectl dead show %s; quotectl dead retry --cause %s --reason …", letterRef(groups[0].Sample), groups[0].Cause)
	}
	return a.show(v)
}

func (a *app) showLetters(all []deadletter.Letter) error {
	v := view{document: all, items: []any{}, table: table{
		columns: []string{"LETTER", "MESSAGE", "CONSUMER", "TYPE", "STATE", "ROUNDS", "LAST", "REASON", "+CAUSE", "+ATTEMPTS", "+HANDLER"},
	}}
	for _, l := range all {
		v.items = append(v.items, l)
		v.table.add(letterRef(l), messageRef(l.Key), l.Consumer, dead.TypeOf(l), string(l.State), number(l.Rounds), a.clock(l.Last), shorten(l.Reason, 80),
			l.Cause, strconv.FormatUint(l.Attempts, 10), dash(l.Handler))
	}
	return a.show(v)
}

func (a *app) deadShowCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "show <letter>",
		Short: "Show one dead letter: its reason, its history, the message",
		Long: `Shows a dead letter with its history and its message, personal data masked; --raw prints
the message's bytes alone, as they are. It takes

  DEAD:12                  a letter by its place
  payments/STRIPE:88120    a consumer's letter about a message
  STRIPE:88120, evt_…      all letters about a message; where there are several, -o json is a list

` + exitCodeHelp,
		Example: "  quotectl dead show DEAD:12\n  quotectl dead show evt_1QaB -o json\n  quotectl dead show DEAD:12 --raw > body.json",
		Args:    exact("letter"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.showDead(cmd.Context(), args[0], raw) },
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the message's bytes and nothing else; they may hold personal data")
	return cmd
}

func (a *app) showDead(ctx context.Context, ref string, raw bool) error {
	b, err := a.openLogOnly(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	letters, err := b.desk().Find(ctx, ref)
	if err != nil {
		return err
	}
	if raw && len(letters) > 1 {
		return advise("quotectl dead show "+letterRef(letters[0])+" --raw", "%d letters are about %s; name one", len(letters), ref)
	}
	views := make([]view, 0, len(letters))
	for _, l := range letters {
		_, m, err := deadletter.Find(ctx, b.log, l.Key)
		if err != nil {
			return err
		}
		if raw {
			_, err := a.out.Write(m.Data)
			return err
		}
		body, err := mask.JSON(m.Data)
		if err != nil {
			body = []byte("the body is no JSON (" + number(len(m.Data)) + " bytes); --raw prints it")
		}
		views = append(views, a.letterView(l, string(body)))
	}
	return a.showAll(views)
}

func (a *app) letterView(l deadletter.Letter, body string) view {
	v := view{document: l, table: table{noHeader: true, columns: []string{"", ""}}}
	v.table.add("letter", letterRef(l))
	v.table.add("message", messageRef(l.Key)+"  "+dead.TypeOf(l))
	v.table.add("consumer", l.Consumer)
	v.table.add("state", string(l.State))
	v.table.add("reason", l.Reason)
	v.table.add("cause", l.Cause)
	v.table.add("set aside", fmt.Sprintf("%d times, first %s, last %s", l.Rounds, a.clock(l.First), a.clock(l.Last)))
	v.table.add("attempts", strconv.FormatUint(l.Attempts, 10)+", handler "+dash(l.Handler))
	if d := l.Decision; d != nil {
		v.table.add("decided", fmt.Sprintf("%s by %s, %s: %s %s", d.State, d.Who, a.clock(d.At), d.Why, d.Outcome))
	}
	v.after = []string{"", body}
	return v
}
