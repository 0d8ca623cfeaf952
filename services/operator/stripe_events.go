package operator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/stripeevent"
)

func (a *app) stripeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stripe",
		Short: "What has to be set up at Stripe",
		Long:  "Tells what has to be set up at Stripe. It calls nobody.\n\n" + exitCodeHelp,
		Example: `  quotectl stripe events
  stripe listen --events "$(quotectl stripe events --comma)" --forward-to 127.0.0.1:8080/webhooks/stripe`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.stripeEventsCommand())
	return cmd
}

// subscription is a type of events and the webhook endpoints that have to send it.
type subscription struct {
	Type    string `json:"type"`
	Account bool   `json:"account"` // the endpoint of the deployment's own account
	Connect bool   `json:"connect"` // the endpoint of connected accounts
}

// subscriptions is what this version makes something of; all other events may be sent and end as ignored.
func subscriptions() []subscription {
	own := stripeevent.AccountEndpointTypes()
	var all []subscription
	for _, typ := range stripeevent.ConnectEndpointTypes() {
		all = append(all, subscription{Type: typ, Account: slices.Contains(own, typ), Connect: true})
	}
	return all
}

func (a *app) stripeEventsCommand() *cobra.Command {
	var comma bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List the events that a webhook endpoint at Stripe must send",
		Long: `Lists the types of events that Quittance makes something of. At Stripe, subscribe two endpoints to them, both with
the address of ingress, /webhooks/stripe: one for events on your account, one for events on connected accounts (where
sellers connect theirs). Give both signing secrets to ingress: STRIPE_WEBHOOK_SECRETS=account=whsec_…,connect=whsec_…

More types do no harm: they are stored, and ignored.

` + exitCodeHelp,
		Example: `  quotectl stripe events
  quotectl stripe events -o json | jq -r '.[] | select(.account) | .type'
  stripe listen --events "$(quotectl stripe events --comma)" --forward-to 127.0.0.1:8080/webhooks/stripe`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := subscriptions()
			if comma {
				if a.format != formatTable {
					return usage(cmd, "--comma and -o exclude each other")
				}
				types := make([]string, 0, len(all))
				for _, s := range all {
					types = append(types, s.Type)
				}
				_, err := fmt.Fprintln(a.out, strings.Join(types, ","))
				return err
			}
			v := view{document: all, table: table{columns: []string{"EVENT", "ACCOUNT", "CONNECT"}}}
			for _, s := range all {
				v.items = append(v.items, s)
				v.table.add(s.Type, yes(s.Account), yes(s.Connect))
			}
			return a.show(v)
		},
	}
	cmd.Flags().BoolVar(&comma, "comma", false, "all in one line, separated by commas, as stripe listen --events takes them")
	return cmd
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}
