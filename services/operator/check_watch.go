package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/operations/signatures"
	"quittance.internal/libs/platform/stripegate"
)

const checkHelp = `The first line is what a monitoring system reads: NAME LEVEL - text | measures. LEVEL is OK,
WARNING, CRITICAL or UNKNOWN. The exit code is 0 when all is well, 3 for a warning or worse
(critical: see LEVEL), 1 when something could not be looked at: that is never taken for well.
Nagios counts otherwise; for it add: case $? in 3) exit 2;; 1|2) exit 3;; esac`

// limitFlags are --warn and --critical.
func limitFlags(cmd *cobra.Command, what string, limits *check.Limits) {
	cmd.Flags().DurationVar(&limits.Warn, "warn", limits.Warn, "a warning from so long on: "+what)
	cmd.Flags().DurationVar(&limits.Critical, "critical", limits.Critical, "critical from so long on")
}

func checkLimits(cmd *cobra.Command, l check.Limits) error {
	if l.Warn <= 0 || l.Critical < l.Warn {
		return usage(cmd, "--warn is %s and --critical is %s; both are above zero, and critical is not below warn", l.Warn, l.Critical)
	}
	return nil
}

func (a *app) checkLagCommand() *cobra.Command {
	lag := check.Lag{Age: check.Limits{Warn: 2 * time.Minute, Critical: 15 * time.Minute}}
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "Find consumers that are behind",
		Long: `Looks at every durable consumer of STRIPE, QUOTES and TIMERS, other teams' included: how many
messages it has not acknowledged, and how long the oldest of them has waited. Mails and timers
that are held back on purpose do not count; for those see quotectl check gap.

` + checkHelp + "\n\n" + exitCodeHelp,
		Example: `  quotectl check lag
  quotectl check lag --warn 1m --critical 5m --critical-messages 100000
  quotectl check lag -o json | jq .measures`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimits(cmd, lag.Age); err != nil {
				return err
			}
			b, err := a.openLogOnly(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			lag.Log, lag.Now = b.log, a.now()
			return a.verdict(lag.Run(cmd.Context()))
		},
	}
	limitFlags(cmd, "the wait of a consumer's oldest message", &lag.Age)
	cmd.Flags().Uint64Var(&lag.Messages, "warn-messages", 0, "a warning from so many waiting messages on; 0 for no limit")
	cmd.Flags().Uint64Var(&lag.CriticalMessages, "critical-messages", 0, "critical from so many waiting messages on; 0 for no limit")
	return cmd
}

func (a *app) checkGapCommand() *cobra.Command {
	gap := check.Gap{Mail: check.Limits{Warn: 15 * time.Minute, Critical: 4 * time.Hour}}
	cmd := &cobra.Command{
		Use:   "gap",
		Short: "Find what is due and is not there: emissions, mails",
		Long: `Looks for payments that are settled and of which the log holds no fact; for facts quote.paid
whose mail nobody has begun; and for mails that do not go out. It reads the facts of every
quote. What Stripe has and the log lacks is told by quotectl reconcile report.

` + checkHelp + "\n\n" + exitCodeHelp,
		Example: `  quotectl check gap
  quotectl check gap -o jsonl | jq -r .next
  quotectl check gap --warn 5m --critical 1h`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimits(cmd, gap.Mail); err != nil {
				return err
			}
			b, err := a.openBackend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.close()
			gap.Log, gap.Redis, gap.NoRedis, gap.Now = b.log, b.redis, b.noRedis, a.now()
			return a.verdict(gap.Run(cmd.Context()))
		},
	}
	limitFlags(cmd, "how long after the fact a mail is on its way", &gap.Mail)
	return cmd
}

func (a *app) checkSilenceCommand() *cobra.Command {
	s := check.Silence{Missed: check.Limits{Warn: 10 * time.Minute, Critical: time.Hour}, Quiet: 24 * time.Hour}
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Tell no sales from no webhooks",
		Long: `Looks in the log when the last webhook came and which secret signed it: of the deployment's own
account, and of the connected accounts that had events in the last 30 days, whose webhooks
come by an endpoint of their own. With STRIPE_API_KEY (and MODE) it asks Stripe, account by
account, whether it has events since then that no webhook brought: then webhooks are broken,
and what reconcile fetched meanwhile does not hide it. Without a key it can only warn of
silence after --quiet, and says so. With INGRESS_ADMIN_URL it reads how many signatures have
failed; what is refused is not stored, so that this is known since ingress' start only.

` + checkHelp + "\n\n" + exitCodeHelp,
		Example: `  quotectl check silence
  STRIPE_API_KEY_FILE=/run/secrets/stripe_api_key quotectl check silence --warn 5m`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimits(cmd, s.Missed); err != nil {
				return err
			}
			return a.checkSilence(cmd.Context(), s)
		},
	}
	limitFlags(cmd, "the wait of the oldest event at Stripe that no webhook brought", &s.Missed)
	cmd.Flags().DurationVar(&s.Quiet, "quiet", s.Quiet, "without a key: a warning after so long without a webhook; 0 for never")
	return cmd
}

func (a *app) checkSilence(ctx context.Context, s check.Silence) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	stripe, mode, err := a.stripeSettings()
	if err != nil {
		return err
	}
	b, err := a.openLogOnly(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	s.Log, s.Mode, s.Now = b.log, mode, a.now()
	if s.Connected, err = reconcile.Connected(ctx, b.log, mode); err != nil {
		return err
	}
	if stripe.Configured() {
		s.Stripe = recentEvents(stripegate.New(stripe))
	}
	s.Unset = c.IngressAdminURL == ""
	s.Signatures, s.Unread = a.signatures(ctx, c)
	return a.verdict(s.Run(ctx))
}

// recentPages bounds how many pages of 100 are read of each call's types. Stripe lists the newest first and the age of the
// oldest decides, so one page would make a long outage look like a short one.
const recentPages = 50

// recentEvents asks for the events of an account.
func recentEvents(client *stripegate.Client) func(context.Context, string, time.Time) ([]check.AtStripe, error) {
	return func(ctx context.Context, account string, since time.Time) ([]check.AtStripe, error) {
		var all []check.AtStripe
		for types := range slices.Chunk(stripeevent.PaymentTypes(), stripegate.MaxEventTypes) {
			q := stripegate.EventQuery{Account: account, Types: types, Since: since}
			for range recentPages {
				page, err := client.Events(ctx, q)
				if refused, ok := errors.AsType[*stripegate.RefusedError](err); ok && refused.AccountDetached {
					return nil, fmt.Errorf("%w: %s", check.ErrNoAccess, refused.Message)
				}
				if err != nil {
					return nil, err
				}
				for _, body := range page.Events {
					e, err := atStripe(account, body)
					if err != nil {
						return nil, err
					}
					all = append(all, e)
				}
				if q.After = page.Last; !page.More {
					break
				}
			}
		}
		slices.SortFunc(all, func(a, b check.AtStripe) int { return b.Created.Compare(a.Created) })
		return all, nil
	}
}

// atStripe reads the head of an event of Stripe's list.
func atStripe(account string, body []byte) (check.AtStripe, error) {
	var head struct {
		ID, Type string
		Created  int64
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return check.AtStripe{}, fmt.Errorf("read an event of Stripe's list: %w", err)
	}
	return check.AtStripe{Account: account, ID: head.ID, Type: head.Type, Created: time.Unix(head.Created, 0)}, nil
}

// signatures reads ingress's figures, or says why it cannot.
func (a *app) signatures(ctx context.Context, c Config) (*signatures.Figures, string) {
	if c.IngressAdminURL == "" {
		return nil, "INGRESS_ADMIN_URL is not set"
	}
	figures, err := signatures.Read(ctx, c.IngressAdminURL, a.now)
	if err != nil {
		return nil, err.Error()
	}
	return figures, ""
}

// verdict prints what a check came to: exit code 3 for what was found, 1 where it could not look.
func (a *app) verdict(v *check.Verdict, err error) error {
	if err != nil {
		return err
	}
	out := view{document: v, items: []any{}, before: []string{v.Line()}, table: table{columns: []string{"LEVEL", "WHAT", "NEXT"}}}
	for _, f := range v.Findings {
		out.items = append(out.items, f)
		out.table.add(string(f.Level), f.What, dash(f.Next))
	}
	for _, why := range v.NotChecked {
		out.after = append(out.after, "not checked: "+why)
	}
	if err := a.show(out); err != nil {
		return err
	}
	if v.Level == check.OK {
		return nil
	}
	kind := advice.Difference
	if v.Level == check.Unknown {
		kind = advice.Failed
	}
	return advice.Of(kind, v.Findings[0].Next, "%s: %s", v.Check, v.Summary)
}
