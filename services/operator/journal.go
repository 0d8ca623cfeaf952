package operator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
)

func (a *app) journalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "List what operators did, and prove that the record is whole",
		Long: `The journal records every operator action: who, when, why, on what, and what changed. Each
entry carries the hash of the one before, so that one that is changed, removed or slipped
in later is found.

` + exitCodeHelp,
		Example: "  quotectl journal list --since 7d\n  quotectl journal verify",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	cmd.AddCommand(a.journalListCommand(), a.journalVerifyCommand())
	return cmd
}

func (a *app) journalListCommand() *cobra.Command {
	var f journal.Filter
	var since, until string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List operator actions, the newest first",
		Long: `Lists operator actions, the newest first. Patterns may hold * and ?. --before continues a
list: it takes the number in column SEQ.

` + exitCodeHelp,
		Example: `  quotectl journal list
  quotectl journal list --action 'dead_*' --since 7d
  quotectl journal list --who 'ada@*' -o jsonl | jq -r .reason`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 0 {
				return usage(cmd, "--limit is %d; it is 1 or more, or 0 for all", f.Limit)
			}
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
			if err := f.Check(); err != nil {
				return usage(cmd, "%w", err)
			}
			return a.listJournal(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&f.Action, "action", "", "only actions that fit this pattern, such as replay or 'dead_*'")
	cmd.Flags().StringVar(&f.Who, "who", "", "only actions of whom fits this pattern, such as 'ada@*'")
	cmd.Flags().StringVar(&f.Target, "target", "", "only actions on what fits this pattern, such as q_1042")
	cmd.Flags().StringVar(&since, "since", "", "not before: a span such as 2h or 7d, a date, or RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "before: a span, a date, or RFC 3339")
	cmd.Flags().Uint64Var(&f.Before, "before", 0, "only entries before this SEQ")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most so many; 0 for all")
	return cmd
}

func (a *app) listJournal(ctx context.Context, f journal.Filter) error {
	j, done, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	defer done()
	records, err := j.List(ctx, f)
	if err != nil {
		return advise("quotectl journal verify", "list the journal: %w", err)
	}
	v := view{document: append([]journal.Record{}, records...), items: []any{}, table: table{
		columns: []string{"TIME", "ACTION", "WHO", "TARGET", "CHANGE", "REASON", "SEQ", "+DETAIL", "+HASH"},
	}}
	for _, r := range records {
		v.items = append(v.items, r)
		v.table.add(a.clock(r.Stored), r.Action, r.Who, dash(r.Target), changeText(r.Before, r.After), dash(shorten(r.Reason, 60)),
			strconv.FormatUint(r.Sequence, 10), dash(plain(r.Detail)), r.Hash)
	}
	if len(records) == 0 {
		a.progress("no entries match")
	} else if len(records) == f.Limit {
		a.progress("next: the same with --before %d", records[len(records)-1].Sequence)
	}
	return a.show(v)
}

// changeText is before → after for a table.
func changeText(before, after any) string {
	if before == nil && after == nil {
		return "-"
	}
	return shorten(dash(plain(before))+" → "+dash(plain(after)), 60)
}

// plain is a value for people: a text as it is, all else as JSON.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// exampleHash is one for examples, as long as all are, so that they can be pasted.
const exampleHash = "9f2c4d0e8b7a61538c2f94e1d07b3a6652e8f1c09d4b7a3e6f5012c8d9ab4e73"

func (a *app) journalVerifyCommand() *cobra.Command {
	var noted []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the chain of the journal from its first entry",
		Long: `Reads the whole journal and recomputes the chain from the first entry. It exits with 3 and
names the first sequence that does not fit when an entry was changed, removed or slipped in.

Somebody with access to the server's files could write the chain anew up to its end. Note
what this command prints as the head (ticket, paper, another system), and give it again as
--noted: the entry must still be the same.

` + exitCodeHelp,
		Example: `  quotectl journal verify
  quotectl journal verify --noted 412:` + exampleHash,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			marks := make([]journal.Mark, 0, len(noted))
			for _, text := range noted {
				number, hash, _ := strings.Cut(text, ":")
				n, err := strconv.ParseUint(number, 10, 64)
				if err != nil || n == 0 || len(hash) != 64 {
					return usage(cmd, "--noted is %q; it is NUMBER:HASH as journal verify prints the head", text)
				}
				marks = append(marks, journal.Mark{Number: n, Hash: hash})
			}
			return a.verifyJournal(cmd.Context(), marks)
		},
	}
	cmd.Flags().StringArrayVar(&noted, "noted", nil, "an earlier head, NUMBER:HASH, that must still be there; may be repeated")
	return cmd
}

func (a *app) verifyJournal(ctx context.Context, noted []journal.Mark) error {
	j, done, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	defer done()
	told := a.now()
	report, err := j.Verify(ctx, noted, func(entries uint64) {
		if now := a.now(); now.Sub(told) > 2*time.Second {
			told = now
			a.progress("%d entries", entries)
		}
	})
	if err != nil {
		return err
	}
	v := view{document: report, table: table{columns: []string{"ENTRIES", "WHOLE", "HEAD"}}}
	head := "-"
	if report.Head.Number > 0 {
		head = fmt.Sprintf("%d:%s", report.Head.Number, report.Head.Hash)
	}
	v.table.add(strconv.FormatUint(report.Entries, 10), map[bool]string{true: "yes", false: "no"}[report.Broken == nil], head)
	if err := a.show(v); err != nil {
		return err
	}
	if report.Broken != nil {
		return advice.Of(advice.Difference, "compare with a backup of stream JOURNAL; quotectl journal list --before "+strconv.FormatUint(report.Broken.Sequence, 10), "the journal is broken at JOURNAL:%d: %s", report.Broken.Sequence, report.Broken.Why)
	}
	return nil
}

// openJournal connects to the log alone.
func (a *app) openJournal(ctx context.Context) (*journal.Journal, func(), error) {
	c, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return journal.New(log, a.now), nc.Close, nil
}

// journaled carries an action of this person out and records it, whatever came of it.
func (a *app) journaled(ctx context.Context, log *natsstream.Log, e journal.Entry, act func(e *journal.Entry) error) error {
	e.Who = who()
	return journal.New(log, a.now).Around(ctx, e, act)
}

// who is the person at the command line: user@host.
func who() string {
	name := "uid" + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return name + "@" + host
}

// reason is why something is done: as given, or asked for on a terminal.
func (a *app) reason(cmd *cobra.Command, given string) (string, error) {
	given = strings.TrimSpace(given)
	if given != "" {
		return given, nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprint(a.err, "reason (goes into the journal): ")
		line, err := bufio.NewReader(in).ReadString('\n')
		if given = strings.TrimSpace(line); err == nil && given != "" {
			return given, nil
		}
	}
	return "", usage(cmd, "--reason is missing: say why, for the journal")
}
