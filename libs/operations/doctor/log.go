package doctor

import (
	"context"
	"fmt"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

const nextNATS = "check that NATS runs and that NATS_URL, NATS_CREDS and NATS_CA fit it"

// log looks at the connection and at the server's clock.
func (p *Patient) log(ctx context.Context) []Result {
	if p.Log == nil {
		return []Result{result("nats", Fail, nextNATS, "%v", p.NoLog)}
	}
	nc := p.Log.JetStream().Conn()
	if !nc.IsConnected() {
		return []Result{result("nats", Fail, nextNATS, "the connection is %s", nc.Status())}
	}
	all := []Result{result("nats", OK, "", "connected to %s %s", nc.ConnectedServerName(), nc.ConnectedServerVersion())}
	before := p.Now()
	stream, err := p.Log.JetStream().Stream(ctx, event.StreamStripe)
	if err != nil {
		return append(all, result("clock of nats", NotChecked, "", "%v", err))
	}
	return append(all, skew("clock of nats", stream.CachedInfo().TimeStamp, before, p.Now()))
}

// drift compares the streams, buckets and consumers with what this version declares.
func (p *Patient) drift(ctx context.Context) []Result {
	const name = "streams and consumers"
	if p.Log == nil {
		return nil // log has said it
	}
	drifted, err := natsstream.Drift(ctx, p.Log.JetStream())
	if err != nil {
		return []Result{result(name, Fail, nextNATS, "%v", err)}
	}
	all := make([]Result, len(drifted))
	for i, d := range drifted {
		all[i] = result(name, Fail, "quotectl declare", "%s", d)
	}
	if len(all) == 0 {
		all = []Result{result(name, OK, "", "as this version declares them, schema %d", natsstream.Schema)}
	}
	return all
}

// storage looks at what the monitoring port tells: sync_interval and space.
func (p *Patient) storage(ctx context.Context) []Result {
	if p.MonitorURL == "" {
		return skipped("nats storage", "set NATS_MONITOR_URL", "sync_interval and space: NATS_MONITOR_URL is not set")
	}
	s, err := natsstream.ReadStorage(ctx, p.MonitorURL)
	if err != nil {
		return skipped("nats storage", "check NATS_MONITOR_URL", "sync_interval and space: %v", err)
	}
	sync := result("sync_interval", OK, "", "each message is on disk before it is acknowledged")
	switch {
	case s.SyncAlways:
	case p.Barrier:
		sync = result("sync_interval", OK, "", "the services sync the server's store before they answer: DURABILITY=barrier")
	default:
		sync = result("sync_interval", Fail, "set sync_interval: always in the jetstream block of nats-server.conf (where the services run with DURABILITY=barrier, set that for quotectl, too)",
			"a power cut would lose acknowledged events")
	}
	used := 0.0
	if s.Max > 0 {
		used = float64(s.Used) / float64(s.Max)
	}
	space := result("nats space", OK, "", "%s of %s used (%.0f %%)", bytes(s.Used), bytes(s.Max), used*100)
	if used > 0.8 {
		space.Status, space.Next = Warn, "deploy/runbooks/log-store-filling.md"
	}
	if used > 0.95 {
		space.Status = Fail
	}
	return []Result{sync, space, p.natsDisk(s)}
}

func bytes(n uint64) string {
	const unit = 1 << 10
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/unit/unit/unit)
	case n >= unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/unit)
}
