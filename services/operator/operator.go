// Package operator is quotectl, the operators' command line: declare the log, look at quotes, simulate payments, explain
// what happened to a quote, fold an event again.
//
// It reads the log, the projection and the HTTP API and writes none of them by itself: what changes something goes through
// the service that owns it (simulated events and those fetched from Stripe through ingress, replays through the payments worker). Only declare writes, the
// streams' configuration. Its binary is cmd/quotectl; allinone's tests call Run too.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/env"
)

// Run carries out one command line (args without the program's name) and returns the exit code. Results go to stdout,
// progress and errors to stderr. It reads the environment through lookup and, for what that lacks, a client.env file; it is
// safe to call from several goroutines.
func Run(ctx context.Context, args []string, lookup env.Lookup, stdout, stderr io.Writer) int {
	a := &app{
		lookup: lookup,
		now:    time.Now, //nolint:forbidigo // the one place where the clock is given
		out:    stdout,
		err:    stderr,
		zone:   zone(lookup),
	}
	root := a.rootCommand() //nolint:contextcheck // cobra hands the context of ExecuteContext to each command
	root.SetArgs(args)
	return a.exit(root.ExecuteContext(ctx))
}

// app is what the commands of one command line share.
type app struct {
	lookup env.Lookup
	now    func() time.Time
	out    io.Writer
	err    io.Writer
	zone   *time.Location

	format  string // -o
	envFile string // --env-file
}

// zone is the time zone of tables: that of TZ, else the machine's.
func zone(lookup env.Lookup) *time.Location {
	name, ok := lookup("TZ")
	if !ok || name == "" {
		return time.Local
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return loc
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "quotectl",
		Short: "Look after Quittance: quotes, Stripe events, the log",
		Long: `quotectl looks after Quittance: it declares the log's streams, shows quotes, simulates
payments without a Stripe account, explains what happened to a quote, and folds a stored
event again.

Settings come from the environment, and what that lacks from a client.env file
(KEY=VALUE lines), the first that exists of: --env-file, $QUITTANCE_ENV_FILE,
$DATA_DIR/client.env, ./data/client.env. The all-in-one runner writes such a file.

  QUOTES_URL API_TOKEN     the quote API (default http://127.0.0.1:8081)
  INGRESS_URL              where simulated and fetched events go (default http://127.0.0.1:8080)
  STRIPE_WEBHOOK_SECRETS   name=whsec_…,…: the first one signs simulated events, one named
                           reconcile those fetched from Stripe
  STRIPE_API_KEY MODE      for reconcile: a key for Stripe, and its mode (default test);
                           STRIPE_API_BASE for another address than Stripe's
  MAILBOX_URL              the mail catcher, if there is one
  INGRESS_ADMIN_URL PAYMENTS_URL NOTIFIER_URL QUOTES_ADMIN_URL NATS_MONITOR_URL DURABILITY
                           where the services and the NATS server tell their figures, for
                           check and doctor
  NATS_URL NATS_CREDS NATS_CA, REDIS_URL REDIS_CA
  NO_COLOR, TZ             colour and time zone of tables

` + exitCodeHelp,
		Example: `  quotectl quotes list
  quotectl simulate paid --quote q_1042
  quotectl explain q_1042
  quotectl cheat`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.PersistentFlags().StringVarP(&a.format, "output", "o", formatTable, "output format: table, wide, json or jsonl")
	root.PersistentFlags().StringVar(&a.envFile, "env-file", "", "file of KEY=VALUE lines for settings that the environment lacks")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return checkFormat(a.format) }
	root.SetFlagErrorFunc(flagFault)
	// It fails only for a flag that does not exist.
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(
		a.quotesCommand(),
		a.sellersCommand(),
		a.policyCommand(),
		a.simulateCommand(),
		a.explainCommand(),
		a.statusCommand(),
		a.eventsCommand(),
		a.deadCommand(),
		a.parkedCommand(),
		a.mailCommand(),
		a.subscribersCommand(),
		a.replayCommand(),
		a.rebuildCommand(),
		a.checkCommand(),
		a.doctorCommand(),
		a.reconcileCommand(),
		a.stripeCommand(),
		a.journalCommand(),
		a.declareCommand(),
		a.cheatCommand(),
		a.versionCommand(),
	)
	root.SetOut(a.out) // before addHelp: cobra's completion keeps what it finds
	root.SetErr(a.err)
	addHelp(root)
	return root
}

// group is what a command does that only holds others: show its help, or say which of them was meant.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	cmd.SuggestionsMinimumDistance = 2
	why := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		return usage(cmd, "%s; did you mean %q?", why, s[0])
	}
	return usage(cmd, "%s", why)
}

// exact demands that the command is given the named arguments.
func exact(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usage(cmd, "the %s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return usage(cmd, "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// atMostOne allows one argument, or none.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(cmd, "%q is one argument too many", args[1])
	}
	return nil
}

// flagFault says what is wrong with a flag, in words of ours where the value is of no form that the flag takes.
func flagFault(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return group(cmd, args) // the flag is that of a command that there is not
	}
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return usage(cmd, "%w", err)
	}
	form := map[string]string{
		"duration": "a duration such as 90s, 15m or 24h", "int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0 on",
		"bool": "true or false",
	}[bad.GetFlag().Value.Type()]
	if form == "" {
		return usage(cmd, "%w", err)
	}
	return usage(cmd, "--%s is %q; it is %s", bad.GetFlag().Name, bad.GetValue(), form)
}

// progress tells on stderr how far things are.
func (a *app) progress(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// exit prints what went wrong and returns the exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return codeOK
	}
	if errors.Is(err, context.Canceled) { // nothing else cancels a command
		fmt.Fprintln(a.err, "quotectl: interrupted")
		return codeError
	}
	fmt.Fprintln(a.err, "quotectl:", err)
	if e, ok := errors.AsType[*advice.Error](err); ok {
		if e.Next != "" {
			fmt.Fprintln(a.err, "next:", e.Next)
		}
		return codeOf(e.Kind)
	}
	fmt.Fprintln(a.err, "next: quotectl doctor") // trouble that nobody foresaw: it looks at everything
	return codeError
}

// colours reports whether tables may be coloured: on a terminal whose user has not set NO_COLOR.
func (a *app) colours() bool {
	if v, ok := a.lookup("NO_COLOR"); ok && v != "" {
		return false
	}
	if v, _ := a.lookup("TERM"); v == "dumb" {
		return false
	}
	f, ok := a.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
