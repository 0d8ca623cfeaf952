package operator

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

func (a *app) doctorCommand() *cobra.Command {
	var events int
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at how everything is set up",
		Long: `Looks at the log's streams and consumers, sync_interval, space and disks, Redis, clocks, the signing
secrets (which one verified how many of the last events, which one is safe to remove, why
signatures failed), the endpoints at Stripe, the mail relay (the notifier tries it, without
a mail), the rights of the credentials given here (what quotectl needs, and no more), which
user each service has on NATS and what Redis refused to whom lately, who may read the files
of secrets, whether quotes takes the API token, certificates and what verifies them, and the
services with their versions. One line each: ok, warn, fail, or not checked, which is never
taken for ok.

It exits with 3 when a line says fail. Probes of rights are writes that cannot take hold.

` + exitCodeHelp,
		Example: `  quotectl doctor
  quotectl doctor -o json | jq -r '.[] | select(.status == "fail") | .next'
  quotectl doctor -o wide --events 100000`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if events < 1 {
				return usage(cmd, "--events is %d; it is 1 or more", events)
			}
			return a.doctor(cmd.Context(), events)
		},
	}
	cmd.Flags().IntVar(&events, "events", 5000, "how many of the last events are looked at for the secrets")
	return cmd
}

func (a *app) doctor(ctx context.Context, events int) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	stripe, mode, err := a.stripeSettings()
	if err != nil {
		return err
	}
	p := doctor.Patient{
		Now: a.now, MonitorURL: c.MonitorURL, Barrier: c.Barrier, Mode: mode, StripeKey: stripe.Key.Reveal(), Events: events, Version: thisBuild().Version,
		TLS: tlsEndpoints(c, stripe.Base), SecretFiles: a.secretFiles(), API: doctor.API{URL: c.QuotesURL, Token: c.APIToken}, Needs: doctor.OperatorNeeds(),
		Services: []doctor.Service{
			{Name: "ingress", Setting: "INGRESS_ADMIN_URL", URL: c.IngressAdminURL},
			{Name: "payments", Setting: "PAYMENTS_URL", URL: c.PaymentsURL},
			{Name: "notifier", Setting: "NOTIFIER_URL", URL: c.NotifierURL},
			{Name: "quotes", Setting: "QUOTES_ADMIN_URL", URL: c.QuotesAdminURL},
		},
	}
	if c.NATS != nil {
		p.Creds = c.NATS.Creds
	}
	for entry := range strings.SplitSeq(c.WebhookSecrets.Reveal(), ",") {
		if name, _, ok := strings.Cut(entry, "="); ok {
			p.Secrets = append(p.Secrets, name)
		}
	}
	if stripe.Configured() {
		p.Stripe = stripegate.New(stripe)
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		p.NoLog, p.NoConnected = err, err
	} else {
		defer nc.Close()
		p.Log = log
		p.Connected, p.NoConnected = reconcile.Connected(ctx, log, mode)
		p.Connect = func(ctx context.Context) (*nats.Conn, error) { return natsstream.Connect(ctx, *c.NATS, zap.NewNop()) }
	}
	if c.Redis != nil {
		if p.Redis, p.NoRedis = openRedis(ctx, c); p.NoRedis == nil {
			defer p.Redis.Close()
		} else {
			p.Redis = nil
		}
	}
	return a.showExamination(p.Examine(ctx))
}

// secretFiles are the files that hold secrets among those that the settings name.
func (a *app) secretFiles() []doctor.SecretFile {
	var all []doctor.SecretFile
	add := func(setting, path string) {
		if path != "" && !slices.ContainsFunc(all, func(f doctor.SecretFile) bool { return f.Path == path }) {
			all = append(all, doctor.SecretFile{Setting: setting, Path: path})
		}
	}
	lookup, err := layered(a.lookup, a.envFile)
	if err != nil {
		return nil // config has said it
	}
	for _, setting := range []string{"NATS_CREDS", "NATS_URL_FILE", "REDIS_URL_FILE", "API_TOKEN_FILE", "STRIPE_API_KEY_FILE", "STRIPE_WEBHOOK_SECRETS_FILE"} {
		path, _ := lookup(setting)
		add(setting, path)
	}
	path, named := findEnvFile(a.lookup, a.envFile)
	if _, err := os.Stat(path); err == nil || named {
		add("client.env", path)
	}
	return all
}

// tlsEndpoints are all addresses that are known here; doctor finds out which are reached by TLS.
func tlsEndpoints(c Config, stripe string) []doctor.Endpoint {
	var all []doctor.Endpoint
	if c.NATS != nil {
		all = append(all, doctor.Endpoint{URL: c.NATS.URL.Reveal(), CA: c.NATS.CA, CASetting: "NATS_CA"}) // hosts alone are printed
	}
	if c.Redis != nil {
		all = append(all, doctor.Endpoint{URL: c.Redis.URL.Reveal(), CA: c.Redis.CA, CASetting: "REDIS_CA"}) // as above
	}
	for _, u := range []string{c.QuotesURL, c.IngressURL, stripe, c.IngressAdminURL, c.PaymentsURL, c.NotifierURL, c.QuotesAdminURL, c.MonitorURL} {
		all = append(all, doctor.Endpoint{URL: u})
	}
	return all
}

func (a *app) showExamination(all []doctor.Result) error {
	v := view{document: all, items: []any{}, table: table{columns: []string{"CHECK", "STATUS", "FOUND", "NEXT"}}}
	fails, next := 0, ""
	for _, r := range all {
		v.items = append(v.items, r)
		v.table.add(r.Check, string(r.Status), r.Found, dash(r.Next))
		if r.Status == doctor.Fail {
			if fails++; fails == 1 {
				next = r.Next
			}
		}
	}
	if err := a.show(v); err != nil {
		return err
	}
	if fails > 0 {
		return advice.Of(advice.Difference, next, "%d checks fail", fails)
	}
	return nil
}
