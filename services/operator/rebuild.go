package operator

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/natsstream"
)

// rebuilding are the flags of rebuild: one of the first four.
type rebuilding struct {
	verify, over, cancel, status bool
	detach                       bool
	reason                       string
	tempDir                      string
}

func (a *app) rebuildCommand() *cobra.Command {
	var o rebuilding
	cmd := &cobra.Command{
		Use:   "rebuild --verify | --switch | --cancel | --status",
		Short: "Prove that Redis holds what the log says; make it anew from the log",
		Long: `--verify folds the whole log, from its first message, compares every quote with
Redis (facts, status, flags), and prints one hash over all of each side. It exits with 3
where they differ and lists the differences, each with the next command. It changes
nothing. What is in flight is waited for, so that a busy system shows no false difference.
It works through the log in parts, so that a long log takes no more memory than a short
one, and keeps half a kilobyte for each event in temporary files: in --temp-dir, else in
TMPDIR, else in /tmp (where that is memory, take another). They are yours alone, hold no
personal data, and are gone when the command ends, however it ends.

--switch lets payments fold the log into a fresh generation of Redis keys while it keeps
the old one up to date, then go over to it without a pause in service and remove the old
keys. Nothing is published or mailed twice. It may be interrupted: payments goes on by
itself, also after a crash; --status says how far it is. --cancel gives it up as long as
it has not gone over.

` + exitCodeHelp,
		Example: `  quotectl rebuild --verify
  quotectl rebuild --verify -o json | jq .differences
  quotectl rebuild --verify --temp-dir /var/tmp
  quotectl rebuild --switch --reason "ticket 4711"
  quotectl rebuild --status`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := 0
			for _, set := range []bool{o.verify, o.over, o.cancel, o.status} {
				if set {
					n++
				}
			}
			switch {
			case n != 1:
				return usage(cmd, "say what to do, one of --verify, --switch, --cancel, --status")
			case o.verify:
				return a.verify(cmd.Context(), o.tempDir)
			case o.status:
				return a.rebuildStatus(cmd.Context())
			}
			reason, err := a.reason(cmd, o.reason)
			if err != nil {
				return err
			}
			o.reason = reason
			return a.rebuild(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.verify, "verify", false, "compare the log with Redis")
	f.BoolVar(&o.over, "switch", false, "fold the log into a fresh generation of keys and go over to it")
	f.BoolVar(&o.cancel, "cancel", false, "give up a rebuild that has not gone over yet")
	f.BoolVar(&o.status, "status", false, "say how far the newest rebuild is")
	f.BoolVar(&o.detach, "detach", false, "with --switch: do not wait for its end")
	f.StringVar(&o.tempDir, "temp-dir", "", "with --verify: where to keep temporary files, half a kilobyte for each event")
	f.StringVar(&o.reason, "reason", "", "why, for the journal; asked for on a terminal")
	return cmd
}

// rebuild asks payments for a rebuild, or to give one up, and follows it to its end.
func (a *app) rebuild(ctx context.Context, o rebuilding) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	var state natsstream.RebuildState
	action := map[bool]string{false: "rebuild_switch", true: "rebuild_cancel"}[o.cancel]
	err = a.journaled(ctx, log, journal.Entry{Action: action, Reason: o.reason}, func(e *journal.Entry) error {
		state, err = rebuild.Ask(ctx, nc, natsstream.RebuildRequest{Cancel: o.cancel, By: who(), Reason: o.reason})
		e.Target, e.Before, e.After = state.Generation, state.From, state.Generation
		if o.cancel {
			e.Before, e.After = natsstream.RebuildFolding, state.Phase
		}
		return err
	})
	if err != nil {
		return err
	}
	if !o.cancel && !o.detach {
		say := func(text string) { a.progress("%s", text) }
		if state, err = rebuild.Follow(ctx, log, state.Generation, a.now, a.bar(), say); err != nil {
			return err
		}
	}
	return a.showRebuild(state)
}

func (a *app) rebuildStatus(ctx context.Context) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	state, err := log.RebuildState(ctx)
	if err != nil {
		return err
	}
	if state.Phase == "" {
		return notFound("quotectl rebuild --verify", "there was no rebuild yet")
	}
	return a.showRebuild(state)
}

func (a *app) showRebuild(s natsstream.RebuildState) error {
	v := view{document: s, table: table{columns: []string{"GENERATION", "FROM", "PHASE", "BEGAN", "SWITCHED", "ENDED", "FOLDED", "OLD KEYS REMOVED", "BY", "REASON"}}}
	parts := make([]string, 0, len(s.End))
	for _, stream := range slices.Sorted(maps.Keys(s.End)) {
		parts = append(parts, fmt.Sprintf("%s %d of %d", stream, s.Done[stream], s.End[stream]))
	}
	v.table.add(s.Generation, s.From, s.Phase, a.clock(s.Began), a.clock(s.Switched), a.clock(s.Ended), dash(strings.Join(parts, ", ")),
		number(s.Removed), dash(s.By), dash(s.Reason))
	if s.Trouble != "" {
		v.after = append(v.after, "trouble: "+s.Trouble)
	}
	if s.Phase == natsstream.RebuildDone {
		v.after = append(v.after, "prove it: quotectl rebuild --verify")
	}
	return a.show(v)
}

func (a *app) verify(ctx context.Context, tempDir string) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.needsRedis("there is nothing to compare with"); err != nil {
		return err
	}
	v := rebuild.Verifier{Log: b.log, Redis: b.redis, Now: a.now, Progress: a.bar(), TempDir: tempDir}
	report, err := v.Verify(ctx)
	if err != nil {
		return err
	}
	if err := a.show(verifyView(report)); err != nil {
		return err
	}
	switch {
	case len(report.Differences) > 0:
		return advice.Of(advice.Difference, report.Differences[0].Next, "%d quotes differ from the log", len(report.Differences))
	case report.InFlight > 0:
		return advice.Of(advice.Difference, "look at payments' /readyz and log; quotectl rebuild --verify", "%d quotes could not be compared: payments has not come to their newest messages", report.InFlight)
	}
	return nil
}

func verifyView(r *rebuild.Report) view {
	v := view{document: r, items: []any{}, table: table{columns: []string{"ACCOUNT", "QUOTE", "WHY", "LOG", "REDIS", "+LOG DIGEST", "+REDIS DIGEST", "NEXT"}}}
	for _, d := range r.Differences {
		v.items = append(v.items, d)
		v.table.add(d.Account, d.Quote, d.Kind, sideText(d.Log), sideText(d.Redis), digestText(d.Log), digestText(d.Redis), d.Next)
	}
	if len(r.Differences) == 0 {
		v.items = append(v.items, r)
	}
	word := "equal"
	if !r.Equal() {
		word = "DIFFERENT"
	}
	v.after = []string{
		fmt.Sprintf("%d quotes of generation %s compared, %d differ, %d in flight; %d messages folded at %.0f a second, %s in all",
			r.Quotes, r.Generation, len(r.Differences), r.InFlight, r.Messages, r.PerSecond, elapsed(time.Duration(r.TookMS)*time.Millisecond)),
		"root of the log    " + r.LogRoot,
		"root of redis      " + r.RedisRoot + "  " + word,
	}
	if r.Unsent > 0 {
		v.after = append(v.after, fmt.Sprintf("%d facts are due and not in the log yet", r.Unsent))
	}
	return v
}

func sideText(s *rebuild.Side) string {
	if s == nil {
		return "-"
	}
	return strings.TrimSpace(s.Status + " " + s.Flags)
}

func digestText(s *rebuild.Side) string {
	if s == nil {
		return "-"
	}
	return s.Digest
}

// bar shows the progress of a long task on stderr: one line that is drawn again on a terminal, plain lines otherwise.
func (a *app) bar() func(rebuild.Progress) {
	f, ok := a.err.(*os.File)
	drawn := ok && term.IsTerminal(int(f.Fd()))
	return func(p rebuild.Progress) {
		text := fmt.Sprintf("%-12s %9d of %d", p.Step, p.Done, p.Of)
		if p.PerSecond > 0 {
			text += fmt.Sprintf("  %.0f/s", p.PerSecond)
		}
		if p.Left > 0 {
			text += "  " + elapsed(p.Left.Round(time.Second)) + " left"
		}
		if !drawn {
			a.progress("%s", text)
			return
		}
		end := "\r"
		if p.Done >= p.Of {
			end = "\n"
		}
		const width = 20
		full := width
		if p.Of > 0 {
			full = int(min(p.Done, p.Of) * width / p.Of) //nolint:gosec // at most width
		}
		fmt.Fprintf(a.err, "\r\x1b[K[%s%s] %s%s", strings.Repeat("#", full), strings.Repeat(".", width-full), text, end)
	}
}
