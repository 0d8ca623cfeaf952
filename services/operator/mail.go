package operator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/mail"
	"quittance.internal/libs/operations/selection"
)

// resendTimeout bounds the wait for the notifier: a relay may take its time.
const resendTimeout = 2 * time.Minute

// mailKinds are the mails that there are.
var mailKinds = []string{event.NamePaid, event.NameExpiring}

// checkMail checks the flags that name a mail.
func checkMail(cmd *cobra.Command, kind string, revision int) error {
	switch {
	case !slices.Contains(mailKinds, kind):
		return usage(cmd, "--kind is %q; it is %s", kind, strings.Join(mailKinds, " or "))
	case revision < 0:
		return usage(cmd, "--revision is %d; it is 1 or more, or 0 for the last", revision)
	}
	return nil
}

func (a *app) mailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "See the mail ledger and what mails say, have one sent again",
		Long: `The ledger has one entry per mail: who claimed it, whether it went out, what the server said.
Addresses are masked.

` + exitCodeHelp,
		Example: `  quotectl mail list --state rejected,parked,ambiguous
  quotectl mail show q_1042
  quotectl mail preview q_1042
  quotectl mail resend q_1042 --reason "mailbox was full"`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.mailListCommand(), a.mailShowCommand(), a.mailPreviewCommand(), a.mailResendCommand())
	return cmd
}

func (a *app) mailListCommand() *cobra.Command {
	var f mail.Filter
	var state, since, until string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List mails, the one that changed last first",
		Long: `Lists the mails of the ledger, the one that changed last first. States: claimed (being prepared,
or waits for its next attempt), sending, sent, rejected (will not be sent), ambiguous (no answer;
sent once more after a while), parked (no answer; an operator decides), dropped (a reminder that
is no longer true; nobody need care).

` + exitCodeHelp,
		Example: "  quotectl mail list --state rejected,parked\n  quotectl mail list --quote q_1042\n  quotectl mail list --since 1h --limit 0 -o jsonl",
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, of := range map[string]struct {
				text string
				into *time.Time
			}{"since": {since, &f.Since}, "until": {until, &f.Until}} {
				if of.text == "" {
					continue
				}
				at, err := selection.ParseTime(of.text, a.now().In(a.zone))
				if err != nil {
					return usage(cmd, "--%s: %w", name, err)
				}
				*of.into = at
			}
			for word := range strings.SplitSeq(state, ",") {
				if word = strings.TrimSpace(word); word == "" {
					continue
				}
				if !slices.Contains(mail.States, word) {
					return usage(cmd, "--state is %q; it is some of %s", word, strings.Join(mail.States, ", "))
				}
				f.States = append(f.States, word)
			}
			if f.Kind != "" {
				if err := checkMail(cmd, f.Kind, 0); err != nil {
					return err
				}
			}
			if f.Limit < 0 {
				return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", f.Limit)
			}
			return a.listMails(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only in these states: "+strings.Join(mail.States, ", "))
	cmd.Flags().StringVar(&f.Quote, "quote", "", "only about this quote")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only of this kind: paid, expiring")
	cmd.Flags().StringVar(&since, "since", "", "not changed before: a span such as 2h or 7d, a date, or RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "changed before: a span, a date, or RFC 3339")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

func (a *app) listMails(ctx context.Context, f mail.Filter) error {
	b, err := a.openLogOnly(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	mails, more, err := mail.Ledger{Log: b.log}.List(ctx, f)
	if err != nil {
		return err
	}
	if len(mails) == 0 {
		a.progress("no mails match")
	}
	if more > 0 {
		a.progress("%d more; narrow it with --until %s, or --limit 0", more, mails[len(mails)-1].UpdatedAt.UTC().Format(time.RFC3339Nano))
	}
	v := view{document: mails, items: []any{}, table: table{
		columns: []string{"KEY", "STATE", "ATTEMPTS", "TO", "CHANGED", "REPLY", "+MESSAGE-ID", "+FIRST", "+NEXT"},
	}}
	for _, m := range mails {
		v.items = append(v.items, m)
		v.table.add(m.Key, m.State, number(m.Attempts), dash(m.To), a.clock(m.UpdatedAt), replyText(m), dash(m.MessageID), a.day(m.FirstAt), a.day(m.NotBefore))
	}
	return a.show(v)
}

func replyText(m mail.Mail) string {
	text := m.Reply
	if m.Code != 0 {
		text = strconv.Itoa(m.Code) + " " + text
	}
	if m.Reason != "" {
		text = strings.TrimSpace(text + " (" + m.Reason + ")")
	}
	return dash(shorten(text, 80))
}

func (a *app) mailShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show <quote | key>",
		Short:   "Show the mails about one quote",
		Long:    "Shows everything that the ledger has about a quote's mails, or about one mail by its key.\n\n" + exitCodeHelp,
		Example: "  quotectl mail show q_1042\n  quotectl mail show main.q_1042.2.paid -o json",
		Args:    exact("quote"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			b, err := a.openLogOnly(ctx)
			if err != nil {
				return err
			}
			defer b.close()
			f := mail.Filter{Quote: args[0]}
			if parts := strings.Split(args[0], "."); len(parts) > 1 {
				f.Quote = parts[1]
			}
			mails, _, err := mail.Ledger{Log: b.log}.List(ctx, f)
			if err != nil {
				return err
			}
			mails = slices.DeleteFunc(mails, func(m mail.Mail) bool { return f.Quote != args[0] && m.Key != args[0] })
			if len(mails) == 0 {
				return notFound("quotectl explain "+f.Quote, "the ledger has no mail about %s", args[0])
			}
			return a.showMails(mails)
		},
	}
}

func (a *app) showMails(mails []mail.Mail) error {
	v := view{document: mails, items: []any{}, table: table{noHeader: true, columns: []string{"", ""}}}
	for i, m := range mails {
		v.items = append(v.items, m)
		if i > 0 {
			v.table.add("", "")
		}
		for _, line := range [][2]string{
			{"key", m.Key},
			{"to", dash(m.To)},
			{"state", m.State},
			{"reply", replyText(m)},
			{"attempts", fmt.Sprintf("%d, of which %d were sent again without an answer", m.Attempts, m.Resends)},
			{"first", a.clock(m.FirstAt)},
			{"changed", a.clock(m.UpdatedAt)},
			{"accepted", a.clock(m.AcceptedAt)},
			{"next attempt", a.clock(m.NotBefore)},
			{"message-id", dash(m.MessageID)},
			{"because of", event.StreamQuotes + ":" + strconv.FormatUint(m.Sequence, 10)},
		} {
			v.table.add(line[0], line[1])
		}
	}
	return a.show(v)
}

func (a *app) mailResendCommand() *cobra.Command {
	var kind, reason string
	var revision int
	var again bool
	cmd := &cobra.Command{
		Use:   "resend <quote>",
		Short: "Have a mail sent again",
		Long: `Has the notifier send a quote's mail again: a mail of its own, with its own entry in the ledger
and its own Message-ID. Where the first mail is still under way, that one is gone on with. What
was sent again once is not sent a third time, unless --again is given (exit code 4): the same
command twice is one mail.

` + exitCodeHelp,
		Example: `  quotectl mail resend q_1042 --reason "mailbox was full"
  quotectl mail resend q_1042 --kind expiring --reason "asked for it"
  quotectl mail resend q_1042 --again --reason "deleted by mistake"`,
		Args: exact("quote id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !event.ValidToken(args[0]) {
				return usage(cmd, "%q is not a quote id", args[0])
			}
			if err := checkMail(cmd, kind, revision); err != nil {
				return err
			}
			reason, err := a.reason(cmd, reason)
			if err != nil {
				return err
			}
			b, err := a.openLogOnly(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			request, _, err := mail.Ledger{Log: b.log}.Plan(cmd.Context(), args[0], kind, revision, again)
			if err != nil {
				return err
			}
			request.Reason = reason
			return a.resend(cmd.Context(), b, request)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", event.NamePaid, "which mail: paid or expiring")
	cmd.Flags().IntVar(&revision, "revision", 0, "of which revision; 0 for the last that has a mail")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and the notifier's log; asked for on a terminal")
	cmd.Flags().BoolVar(&again, "again", false, "also where it was sent again before")
	return cmd
}

func (a *app) resend(ctx context.Context, b backend, request mail.Request) error {
	ctx, cancel := context.WithTimeout(ctx, resendTimeout)
	defer cancel()
	answer, err := mail.Resend(ctx, journal.New(b.log, a.now), b.nc, request, who())
	if err != nil {
		return err
	}
	v := view{document: answer, table: table{columns: []string{"KEY", "STATE", "REPLY", "MESSAGE-ID"}}}
	if e := answer.Entry; e != nil {
		v.table.add(answer.Key, e.State, replyText(mail.Mail{MailEntry: *e}), dash(e.MessageID))
	}
	return a.show(v)
}
