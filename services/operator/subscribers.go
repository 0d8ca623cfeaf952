package operator

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/operations/subscribers"
	"quittance.internal/libs/platform/natsstream"
)

func (a *app) subscribersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "subscribers",
		Short: "See who has processed which facts, deliver some again to one subscriber",
		Long:  "Shows every durable consumer on stream QUOTES, our own services' and other teams'.\n\n" + exitCodeHelp,
		Example: `  quotectl subscribers list
  quotectl subscribers lag --max-age 5m
  quotectl subscribers missing q_1042
  quotectl subscribers replay --consumer crm --from 2h --reason "they lost a day"`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.subscribersListCommand(), a.subscribersLagCommand(), a.subscribersMissingCommand(), a.subscribersReplayCommand())
	return cmd
}

func (a *app) subscribersListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the durable consumers on QUOTES and how far they are",
		Long: `Lists the durable consumers on QUOTES: what they take, up to where everything is acknowledged
(FLOOR), what was never delivered (PENDING), what waits for its acknowledgement (UNACKED).

` + exitCodeHelp,
		Example: "  quotectl subscribers list\n  quotectl subscribers list -o json",
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.subscribers(cmd.Context())
			if err != nil {
				return err
			}
			v := view{document: all, items: []any{}, table: table{
				columns: []string{"NAME", "OWN", "FILTER", "FLOOR", "PENDING", "UNACKED", "REDELIVERED", "OLDEST", "LAST ACK", "+DELIVERED", "+PAUSED"},
			}}
			for _, s := range all {
				v.items = append(v.items, s)
				v.table.add(s.Name, yesNo(s.Own), dash(strings.Join(s.Filters, ",")), strconv.FormatUint(s.AckFloor, 10), strconv.FormatUint(s.Pending, 10),
					number(s.Unacked), number(s.Redelivered), elapsed(s.Behind(a.now())), a.day(s.LastAck), strconv.FormatUint(s.Delivered, 10), yesNo(s.Paused))
			}
			return a.show(v)
		},
	}
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func (a *app) subscribers(ctx context.Context) ([]subscribers.Subscriber, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	return subscribers.List(ctx, log)
}

// lagging is one line of lag.
type lagging struct {
	Name    string  `json:"name"`
	Own     bool    `json:"own"`
	Lag     uint64  `json:"lag"`
	BehindS float64 `json:"behind_seconds"`
	Over    bool    `json:"over"`
}

func (a *app) subscribersLagCommand() *cobra.Command {
	var consumer string
	var maxLag uint64
	var maxAge time.Duration
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "Say how far subscribers are behind; for monitoring",
		Long: `Says for each subscriber how many facts it has yet to acknowledge and how long the oldest has
waited. A mail that our notifier holds back until its next attempt is none of them, as in
quotectl check lag. With --max-lag or --max-age it exits with 3 when one is over.

` + exitCodeHelp,
		Example: "  quotectl subscribers lag\n  quotectl subscribers lag --consumer crm --max-lag 1000 --max-age 5m",
		Args:    exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if maxAge < 0 {
				return usage(cmd, "--max-age is %s; it is more than 0", maxAge)
			}
			all, err := a.subscribers(cmd.Context())
			if err != nil {
				return err
			}
			v := view{items: []any{}, table: table{columns: []string{"NAME", "OWN", "LAG", "BEHIND", "OVER"}}}
			lines, over := []lagging{}, []string{}
			for _, s := range all {
				if consumer != "" && s.Name != consumer {
					continue
				}
				behind := s.Behind(a.now())
				l := lagging{s.Name, s.Own, s.Lag(), behind.Seconds(), cmd.Flags().Changed("max-lag") && s.Lag() > maxLag || maxAge > 0 && behind > maxAge}
				if l.Over {
					over = append(over, s.Name)
				}
				lines = append(lines, l)
				v.items = append(v.items, l)
				v.table.add(s.Name, yesNo(s.Own), strconv.FormatUint(l.Lag, 10), elapsed(behind), yesNo(l.Over))
			}
			if consumer != "" && len(lines) == 0 {
				return notFound("quotectl subscribers list", "stream %s has no consumer %q", event.StreamQuotes, consumer)
			}
			v.document = lines
			if err := a.show(v); err != nil {
				return err
			}
			if len(over) > 0 {
				return advice.Of(advice.Difference, "quotectl subscribers list", "behind: %s", strings.Join(over, ", "))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&consumer, "consumer", "", "only this one")
	cmd.Flags().Uint64Var(&maxLag, "max-lag", 0, "exit with 3 when more facts than this are not acknowledged")
	cmd.Flags().DurationVar(&maxAge, "max-age", 0, "exit with 3 when one has waited longer than this")
	return cmd
}

func (a *app) subscribersMissingCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "missing <quote | QUOTES:sequence>",
		Short: "Say who has not processed a fact",
		Long: `Says of each subscriber that takes it whether it has acknowledged a fact: the quote.paid of a
quote, or any one by its place. The server keeps the floor up to which everything is
acknowledged; of what was delivered beyond it, it tells only how many are left, and so does this
command. It exits with 3 when somebody has not got the fact, or may not have worked on it.

` + exitCodeHelp,
		Example: "  quotectl subscribers missing q_1042\n  quotectl subscribers missing QUOTES:4410 -o json",
		Args:    exact("quote"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.missing(cmd.Context(), args[0]) },
	}
}

func (a *app) missing(ctx context.Context, ref string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	facts, err := factsOf(ctx, log, ref)
	if err != nil {
		return err
	}
	all, err := subscribers.List(ctx, log)
	if err != nil {
		return err
	}
	standings, open := []subscribers.Standing{}, 0
	v := view{items: []any{}, table: table{columns: []string{"FACT", "SUBJECT", "SUBSCRIBER", "OWN", "STATE", "FLOOR", "DELIVERED", "UNACKED"}}}
	for _, fact := range facts {
		for _, s := range subscribers.Standings(all, fact) {
			standings = append(standings, s)
			v.items = append(v.items, s)
			if s.State != subscribers.Acknowledged {
				open++
			}
			v.table.add(story.Reference(fact), s.Subject, s.Subscriber, yesNo(s.Own), s.State, strconv.FormatUint(s.AckFloor, 10), strconv.FormatUint(s.Delivered, 10), number(s.Unacked))
		}
	}
	v.document = standings
	if err := a.show(v); err != nil {
		return err
	}
	if open > 0 {
		return advice.Of(advice.Difference, "quotectl subscribers lag", "%d of %d have not acknowledged it, or may not have", open, len(standings))
	}
	return nil
}

// factsOf are the quote.paid of a quote, or the one message that is named.
func factsOf(ctx context.Context, log *natsstream.Log, ref string) ([]natsstream.Record, error) {
	if stream, _, ok := strings.Cut(ref, ":"); ok {
		if stream != event.StreamQuotes {
			return nil, advice.Of(advice.Usage, "quotectl subscribers missing --help", "%q is not on stream %s, which is the one that has subscribers", ref, event.StreamQuotes)
		}
		r, err := story.Message(ctx, log, ref)
		return []natsstream.Record{r}, err
	}
	if !event.ValidToken(ref) {
		return nil, advice.Of(advice.Usage, "quotectl subscribers missing --help", "%q is no quote id", ref)
	}
	facts, err := log.ReadAll(ctx, event.StreamQuotes, "quote."+event.NamePaid+".*."+ref+".*")
	if err == nil && len(facts) == 0 {
		err = notFound("quotectl explain "+ref, "there is no quote.paid of quote %s", ref)
	}
	return facts, err
}

func (a *app) subscribersReplayCommand() *cobra.Command {
	var consumer, from, reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Deliver facts again to one subscriber, and to no other",
		Long: `Sets one subscriber's position on QUOTES back, so that everything from there on is delivered to
it again, at its own pace; no other subscriber notices. Its handler must make its effect
conditional on the fact's id, as all must. Our own consumers are refused. Without --yes it
only says what it would do.

` + exitCodeHelp,
		Example: `  quotectl subscribers replay --consumer crm --from 4410 --reason "they lost a day"
  quotectl subscribers replay --consumer crm --from 24h --reason "they lost a day" --yes`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if consumer == "" || from == "" {
				return usage(cmd, "--consumer and --from are needed")
			}
			if err := subscribers.CheckReplay(consumer); err != nil {
				return err
			}
			return a.replaySubscriber(cmd, consumer, from, reason, yes)
		},
	}
	cmd.Flags().StringVar(&consumer, "consumer", "", "whose")
	cmd.Flags().StringVar(&from, "from", "", "a sequence of QUOTES, a span such as 24h, a date, or RFC 3339")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal; asked for on a terminal")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it, not only plan it")
	return cmd
}

// repositioned is what a subscriber's replay prints.
type repositioned struct {
	Consumer string                 `json:"consumer"`
	From     uint64                 `json:"from"`
	FromTime time.Time              `json:"from_time"`
	Before   subscribers.Subscriber `json:"before"`
	// After is left out of a plan.
	After *subscribers.Subscriber `json:"after,omitempty"`
}

func (a *app) replaySubscriber(cmd *cobra.Command, consumer, from, reason string, yes bool) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), explainTimeout)
	defer cancel()
	b, err := a.openLogOnly(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	p := repositioned{Consumer: consumer}
	if p.Before, err = subscribers.Find(ctx, b.log, consumer); err != nil {
		return err
	}
	if p.From, p.FromTime, err = a.place(cmd, b.log, from); err != nil {
		return err
	}
	if p.From > p.Before.AckFloor {
		return advise("quotectl subscribers list", "%s has acknowledged up to %d only: what begins at %d comes to it anyway", consumer, p.Before.AckFloor, p.From)
	}
	if !yes {
		a.progress("this would deliver everything from QUOTES:%d on to %s again; next: the same with --yes", p.From, consumer)
		return a.showRepositioned(p)
	}
	if reason, err = a.reason(cmd, reason); err != nil {
		return err
	}
	entry := journal.Entry{Action: "subscriber_replay", Reason: reason, Target: consumer, Before: p.Before.AckFloor, After: p.From - 1}
	err = a.journaled(ctx, b.log, entry, func(e *journal.Entry) error {
		after, err := subscribers.Replay(ctx, b.log, consumer, p.From)
		if err != nil {
			return err
		}
		p.After = &after
		e.Detail = map[string]any{"from": p.From, "pending": after.Pending}
		return nil
	})
	if err != nil {
		return err
	}
	return a.showRepositioned(p)
}

// place is the sequence that a number or a time means.
func (a *app) place(cmd *cobra.Command, log *natsstream.Log, from string) (uint64, time.Time, error) {
	ctx := cmd.Context()
	seq, err := strconv.ParseUint(strings.TrimPrefix(from, event.StreamQuotes+":"), 10, 64)
	if err != nil {
		at, err := selection.ParseTime(from, a.now().In(a.zone))
		if err != nil {
			return 0, time.Time{}, usage(cmd, "--from: %w", err)
		}
		if seq, err = log.SequenceAt(ctx, event.StreamQuotes, at); err != nil {
			if errors.Is(err, natsstream.ErrNotFound) {
				err = notFound("quotectl events list --stream QUOTES", "nothing was stored since %s", at.Format(time.RFC3339))
			}
			return 0, time.Time{}, err
		}
	}
	r, err := log.ReadSequence(ctx, event.StreamQuotes, seq)
	if errors.Is(err, natsstream.ErrNotFound) {
		err = notFound("quotectl events list --stream QUOTES", "QUOTES:%d is not in the log", seq)
	}
	return seq, r.Time.UTC(), err
}

func (a *app) showRepositioned(p repositioned) error {
	v := view{document: p, table: table{columns: []string{"CONSUMER", "FROM", "STORED", "FLOOR BEFORE", "FLOOR NOW", "PENDING NOW"}}}
	floor, pending := "-", "-"
	if p.After != nil {
		floor, pending = strconv.FormatUint(p.After.AckFloor, 10), strconv.FormatUint(p.After.Pending, 10)
	}
	v.table.add(p.Consumer, event.StreamQuotes+":"+strconv.FormatUint(p.From, 10), a.clock(p.FromTime), strconv.FormatUint(p.Before.AckFloor, 10), floor, pending)
	return a.show(v)
}
