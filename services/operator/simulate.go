package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/services/operator/scenario"
)

// datedSeed is the smallest seed that is read as a moment, in microseconds of the Unix clock (September 2001).
const datedSeed = 1_000_000_000_000_000

// simulation is what the flags of simulate say.
type simulation struct {
	quote      string
	seed       int64
	shuffle    bool
	duplicate  int
	apiVersion string
	timeout    time.Duration
	settle     time.Duration
	live       bool
}

func (a *app) simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play Stripe: send a payment's events, check the end they must have",
		Long: `Makes the events that Stripe sends in the course of a payment of a published quote, signs
them and posts them to ingress. It then waits for the end that the rules demand (status,
flags and text of the card, the events and quote.paid in the log, the decisions where
REDIS_URL is set, the e-mails where MAILBOX_URL is set) and fails with exit code 3, saying
what differs, when it does not come or does not last. No Stripe account and no network are
needed.

The end is that of a quote on which nothing had happened before. A seed gives the same
events each time, so that a run can be repeated as duplicates; the default seed is new and
is printed. It is this moment in microseconds, and its events are dated by it; the events
of a small seed such as 7 are dated by the quote's publication.

` + exitCodeHelp,
		Example: `  quotectl simulate list
  quotectl simulate paid --quote q_1042
  quotectl simulate refund --quote q_1042 --shuffle --duplicate 2 --seed 7`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.simulateListCommand())
	for _, s := range scenario.All() {
		cmd.AddCommand(a.scenarioCommand(s))
	}
	return cmd
}

func (a *app) simulateListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the scenarios and the ends they must have",
		Long:    "Lists the scenarios and the end that the rules demand of each.\n\n" + exitCodeHelp,
		Example: "  quotectl simulate list\n  quotectl simulate list -o wide",
		Args:    exact(),
		RunE: func(*cobra.Command, []string) error {
			type item struct {
				Name    string               `json:"name"`
				Summary string               `json:"summary"`
				Rules   string               `json:"rules"`
				Expect  scenario.Expectation `json:"expect"`
			}
			v := view{items: []any{}, table: table{columns: []string{"SCENARIO", "STATUS", "FLAGS", "PAID EVENTS", "MAILS", "WHAT HAPPENS", "+RULES"}}}
			for _, s := range scenario.All() {
				v.items = append(v.items, item{s.Name, s.Summary, s.Rules, s.Expect})
				v.table.add(s.Name, s.Expect.Status, flagsText(s.Expect.Flags), number(s.Expect.PaidFacts), number(s.Expect.Mails), s.Summary, s.Rules)
			}
			v.document = v.items
			return a.show(v)
		},
	}
}

func (a *app) scenarioCommand(s scenario.Scenario) *cobra.Command {
	var opts simulation
	cmd := &cobra.Command{
		Use:   s.Name + " --quote <quote>",
		Short: s.Summary,
		Long: fmt.Sprintf(`Plays %s.
The end: status %s, flags %s, %d quote.paid event(s), %d mail(s).
Rules: %s.

`, s.Summary, s.Expect.Status, flagsText(s.Expect.Flags), s.Expect.PaidFacts, s.Expect.Mails, s.Rules) + exitCodeHelp,
		Example: fmt.Sprintf("  quotectl simulate %s --quote q_1042\n  quotectl simulate %s --quote q_1042 --seed 7 --shuffle --duplicate 2", s.Name, s.Name),
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			version, err := opts.check(cmd)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				opts.seed = a.now().UnixMicro()
			}
			return a.simulate(cmd.Context(), s, opts, version)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.quote, "quote", "", "the published quote that is paid (required)")
	f.Int64Var(&opts.seed, "seed", 0, "repeat the run of this seed, event for event (default: a new one, which is printed)")
	f.BoolVar(&opts.shuffle, "shuffle", false, "deliver in an order that depends on the seed alone")
	f.IntVar(&opts.duplicate, "duplicate", 0, "deliver each event so many times more, each time signed anew")
	f.StringVar(&opts.apiVersion, "api-version", string(scenario.V20231016), "shape of the events: 2023-10-16 or basil")
	f.DurationVar(&opts.timeout, "timeout", 30*time.Second, "how long to wait for the end")
	f.DurationVar(&opts.settle, "settle", time.Second, "how long the end must last")
	f.BoolVar(&opts.live, "live", false, "allow a quote in live mode")
	return cmd
}

// check finds what is wrong with the flags.
func (o simulation) check(cmd *cobra.Command) (scenario.Version, error) {
	switch {
	case o.quote == "":
		return "", usage(cmd, "--quote is missing: name a published quote (quotectl quotes list)")
	case !plainID(o.quote):
		return "", usage(cmd, "%q is not a quote id", o.quote)
	case cmd.Flags().Changed("seed") && o.seed < 1:
		return "", usage(cmd, "--seed is %d; it is 1 or more", o.seed)
	case o.duplicate < 0 || o.duplicate > 100:
		return "", usage(cmd, "--duplicate is %d; it is 0 to 100", o.duplicate)
	case o.timeout <= 0 || o.settle < 0:
		return "", usage(cmd, "--timeout and --settle are durations such as 30s")
	}
	v, err := scenario.ParseVersion(o.apiVersion)
	if err != nil {
		return "", usage(cmd, "--api-version: %w", err)
	}
	return v, nil
}

// report is the result of one simulation.
type report struct {
	Scenario   string  `json:"scenario"`
	Quote      string  `json:"quote"`
	Revision   int     `json:"revision"`
	Seed       int64   `json:"seed"`
	APIVersion string  `json:"api_version"`
	Session    string  `json:"session"`
	Deliveries []*post `json:"deliveries"`
	Checks     []sight `json:"checks"`
	OK         bool    `json:"ok"`
	TookMS     int64   `json:"took_ms"`
}

// simulate plays the scenario against the running services and judges the end.
func (a *app) simulate(ctx context.Context, s scenario.Scenario, opts simulation, version scenario.Version) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	sender, err := newSender(c, a.now)
	if err != nil {
		return err
	}
	w, err := a.openWitness(ctx, c, opts.quote)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.payable(ctx, opts.live); err != nil {
		return err
	}
	p := w.published
	burst, err := s.Run(target(p), opts.seed, dated(opts.seed, p.PublishedAt), version)
	if err != nil {
		return advice.Of(advice.Usage, "quotectl simulate list", "%w", err)
	}
	before, _, err := w.api.card(ctx, p.QuoteID)
	if err != nil {
		return err
	}

	a.progress("%s of quote %s revision %d, %s on account %s: %d events, seed %d", s.Name, p.QuoteID, p.Revision,
		money(p.Amount, p.Currency), p.Account, len(burst.Events), opts.seed)
	started := a.now()
	ctx, cancel := context.WithDeadline(ctx, started.Add(opts.timeout))
	defer cancel()
	deliveries := plan(burst.Events, opts)
	for _, d := range deliveries {
		if err := sender.deliver(ctx, d); err != nil {
			return err
		}
		a.progress("→ %s %-42s %s  %s", d.EventID, d.Type, d.Answer, elapsed(d.took))
	}
	checks, ok, err := w.await(ctx, opts.settle, burst)
	if err != nil {
		return err
	}
	r := report{
		Scenario: s.Name, Quote: p.QuoteID, Revision: p.Revision, Seed: opts.seed, APIVersion: string(version), Session: burst.Session,
		Deliveries: deliveries, Checks: checks, OK: ok, TookMS: a.now().Sub(started).Milliseconds(),
	}
	return a.showReport(r, before)
}

// target is what the scenario needs to know of the published revision.
func target(p event.Published) scenario.Target {
	d := p.Document
	t := scenario.Target{
		Quote: p.QuoteID, Seller: p.Seller, Revision: p.Revision, Title: d.Title, Amount: p.Amount, Currency: p.Currency,
		Live: p.Mode == event.ModeLive, CustomerName: strings.TrimSpace(d.Contact.FirstName + " " + d.Contact.LastName),
		CustomerEmail: d.Contact.Email,
	}
	if p.Account != event.Platform {
		t.Account = p.Account
	}
	for _, l := range d.LineItems {
		if l.Recurring != nil {
			t.Interval, t.IntervalCount = l.Recurring.Interval, int(l.Recurring.IntervalCount)
		}
	}
	return t
}

// dated is when the events of a seed happened. It must not depend on the clock: the same seed sends the same bytes.
func dated(seed int64, published time.Time) time.Time {
	if seed >= datedSeed {
		return time.UnixMicro(seed)
	}
	return published.Add(time.Second)
}

func (a *app) showReport(r report, before apiCard) error {
	v := view{document: r, table: table{columns: []string{"CHECK", "EXPECTED", "GOT", "RESULT"}}}
	var wrong []string
	for _, c := range r.Checks {
		result := "ok"
		if !c.OK {
			result = "DIFFERS"
			wrong = append(wrong, fmt.Sprintf("%s: expected %s, got %s", c.Name, c.Expected, c.Got))
		}
		v.table.add(c.Name, c.Expected, c.Got, result)
	}
	if err := a.show(v); err != nil {
		return err
	}
	if r.OK {
		a.progress("as it must be, after %s; the whole story: quotectl explain %s", elapsed(time.Duration(r.TookMS)*time.Millisecond), r.Quote)
		return nil
	}
	if untouched(before) {
		return advice.Of(advice.Difference, "quotectl explain "+r.Quote, "simulate %s on %s: %s", r.Scenario, r.Quote, strings.Join(wrong, "; "))
	}
	return advice.Of(advice.Difference, "publish a fresh quote, or repeat the earlier run with its --seed", "simulate %s on %s: %s; before the first event the quote was %s, flags %s, and the scenario is about an untouched one",
		r.Scenario, r.Quote, strings.Join(wrong, "; "), before.Status, flagsText(before.Flags))
}

// untouched reports whether nothing had been paid or tried before.
func untouched(card apiCard) bool {
	return len(card.Flags) == 0 && shownAs(unpaid, card.Status)
}
