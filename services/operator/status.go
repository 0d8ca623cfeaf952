package operator

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/past"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/operations/selection"
)

// statusTimeout bounds the looking up of one quote.
const statusTimeout = 30 * time.Second

func (a *app) statusCommand() *cobra.Command {
	var asOf, asKnown string
	cmd := &cobra.Command{
		Use:   "status <quote>",
		Short: "Show how a quote stood at another time, beside how it stands now",
		Long: `Two questions about the past, and what has changed since:

  --as-of T         what was true at T, by Stripe's own times: an event counts from the
                    second in which Stripe made it, whenever it came here
  --as-known-at T   what was known here at T: a message counts from when the log stored it

T is a span before now (2h, 7d), a date, or RFC 3339. Without either the quote is shown as
it stands. Messages that came later are listed; each can be given to explain.

` + exitCodeHelp,
		Example: `  quotectl status q_1042
  quotectl status q_1042 --as-known-at "2026-11-20 10:05"
  quotectl status q_1042 --as-of 2h -o json | jq .then.status`,
		Args: exact("quote"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !plainID(args[0]) {
				return usage(cmd, "%q is no quote's id", args[0])
			}
			axis, flag, text := past.True, "as-of", asOf
			switch {
			case asOf != "" && asKnown != "":
				return usage(cmd, "--as-of and --as-known-at are two questions: ask one")
			case asKnown != "":
				axis, flag, text = past.Known, "as-known-at", asKnown
			case asOf == "":
				text = "0s"
			}
			at, err := selection.ParseTime(text, a.now().In(a.zone))
			if err != nil {
				return usage(cmd, "--%s: %w", flag, err)
			}
			if at.After(a.now()) {
				return usage(cmd, "--%s: %s is still to come", flag, a.clock(at))
			}
			return a.status(cmd.Context(), args[0], axis, at)
		},
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", "what was true then, by Stripe's own times")
	cmd.Flags().StringVar(&asKnown, "as-known-at", "", "what was known here then")
	return cmd
}

func (a *app) status(ctx context.Context, id string, axis past.Axis, at time.Time) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.needsRedis("which events bear on the quote stands in Redis"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	rules, err := rebuild.Rules(ctx, b.log)
	if err != nil {
		return err
	}
	v, err := past.Archive{Log: b.log, Reader: b.reader, Rules: rules, Now: a.now}.At(ctx, id, axis, at)
	if err != nil {
		return err
	}
	return a.show(a.pastView(v))
}

// laterShown bounds the table; -o json has all.
const laterShown = 20

func (a *app) pastView(v *past.View) view {
	words := map[past.Axis]string{past.True: "what was true at ", past.Known: "what was known here at "}
	out := view{document: v, before: []string{"Quote " + v.Quote + ", " + words[v.Axis] + a.clock(v.At), ""}}
	out.table.columns = []string{"", "THEN", "NOW", ""}
	for _, line := range v.Lines(a.clock) {
		differs := ""
		if line.Then != line.Now {
			differs = "changed"
		}
		out.table.add(line.Name, dash(line.Then), dash(line.Now), differs)
	}
	if len(v.Later) > 0 {
		out.after = append(out.after, "", "came later:")
	}
	for i, m := range v.Later {
		if i == laterShown {
			out.after = append(out.after, "  and "+number(len(v.Later)-laterShown)+" more: -o json lists all")
			break
		}
		out.after = append(out.after, "  "+a.clock(m.At)+"  "+m.Ref+"  "+m.Type)
	}
	return out
}
