package operator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/operations/why"
)

// explainTimeout bounds the looking up of one story.
const explainTimeout = 30 * time.Second

func (a *app) explainCommand() *cobra.Command {
	var account string
	var notPaid, noMail bool
	cmd := &cobra.Command{
		Use:   "explain <id>",
		Short: "Tell what happened to a quote, an event or a payment, step by step",
		Long: `Tells what happened, in the order in which it did: each webhook, where it lies in the log,
what was decided about it, the events that followed, the mails, and the quote's own
commands. What it prints as REF can be given to it again. It takes

  q_…                          a quote: its whole story
  evt_…, STRIPE:88120          a Stripe event: what became of it, and what followed from it
  QUOTES:4410                  a quote's event: the quote's story
  <…@…>, main.q_….1.paid       a mail, by its Message-ID or its key in the ledger
  DEAD:12                      a dead letter: the story of its message
  rp_…                         a replay plan, as replay show does
  cs_… pi_… ch_… in_… sub_…    an object of Stripe's: the story of the quote it belongs to;
                               --account says on which connected account it is

What belongs to several is told of each; -o json is a list then.

Steps carry the time since the first one. E-mail addresses are masked.

--why-not-paid and --why-no-email explain an absence: they walk the chain of what must
happen to a quote and name the first link that is missing, with the next command. With
INGRESS_ADMIN_URL they know whether ingress refuses Stripe's webhooks (a rotated secret, a
wrong clock): that leaves no trace in the log. A link of which nothing is known has a ?.

` + exitCodeHelp,
		Example: `  quotectl explain q_1042
  quotectl explain q_1042 --why-not-paid
  quotectl explain evt_1QaB -o json
  quotectl explain pi_3QaB --account acct_1Seller`,
		Args: exact("id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case notPaid && noMail:
				return usage(cmd, "--why-not-paid and --why-no-email are two questions: ask one")
			case (notPaid || noMail) && !plainID(args[0]):
				return usage(cmd, "%q is no quote's id", args[0])
			case notPaid:
				return a.why(cmd.Context(), args[0], why.Paid)
			case noMail:
				return a.why(cmd.Context(), args[0], why.Mailed)
			}
			if next, other := elsewhere(args[0]); other {
				return usage(cmd, "%s is nothing that has a story: %s shows it", args[0], next)
			}
			if strings.HasPrefix(args[0], "rp_") {
				return a.withPlan(cmd.Context(), args[0], func(_ backend, p *replay.Plan) error { return a.showPlan(p) })
			}
			return a.explain(cmd.Context(), args[0], account)
		},
	}
	cmd.Flags().BoolVar(&notPaid, "why-not-paid", false, "name the first thing that a paid quote has and this one lacks")
	cmd.Flags().BoolVar(&noMail, "why-no-email", false, "name the first thing that keeps the owner's mail")
	cmd.Flags().StringVar(&account, "account", event.Platform, "the Stripe account of an object of Stripe's")
	return cmd
}

// elsewhere names the command that shows what is printed as an id and is no part of a quote's story.
func elsewhere(id string) (next string, other bool) {
	switch stream, number, _ := strings.Cut(id, ":"); {
	case stream == event.StreamJournal:
		n, err := strconv.ParseUint(number, 10, 64)
		return "quotectl journal list --limit 1 --before " + strconv.FormatUint(n+1, 10), err == nil
	case strings.HasPrefix(id, "c_") && len(id) == len("c_1a2b3c4d"):
		return "quotectl dead list --cause " + id, true
	}
	return "", false
}

func (a *app) explain(ctx context.Context, id, account string) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	t := &story.Teller{Log: b.log, Reader: b.reader, NoReader: b.noRedis}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	stories, err := t.Find(ctx, id, account)
	if err != nil {
		return err
	}
	views := make([]view, len(stories))
	for i, s := range stories {
		views[i] = a.storyView(s)
	}
	if err := a.showAll(views); err != nil {
		return err
	}
	for _, s := range stories {
		for _, note := range s.Notes {
			a.progress("note: %s", note)
		}
	}
	return nil
}

func (a *app) storyView(s *story.Story) view {
	v := view{document: s, items: []any{}, table: table{columns: []string{"TIME", "AFTER", "KIND", "REF", "WHAT"}}}
	if s.Quote != "" {
		head := fmt.Sprintf("Quote %s revision %s  %s  %s  %s mode, account %s", s.Quote, revision(s.Revision),
			dash(s.Card), money(s.Amount, s.Currency), dash(s.Mode), dash(s.Account))
		if len(s.Flags) > 0 {
			head += "  flags " + strings.Join(s.Flags, ",")
		}
		v.before = []string{head, ""}
	}
	for _, st := range s.Steps {
		v.items = append(v.items, st)
		v.table.add(a.clock(st.At), "+"+elapsed(time.Duration(st.AfterMS*float64(time.Millisecond))), st.Kind, st.Ref, st.Summary)
	}
	return v
}
