// Package signatures reads from ingress's figures what became of the signatures of requests, and says what a refusal means.
//
// What ingress refuses is in no log: its own figures are the one place that tells, and only since it started, and of the one
// instance that answers at the address. It judges nothing: check, doctor and why do.
package signatures

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/operations/scrape"
)

// Figures are ingress's since its start. Times are on the clock of whoever asks: ingress's own may be what is wrong.
type Figures struct {
	// Since is when ingress started, zero where it does not say.
	Since time.Time `json:"since,omitzero"`
	// Good are requests whose signature was right; Bad those of each reason that says it was not.
	Good float64            `json:"good"`
	Bad  map[string]float64 `json:"bad"`
	// LastGood is when a webhook of Stripe's was right last, LastBad when something was refused last, by reason; zero for
	// never since the start, or where ingress is of a version that does not say.
	LastGood time.Time            `json:"last_good,omitzero"`
	LastBad  map[string]time.Time `json:"last_bad,omitempty"`
}

// meaning explains the reasons under which ingress counts refused signatures.
var meaning = map[string]string{
	"missing_signature":     "no signature: not Stripe",
	"malformed_signature":   "a header that Stripe never sends",
	"no_matching_signature": "a changed body, another endpoint's or mode's secret, or a forgery",
	"stale":                 "genuine and more than 5 min old: this machine's clock is ahead, or an old delivery was sent again",
	"future":                "genuine and dated ahead: this machine's clock is behind",
}

// failures are the reasons that a sender with a wrong secret or clock causes. A request without a signature is anybody's.
var failures = []string{"future", "no_matching_signature", "stale"}

// From Enough failures on, and such a share of all signatures, they are a matter of secrets or clocks although others are right:
// below, one forger makes a share. The alert SignaturesFail has the same numbers.
const (
	Enough   = 5
	Worrying = 0.05
)

// Meaning explains a reason of a refusal; "" for one that is not about a signature.
func Meaning(reason string) string { return meaning[reason] }

// Strangers reports whether a reason is that of requests that do not come from Stripe.
func Strangers(reason string) bool {
	return meaning[reason] != "" && !slices.Contains(failures, reason)
}

// Read asks ingress's admin address. It takes three seconds at most. clock is that of whoever asks.
func Read(ctx context.Context, adminURL string, clock func() time.Time) (*Figures, error) {
	page, err := scrape.Read(ctx, adminURL)
	if err != nil {
		return nil, err
	}
	ahead := time.Duration(0)
	if !page.Clock.IsZero() {
		ahead = page.Clock.Sub(clock().Truncate(time.Second))
	}
	at := func(seconds float64) time.Time {
		if seconds <= 0 {
			return time.Time{}
		}
		return time.UnixMilli(int64(seconds * 1000)).Add(-ahead).UTC()
	}
	f := Figures{Bad: map[string]float64{}, LastBad: map[string]time.Time{}}
	for _, s := range page.Of("quittance_webhooks_received_total") {
		if s.Labels["outcome"] != "refused" {
			f.Good += s.Value
		}
	}
	for _, s := range page.Of("quittance_webhooks_refused_total") {
		f.Bad[s.Labels["reason"]] = s.Value
	}
	for _, s := range page.Of("process_start_time_seconds") {
		f.Since = at(s.Value)
	}
	for _, s := range page.Of("quittance_webhooks_verified_last_timestamp_seconds") {
		f.LastGood = at(s.Value)
	}
	for _, s := range page.Of("quittance_webhooks_refused_last_timestamp_seconds") {
		if last := at(s.Value); !last.IsZero() {
			f.LastBad[s.Labels["reason"]] = last
		}
	}
	return &f, nil
}

// Failures is how many signatures were wrong that a wrong secret or clock makes wrong.
func (f *Figures) Failures() float64 {
	sum := 0.0
	for _, reason := range failures {
		sum += f.Bad[reason]
	}
	return sum
}

// Share is that of the failures among all signatures, 0 to 1.
func (f *Figures) Share() float64 {
	bad := f.Failures()
	if bad == 0 {
		return 0
	}
	return bad / (bad + f.Good)
}

// LastFailure is when the last of them was, zero where that is not known.
func (f *Figures) LastFailure() time.Time {
	var last time.Time
	for _, reason := range failures {
		if at := f.LastBad[reason]; at.After(last) {
			last = at
		}
	}
	return last
}

// Reasons lists the failures by reason with what each means, the most frequent first.
func (f *Figures) Reasons() string {
	reasons := slices.Sorted(maps.Keys(f.Bad))
	slices.SortStableFunc(reasons, func(a, b string) int { return int(f.Bad[b] - f.Bad[a]) })
	var parts []string
	for _, reason := range reasons {
		if f.Bad[reason] > 0 && slices.Contains(failures, reason) {
			parts = append(parts, fmt.Sprintf("%.0f %s (%s)", f.Bad[reason], reason, meaning[reason]))
		}
	}
	return strings.Join(parts, ", ")
}
