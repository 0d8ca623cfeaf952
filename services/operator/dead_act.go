package operator

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/deadletter"
)

var deadTexts = map[string]struct{ short, long, example, states string }{
	deadletter.VerbRetry: {
		"Have dead letters tried again by the service that owns them",
		`Has the service that set a message aside work on it again, from the bytes in the letter. What
succeeds is resolved; what fails has one more round and stays open. Equal facts change
nothing and nobody is mailed twice, so it may be repeated.`,
		`  quotectl dead retry DEAD:12 --reason "fixed in 1.4.1"
  quotectl dead retry --cause c_1a2b3c4d --reason "fixed in 1.4.1"
  quotectl dead retry --cause c_1a2b3c4d --reason "fixed in 1.4.1" --yes`, string(deadletter.Open),
	},
	deadletter.VerbDiscard: {
		"Give dead letters up, with a reason",
		`Gives dead letters up: they no longer count as open. Nothing is deleted, and they can still be
tried again (quotectl dead retry --state discarded).`,
		`  quotectl dead discard DEAD:12 --reason "test event of the plugin"
  quotectl dead discard --cause c_1a2b3c4d --reason "plugin retired" --yes`, string(deadletter.Open),
	},
}

func (a *app) deadActCommand(verb string) *cobra.Command {
	var reason string
	var yes bool
	text := deadTexts[verb]
	cmd := &cobra.Command{
		Use:   verb + " [letter]...",
		Short: text.short,
		Long: text.long + `

Letters are named one by one, or selected by flags; a selection means all that fit, not what
a list happened to show. More than one is only planned, unless --yes is given.

` + exitCodeHelp,
		Example: text.example,
		Args:    cobra.ArbitraryArgs,
	}
	read := a.deadFilterFlags(cmd, text.states)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and the letter; asked for on a terminal")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it, not only plan it, where it is more than one letter")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := read()
		switch {
		case err != nil:
			return err
		case len(args) == 0 && f.Empty():
			return usage(cmd, "name letters, or select some with --cause, --consumer, --type, --since")
		case len(args) > 0 && !f.Empty():
			return usage(cmd, "letters are named or selected, not both")
		}
		b, err := a.openLogOnly(cmd.Context())
		if err != nil {
			return err
		}
		defer b.close()
		letters, err := b.letters(cmd.Context(), args, f)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			return notFound("quotectl dead list --state all", "no dead letters match")
		}
		if len(letters) > 1 && !yes {
			a.progress("this would %s %d letters; next: the same with --yes", verb, len(letters))
			return a.showDeadGroups(dead.Groups(letters))
		}
		if reason, err = a.reason(cmd, reason); err != nil {
			return err
		}
		return a.actOnLetters(cmd.Context(), b, letters, dead.Order{Verb: verb, Who: who(), Why: reason})
	}
	return cmd
}

// letters are those that are named, or those that the filter selects now.
func (b backend) letters(ctx context.Context, refs []string, f dead.Filter) ([]deadletter.Letter, error) {
	if len(refs) == 0 {
		return b.desk().Letters(ctx, f)
	}
	var all []deadletter.Letter
	for _, ref := range refs {
		found, err := b.desk().Find(ctx, ref)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (a *app) actOnLetters(ctx context.Context, b backend, letters []deadletter.Letter, o dead.Order) error {
	told, done := a.looking(), uint64(0)
	results, failed, err := b.desk().Carry(ctx, journal.New(b.log, a.now), letters, o, func(dead.Result) { done++; told(done, uint64(len(letters))) })
	if showErr := a.showDeadResults(results); showErr != nil {
		return errors.Join(err, showErr)
	}
	if err == nil && failed > 0 {
		next := "quotectl dead list"
		if len(results) == 1 {
			next = "quotectl dead show " + letterRef(results[0].Letter)
		}
		err = advice.New(next, "%s: %d of %d letters are as they were, or set aside again", o.Verb, failed, len(results))
	}
	return err
}

func (a *app) showDeadResults(results []dead.Result) error {
	v := view{document: results, items: []any{}, table: table{columns: []string{"LETTER", "MESSAGE", "CONSUMER", "STATE", "OUTCOME", "ERROR"}}}
	for _, r := range results {
		v.items = append(v.items, r)
		v.table.add(letterRef(r.Letter), messageRef(r.Letter.Key), r.Letter.Consumer, string(r.Letter.State), dash(r.Outcome), dash(shorten(r.Error, 100)))
	}
	return a.show(v)
}
