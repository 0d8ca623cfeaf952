package doctor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/stripegate"
)

// WebhookPath is where ingress takes webhooks.
const WebhookPath = "/webhooks/stripe"

// retried is how long Stripe repeats a delivery: a secret that is unused for longer signs nothing that may still come.
const retried = 3 * 24 * time.Hour

// use is what the log tells of one secret.
type use struct {
	name   string
	events int
	last   time.Time
	source map[string]bool
}

// secrets tells from the stored events which secrets verified them, and which of those configured is no longer used.
func (p *Patient) secrets(ctx context.Context) []Result {
	const name = "signing secrets"
	if p.Log == nil {
		return skipped(name, nextNATS, "no connection to NATS")
	}
	uses, rendered, looked, err := p.uses(ctx)
	if err != nil {
		return skipped(name, nextNATS, "%v", err)
	}
	if looked == 0 {
		return skipped(name, "quotectl check silence", "no event is stored yet")
	}
	var all []Result
	var newest time.Time
	for _, u := range uses {
		if u.source[event.SourceWebhook] && u.last.After(newest) {
			newest = u.last
		}
	}
	for _, u := range slices.SortedFunc(maps.Values(uses), func(a, b *use) int { return b.last.Compare(a.last) }) {
		r := result("secret "+u.name, OK, "", "verified %d of the last %d events, last %s (%s)", u.events, looked, u.last.UTC().Format(time.RFC3339),
			strings.Join(slices.Sorted(maps.Keys(u.source)), ", "))
		if u.source[event.SourceWebhook] && newest.Sub(u.last) > retried {
			r.Status, r.Next = Warn, "take "+u.name+" out of STRIPE_WEBHOOK_SECRETS of ingress, if it is still there"
			r.Found += ": unused while others verified for longer than Stripe repeats: safe to remove"
		}
		all = append(all, r)
	}
	for _, configured := range p.Secrets {
		if uses[configured] == nil {
			all = append(all, result("secret "+configured, OK, "", "configured here, and verified none of the last %d events", looked))
		}
	}
	return append(all, versions(rendered, looked)...)
}

// uses reads the last events: the secrets that verified them, the API versions in which they are, and how many they are.
func (p *Patient) uses(ctx context.Context) (map[string]*use, map[string]int, int, error) {
	stream, err := p.Log.JetStream().Stream(ctx, event.StreamStripe)
	if err != nil {
		return nil, nil, 0, err
	}
	from := uint64(1)
	if last := stream.CachedInfo().State.LastSeq; last > uint64(p.Events) { //nolint:gosec // a small positive number
		from = last - uint64(p.Events) + 1 //nolint:gosec // as above
	}
	uses, rendered, looked := map[string]*use{}, map[string]int{}, 0
	for looked < p.Events {
		const page = 1000
		records, err := p.Log.Scan(ctx, event.StreamStripe, from, page)
		if err != nil {
			return nil, nil, 0, err
		}
		for _, m := range records {
			from = m.Sequence + 1
			looked++
			if _, readable := event.ParseStripeSubject(m.Subject); readable {
				rendered[m.Header.Get(event.HeaderAPIVersion)]++
			}
			name := cmp.Or(m.Header.Get(event.HeaderSecretName), "(none)")
			u := uses[name]
			if u == nil {
				u = &use{name: name, source: map[string]bool{}}
				uses[name] = u
			}
			u.events++
			at, err := time.Parse(time.RFC3339Nano, m.Header.Get(event.HeaderReceivedAt))
			if err != nil {
				at = m.Time
			}
			if at.After(u.last) {
				u.last = at
			}
			u.source[m.Header.Get(event.HeaderSource)] = true
		}
		if len(records) < page {
			break
		}
	}
	return uses, rendered, looked, nil
}

// stripe looks at the key, Stripe's clock and the endpoints.
func (p *Patient) stripe(ctx context.Context) []Result {
	if p.Stripe == nil {
		return skipped("stripe", "set STRIPE_API_KEY (a restricted key that may read webhook endpoints and events is enough) and MODE",
			"endpoints, key and clock: STRIPE_API_KEY is not set")
	}
	before := p.Now()
	endpoints, date, err := p.Stripe.Endpoints(ctx)
	switch {
	case stripegate.Unauthorized(err):
		return []Result{result("stripe key", Fail, "compare STRIPE_API_KEY with the dashboard", "Stripe does not know the key")}
	case stripegate.Forbidden(err):
		return skipped("stripe endpoints", "give the restricted key the right to read webhook endpoints", "the key may not read them")
	case err != nil:
		return skipped("stripe endpoints", "quotectl doctor", "%v", err)
	}
	all := []Result{p.key()}
	if !date.IsZero() { // whole seconds
		all = append(all, skew("clock of stripe", date.Add(time.Second/2), before.Add(-time.Second), p.Now().Add(time.Second)))
	}
	return append(all, p.judgeEndpoints(endpoints)...)
}

// key judges the kind of the operator's key: looking needs no right to charge.
func (p *Patient) key() Result {
	if p.Mode == event.ModeLive && strings.HasPrefix(p.StripeKey, "sk_") {
		return result("stripe key", Warn, "make a restricted key (rk_live_…) for operators, with the right to read", "accepted; it is a full secret key of live mode, and looking needs none")
	}
	return result("stripe key", OK, "", "accepted, %s mode", p.Mode)
}
