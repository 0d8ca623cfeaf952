package operator

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/mail"
)

func (a *app) mailPreviewCommand() *cobra.Command {
	var kind string
	var revision int
	var html bool
	cmd := &cobra.Command{
		Use:   "preview <quote | key>",
		Short: "Print what a mail says",
		Long: `Has the notifier make a mail, which sends nothing and writes nothing, and prints it: the newest
one about a quote, or the one with a key. It says whether these are the bytes that went out. A
mail that is not sent yet is shown as it would be. --html prints the HTML part and nothing else.
The mail holds a name and an address, unmasked.

` + exitCodeHelp,
		Example: `  quotectl mail preview q_1042
  quotectl mail preview q_1042 --kind expiring
  quotectl mail preview main.q_1042.2.paid.1 -o json | jq -r .text
  quotectl mail preview q_1042 --html > mail.html`,
		Args: exact("quote"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkMail(cmd, kind, revision); err != nil {
				return err
			}
			request, isKey := mail.RequestOf(args[0])
			if !isKey && !event.ValidToken(args[0]) {
				return usage(cmd, "%q is neither a quote id nor a mail's key", args[0])
			}
			if isKey && (cmd.Flags().Changed("kind") || cmd.Flags().Changed("revision")) {
				return usage(cmd, "the key names kind and revision already")
			}
			b, err := a.openLogOnly(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			if !isKey {
				if request, err = (mail.Ledger{Log: b.log}).PreviewOf(cmd.Context(), args[0], kind, revision); err != nil {
					return err
				}
			}
			return a.preview(cmd.Context(), b, request, html)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", event.NamePaid, "which mail: paid or expiring")
	cmd.Flags().IntVar(&revision, "revision", 0, "of which revision; 0 for the last")
	cmd.Flags().BoolVar(&html, "html", false, "print the HTML part and nothing else")
	return cmd
}

func (a *app) preview(ctx context.Context, b backend, request mail.PreviewRequest, html bool) error {
	p, err := mail.AskPreview(ctx, b.nc, request)
	if err != nil {
		return err
	}
	if html {
		_, err := fmt.Fprint(a.out, p.HTML)
		return err
	}
	a.progress("%s", p.Note())
	v := view{document: p, table: table{noHeader: true, columns: []string{"", ""}}}
	for _, line := range [][2]string{
		{"key", p.Key},
		{"state", dash(p.State)},
		{"from", p.From},
		{"to", p.To},
		{"date", a.clock(p.Date)},
		{"message-id", p.MessageID},
		{"subject", p.Subject},
	} {
		v.table.add(line[0], line[1])
	}
	v.after = []string{"", strings.TrimRight(p.Text, "\n")}
	return a.show(v)
}
