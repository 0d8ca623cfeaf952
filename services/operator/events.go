package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List, show and follow the events in the log and what became of them",
		Long:  "Shows the events in the log, each with its outcome. What is printed as PLACE or ID can be given to explain.\n\n" + exitCodeHelp,
		Example: `  quotectl events list --outcome failed
  quotectl events get evt_1QaB
  quotectl events tail`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.eventsListCommand(), a.eventsGetCommand(), a.eventsTailCommand())
	return cmd
}

func (a *app) eventsListCommand() *cobra.Command {
	var oldest bool
	var after uint64
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events with their outcomes, the newest first",
		Long: `Lists events with their outcomes, the newest first. All conditions must hold; of several
values of one condition one must. There is no end to the list: --after continues it from
the sequence in the last PLACE, --limit 0 prints all (with -o jsonl as they are found).

` + exitCodeHelp,
		Example: `  quotectl events list --outcome failed --since 24h
  quotectl events list --quote q_1042
  quotectl events list --type 'charge.*' --account 'acct_*' --seq 88000..
  quotectl events list --stream QUOTES --type quote.paid --limit 0 -o jsonl | jq -r .quote`,
	}
	read := a.selectionFlags(cmd, "50")
	cmd.Flags().BoolVar(&oldest, "oldest-first", false, "begin with the oldest")
	cmd.Flags().Uint64Var(&after, "after", 0, "continue after this sequence, in the direction of the list")
	cmd.Args = exact()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := read()
		if err != nil {
			return err
		}
		return a.listEvents(cmd.Context(), s, selection.Options{Order: selection.Order(!oldest), After: after, Progress: a.looking()})
	}
	return cmd
}

const outcomeUnknown = "unknown"

// shownEvent is an event as lists print it.
type shownEvent struct {
	Place    string    `json:"place"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	ID       string    `json:"id,omitempty"`
	Type     string    `json:"type"`
	Account  string    `json:"account,omitempty"`
	Quote    string    `json:"quote,omitempty"`
	Source   string    `json:"source,omitempty"`
	// Outcome is pending while nothing was decided, and unknown where Redis, which has it, is not there.
	Outcome   string    `json:"outcome"`
	Reason    string    `json:"reason,omitempty"`
	Before    string    `json:"before,omitempty"`
	After     string    `json:"after,omitempty"`
	DecidedAt time.Time `json:"decided_at,omitzero"`
	Handler   string    `json:"handler,omitempty"`
}

func shown(b backend, e selection.Event) shownEvent {
	s := shownEvent{
		Place: story.Reference(e.Record), Stream: e.Record.Stream, Sequence: e.Record.Sequence, Time: e.Record.Time.UTC(), ID: e.ID, Type: e.Type,
		Account: e.Account, Quote: e.Quote, Source: e.Source(), Outcome: e.Word(), Reason: e.Outcome.Reason, Before: e.Outcome.Before,
		After: e.Outcome.After, DecidedAt: e.Outcome.At, Handler: e.Outcome.Handler,
	}
	if b.reader == nil {
		s.Outcome = outcomeUnknown
	}
	return s
}

func (a *app) listEvents(ctx context.Context, s selection.Selection, o selection.Options) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if len(s.Outcomes) > 0 || len(s.Quotes) > 0 && s.Stream == event.StreamStripe {
		if err := b.needsRedis("events cannot be selected by quote or outcome without Redis"); err != nil {
			return err
		}
	}
	a.withoutRedis(b, "outcomes are not known")
	stream := json.NewEncoder(a.out)
	stream.SetEscapeHTML(false)
	all := []shownEvent{}
	for e, err := range b.finder().Find(ctx, s, o) {
		if err != nil {
			return err
		}
		if a.format == formatJSONL {
			if err := stream.Encode(shown(b, e)); err != nil {
				return err
			}
		}
		if a.format != formatJSONL || len(all) == 0 { // of a stream of lines one is remembered, to tell whether there was any
			all = append(all, shown(b, e))
		}
	}
	if len(all) == 0 {
		a.progress("no events match")
	}
	if a.format == formatJSONL {
		return nil
	}
	if s.Limit > 0 && len(all) == s.Limit {
		a.progress("next: the same with --after %d", all[len(all)-1].Sequence)
	}
	return a.show(a.eventsView(all))
}

func (a *app) eventsView(all []shownEvent) view {
	v := view{document: all, items: []any{}, table: table{
		columns: []string{"PLACE", "TIME", "TYPE", "OUTCOME", "QUOTE", "ACCOUNT", "ID", "+SOURCE", "+STATUS", "+REASON"},
	}}
	for _, e := range all {
		v.items = append(v.items, e)
		status := "-"
		if e.After != "" {
			status = dash(e.Before) + " → " + e.After
		}
		v.table.add(e.Place, a.clock(e.Time), e.Type, e.Outcome, dash(e.Quote), dash(e.Account), dash(e.ID), dash(e.Source), status, dash(e.Reason))
	}
	return v
}

func (a *app) eventsGetCommand() *cobra.Command {
	var raw, headers bool
	cmd := &cobra.Command{
		Use:   "get <event id | STRIPE:sequence>",
		Short: "Show one event: its body, its headers, its outcome",
		Long: `Shows one event: where it lies, what became of it, its headers, and its body with personal
data masked. --raw prints the stored bytes exactly as they are, unmasked and with nothing
around them: it is meant for a file or a pipe. An id that several stored events have shows
all of them; -o json is a list then.

` + exitCodeHelp,
		Example: `  quotectl events get evt_1QaB
  quotectl events get STRIPE:88120 --headers
  quotectl events get evt_1QaB --raw > evt_1QaB.json`,
		Args: exact("event id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if raw && headers {
				return usage(cmd, "--raw and --headers exclude each other")
			}
			return a.getEvent(cmd.Context(), args[0], raw, headers)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the stored bytes and nothing else; they hold personal data")
	cmd.Flags().BoolVar(&headers, "headers", false, "leave the body out")
	return cmd
}

// gotEvent is what get prints.
type gotEvent struct {
	shownEvent
	Subject string            `json:"subject"`
	Bytes   int               `json:"bytes"`
	Headers map[string]string `json:"headers"`
	// Data is the body, masked; left out where it is no JSON or was not asked for.
	Data json.RawMessage `json:"data,omitempty"`
}

func (a *app) getEvent(ctx context.Context, id string, raw, headers bool) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	if !raw {
		a.withoutRedis(b, "the outcome is not known")
	}
	records, err := eventRecords(ctx, b.log, id)
	if err != nil {
		return err
	}
	if raw {
		if len(records) > 1 {
			return advise("quotectl events get "+story.Reference(records[0])+" --raw", "%d stored events have the id %s; name one by its place", len(records), id)
		}
		_, err := a.out.Write(records[0].Data)
		return err
	}
	views := make([]view, 0, len(records))
	for _, r := range records {
		e := selection.Describe(r)
		if b.reader != nil {
			if e, err = b.finder().Decided(ctx, e); err != nil {
				return err
			}
		}
		v, err := a.eventView(b, e, headers)
		if err != nil {
			return err
		}
		views = append(views, v)
	}
	return a.showAll(views)
}

// eventRecords returns the messages that an event id, or a place in the log, names.
func eventRecords(ctx context.Context, log *natsstream.Log, id string) ([]natsstream.Record, error) {
	if stream, _, ok := strings.Cut(id, ":"); ok {
		if !slices.Contains(ownStreams, stream) {
			return nil, advice.Of(advice.Usage, "quotectl events get --help", "there is no stream %q; streams are %s", stream, strings.Join(ownStreams, ", "))
		}
		r, err := story.Message(ctx, log, id)
		return []natsstream.Record{r}, err
	}
	if !event.ValidToken(id) {
		return nil, advice.Of(advice.Usage, "quotectl events get --help", "%q is neither an event id (evt_…) nor a place in the log (STRIPE:88120)", id)
	}
	return story.Events(ctx, log, id)
}

func (a *app) eventView(b backend, e selection.Event, headersOnly bool) (view, error) {
	got := gotEvent{shownEvent: shown(b, e), Subject: e.Record.Subject, Bytes: len(e.Record.Data), Headers: map[string]string{}}
	for name, values := range e.Record.Header {
		if !strings.HasPrefix(name, "Nats-") {
			got.Headers[name] = strings.Join(values, ", ")
		}
	}
	body, bodyErr := mask.JSON(e.Record.Data)
	if bodyErr == nil && !headersOnly {
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			return view{}, err
		}
		got.Data = compact.Bytes()
	}
	v := view{document: got, table: table{noHeader: true, columns: []string{"", ""}}}
	for _, line := range [][2]string{
		{"place", got.Place},
		{"id", dash(got.ID)},
		{"type", got.Type},
		{"stored", a.clock(got.Time)},
		{"subject", got.Subject},
		{"bytes", strconv.Itoa(got.Bytes)},
		{"outcome", outcomeText(got.shownEvent)},
		{"quote", dash(got.Quote)},
		{"account", dash(got.Account)},
	} {
		v.table.add(line[0], line[1])
	}
	for _, name := range slices.Sorted(maps.Keys(got.Headers)) {
		v.table.add("header "+name, got.Headers[name])
	}
	switch {
	case headersOnly:
	case bodyErr != nil:
		v.after = []string{"", "the body is no JSON; --raw prints it"}
	default:
		v.after = []string{"", string(body)}
	}
	return v, nil
}

func outcomeText(e shownEvent) string {
	text := e.Outcome
	if e.After != "" {
		text += "  " + dash(e.Before) + " → " + e.After
	}
	if e.Reason != "" {
		text += "  (" + e.Reason + ")"
	}
	return text
}

func (a *app) eventsTailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow events as they are stored and decided, until Ctrl-C",
		Long: `Prints one line per event as it is stored (-->), one for its outcome (<--), and one for each
event of the quotes' own (==>). It begins now, or with --since further back, goes on after
a lost connection without leaving anything out, and ends with Ctrl-C and exit code 0. As it
has no end, -o json prints one document per line, as -o jsonl does.

` + exitCodeHelp,
		Example: `  quotectl events tail
  quotectl events tail --since 10m --type 'checkout.*'
  quotectl events tail --outcome failed -o jsonl`,
		Args: exact(),
	}
	read := a.selectionFlags(cmd, "", "stream", "id", "until", "seq", "limit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := read()
		if err != nil {
			return err
		}
		b, err := a.openBackend(cmd.Context())
		if err != nil {
			return err
		}
		defer b.close()
		if len(s.Outcomes) > 0 || len(s.Quotes) > 0 {
			if err := b.needsRedis("events cannot be followed by quote or outcome without Redis"); err != nil {
				return err
			}
		}
		a.withoutRedis(b, "outcomes are not shown")
		a.progress("following; Ctrl-C ends it")
		t := &tail{app: a, backend: b}
		return errors.Join(b.finder().Follow(cmd.Context(), s, a.now, t), t.err)
	}
	return cmd
}

// tail prints what a Finder follows.
type tail struct {
	app     *app
	backend backend
	err     error
}

// tailed is a line of tail with -o json or jsonl.
type tailed struct {
	What string `json:"what"` // stored or decided
	shownEvent
}

// Stored implements selection.Watcher.
func (t *tail) Stored(e selection.Event) {
	arrow := "-->"
	if e.Record.Stream == event.StreamQuotes {
		arrow = "==>"
	}
	t.print("stored", e, arrow, fmt.Sprintf("%s [%s]  %s", e.Type, or(e.ID, story.Reference(e.Record)), or(e.Account, e.Quote)), "")
}

// Decided implements selection.Watcher.
func (t *tail) Decided(e selection.Event) {
	if e.Record.Stream == event.StreamQuotes && !e.Failed() && e.Decided {
		return // that a quote's own event was read is no news
	}
	text := fmt.Sprintf("%s [%s]  %s", e.Type, or(e.ID, story.Reference(e.Record)), dash(e.Quote))
	if e.Outcome.After != "" {
		text += "  " + dash(e.Outcome.Before) + " → " + e.Outcome.After
	}
	if e.Outcome.Reason != "" {
		text += "  (" + e.Outcome.Reason + ")"
	}
	if e.Decided {
		text += "  after " + elapsed(e.Outcome.At.Sub(e.Record.Time))
	}
	t.print("decided", e, "<--", text, e.Word())
}

// Trouble implements selection.Watcher.
func (t *tail) Trouble(err error) {
	if err != nil {
		t.app.progress("waiting for the log: %v", err)
		return
	}
	t.app.progress("going on")
}

func (t *tail) print(what string, e selection.Event, arrow, text, outcome string) {
	var err error
	if t.app.format == formatJSON || t.app.format == formatJSONL {
		enc := json.NewEncoder(t.app.out)
		enc.SetEscapeHTML(false)
		err = enc.Encode(tailed{what, shown(t.backend, e)})
	} else {
		at := e.Record.Time
		if outcome != "" {
			if t.app.colours() {
				outcome = paint(outcome, false)
			}
			outcome = "[" + outcome + "] "
			if e.Decided {
				at = e.Outcome.At
			}
		}
		_, err = fmt.Fprintf(t.app.out, "%s  %s %s%s\n", t.app.clock(at), arrow, outcome, text)
	}
	t.err = errors.Join(t.err, err)
}

func or(text, fallback string) string {
	if text == "" {
		return dash(fallback)
	}
	return text
}
