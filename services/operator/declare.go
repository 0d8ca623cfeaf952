package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
)

// declareTimeout bounds the whole declaration; creating replicated streams takes seconds.
const declareTimeout = time.Minute

// notClustered is the server's error code for more copies than a server alone can have.
const notClustered jetstream.ErrorCode = 10074

// ownStreams are the streams that natsstream.Declare makes; buckets are streams named KV_… below that.
var (
	ownStreams = []string{event.StreamStripe, event.StreamQuotes, event.StreamSellers, event.StreamDead, event.StreamTimers, event.StreamJournal}
	ownBuckets = []string{event.BucketMail, event.BucketSystem, event.BucketReplays}
)

// declaration is what declare says of one stream, bucket or consumer.
type declaration struct {
	Kind string `json:"kind"` // stream, bucket or consumer
	Name string `json:"name"`
	// Result is created, changed or unchanged.
	Result string `json:"result"`
	// Changed names the settings that were brought up to date.
	Changed []string `json:"changed,omitempty"`
}

func (a *app) declareCommand() *cobra.Command {
	var replicas int
	var check bool
	var reason string
	cmd := &cobra.Command{
		Use:   "declare",
		Short: "Create or update the log's streams, buckets and consumers",
		Long: `Creates what is missing of the log's streams, key-value buckets and consumers, brings the
settings of the others up to this version, and says what it did. It can be repeated at any
time; nothing stored is touched. Only one declare may run at a time. What it created or
changed goes into the journal.

With --check it changes nothing and reports what differs from what this version needs;
the exit code is 3 when something does.

` + exitCodeHelp,
		Example: `  quotectl declare
  quotectl declare --replicas 3
  quotectl declare --check`,
		Args: exact(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return a.checkDeclared(cmd.Context())
			}
			if cmd.Flags().Changed("replicas") && replicas != 1 && replicas != 3 && replicas != 5 {
				return usage(cmd, "--replicas is %d; a stream has 1, 3 or 5", replicas)
			}
			return a.declare(cmd.Context(), replicas, reason)
		},
	}
	cmd.Flags().IntVar(&replicas, "replicas", 0, "copies of each stream and bucket: 1, or 3 or 5 on a cluster; as many as\nthere are if not given, and 1 of what is new")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, report what differs")
	return cmd
}

func (a *app) declare(ctx context.Context, replicas int, reason string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()

	before, err := snapshot(ctx, log.JetStream())
	if err != nil {
		return err
	}
	if err := natsstream.Declare(ctx, nc, natsstream.Options{Replicas: replicas}); err != nil {
		next := "quotectl declare --check"
		if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == notClustered {
			next = "quotectl declare --replicas 1: this server is not in a cluster"
		}
		return advise(next, "%w", err)
	}
	after, err := snapshot(ctx, log.JetStream())
	if err != nil {
		return err
	}
	all := compare(before, after)
	if err := a.showDeclarations(all); err != nil {
		return err
	}
	return a.recordDeclaration(ctx, log, all, reason)
}

// recordDeclaration notes what was created or changed; a declaration that changed nothing is no action.
func (a *app) recordDeclaration(ctx context.Context, log *natsstream.Log, all []declaration, reason string) error {
	all = slices.DeleteFunc(all, func(d declaration) bool { return d.Result == "unchanged" })
	if len(all) == 0 {
		return nil
	}
	return journal.New(log, a.now).Note(ctx, journal.Entry{Action: "declare", Who: who(), Reason: reason, Target: "log", Detail: all})
}

// checkDeclared compares without changing anything.
func (a *app) checkDeclared(ctx context.Context) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()

	drifted, err := natsstream.Drift(ctx, log.JetStream())
	if err != nil {
		return err
	}
	type drift struct {
		What string `json:"what"`
	}
	v := view{items: []any{}}
	for _, what := range drifted {
		v.items = append(v.items, drift{what})
	}
	v.document = v.items
	if err := a.show(v); err != nil {
		return err
	}
	if len(drifted) > 0 {
		return advice.Of(advice.Difference, "quotectl declare", "the log is not as this version needs it:\n%s", strings.Join(drifted, "\n"))
	}
	a.progress("streams, buckets and consumers are as this version needs them")
	return nil
}

// part is one stream, bucket or consumer: its kind and name.
type part struct{ kind, name string }

// snapshot reads the configuration of everything that declare makes and that exists.
func snapshot(ctx context.Context, js jetstream.JetStream) (map[part]map[string]any, error) {
	found := map[part]map[string]any{}
	for _, name := range ownStreams {
		if err := addStream(ctx, js, found, part{"stream", name}, name); err != nil {
			return nil, err
		}
	}
	for _, name := range ownBuckets {
		if err := addStream(ctx, js, found, part{"bucket", name}, "KV_"+name); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func addStream(ctx context.Context, js jetstream.JetStream, found map[part]map[string]any, p part, name string) error {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s %s: %w", p.kind, p.name, err)
	}
	if found[p], err = settings(stream.CachedInfo().Config); err != nil {
		return err
	}
	if p.kind == "bucket" {
		return nil
	}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if info.Config.Durable == "" {
			continue
		}
		if found[part{"consumer", p.name + "/" + info.Name}], err = settings(info.Config); err != nil {
			return err
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", name, err)
	}
	return nil
}

// settings is a configuration by the server's own names.
func settings(config any) (map[string]any, error) {
	b, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode configuration: %w", err)
	}
	return m, nil
}

// compare says of everything that exists now what became of it, streams first.
func compare(before, after map[part]map[string]any) []declaration {
	order := map[string]int{"stream": 0, "bucket": 1, "consumer": 2}
	parts := slices.SortedFunc(maps.Keys(after), func(x, y part) int {
		if d := order[x.kind] - order[y.kind]; d != 0 {
			return d
		}
		return strings.Compare(x.name, y.name)
	})
	var all []declaration
	for _, p := range parts {
		d := declaration{Kind: p.kind, Name: p.name, Result: "unchanged"}
		old, existed := before[p]
		switch {
		case !existed:
			d.Result = "created"
		case !reflect.DeepEqual(old, after[p]):
			d.Result, d.Changed = "changed", differing(old, after[p])
		}
		all = append(all, d)
	}
	return all
}

func differing(old, now map[string]any) []string {
	names := map[string]bool{}
	for name := range old {
		names[name] = !reflect.DeepEqual(old[name], now[name])
	}
	for name := range now {
		names[name] = !reflect.DeepEqual(old[name], now[name])
	}
	maps.DeleteFunc(names, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(names))
}

func (a *app) showDeclarations(all []declaration) error {
	v := view{document: all, items: []any{}, table: table{columns: []string{"KIND", "NAME", "RESULT", "CHANGED"}}}
	for _, d := range all {
		v.items = append(v.items, d)
		v.table.add(d.Kind, d.Name, d.Result, dash(strings.Join(d.Changed, ",")))
	}
	return a.show(v)
}
