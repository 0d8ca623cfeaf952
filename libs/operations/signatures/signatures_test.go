package signatures_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"quittance.internal/libs/operations/signatures"
)

// An ingress whose clock is wrong refuses for that very reason, and dates its refusals wrongly.
func TestTimesAreOnTheClockOfWhoeverAsks(t *testing.T) {
	theirs := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	ours := theirs.Add(2 * time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Date", theirs.Format(http.TimeFormat))
		at := func(ago time.Duration) int64 { return theirs.Add(-ago).Unix() }
		fmt.Fprintf(rw, "quittance_webhooks_received_total{outcome=\"stored\"} 7\nquittance_webhooks_received_total{outcome=\"duplicate\"} 2\n"+
			"quittance_webhooks_received_total{outcome=\"refused\"} 5\nquittance_webhooks_refused_total{reason=\"future\"} 3\n"+
			"quittance_webhooks_refused_total{reason=\"stale\"} 0\nquittance_webhooks_refused_total{reason=\"missing_signature\"} 2\n"+
			"process_start_time_seconds %d\nquittance_webhooks_verified_last_timestamp_seconds 0\n"+
			"quittance_webhooks_refused_last_timestamp_seconds{reason=\"future\"} %d\nquittance_webhooks_refused_last_timestamp_seconds{reason=\"stale\"} 0\n"+
			"quittance_webhooks_refused_last_timestamp_seconds{reason=\"missing_signature\"} %d\n", at(time.Hour), at(10*time.Minute), at(0))
	}))
	defer server.Close()
	f, err := signatures.Read(t.Context(), server.URL, func() time.Time { return ours.Add(300 * time.Millisecond) })
	if err != nil {
		t.Fatal(err)
	}
	if !f.Since.Equal(ours.Add(-time.Hour)) || !f.LastFailure().Equal(ours.Add(-10*time.Minute)) || !f.LastGood.IsZero() || !f.LastBad["stale"].IsZero() {
		t.Errorf("Read = %+v, want times two hours later than the ingress says", f)
	}
	if f.Failures() != 3 || f.Good != 9 || f.Share() != 0.25 {
		t.Errorf("failures %v, good %v, share %v; want 3, 9, 0.25", f.Failures(), f.Good, f.Share())
	}
	if got, want := f.Reasons(), "3 future (genuine and dated ahead: this machine's clock is behind)"; got != want {
		t.Errorf("Reasons = %q, want %q", got, want)
	}
}
