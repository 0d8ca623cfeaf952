package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"quittance.internal/libs/domain/delivery"
)

func TestOnlyWhatIsMarkedPermanentIsSetAside(t *testing.T) {
	broken := errors.New("no JSON")
	for _, tt := range []struct {
		err  error
		want delivery.Disposition
	}{
		{nil, delivery.Ack{}},
		{broken, delivery.Retry{After: 250 * time.Millisecond}},
		{context.Canceled, delivery.Retry{After: 250 * time.Millisecond}},
		{delivery.Permanent(broken), delivery.Dead{Reason: "no JSON"}},
		{fmt.Errorf("decode evt_1: %w", delivery.Permanent(broken)), delivery.Dead{Reason: "decode evt_1: no JSON"}},
		{errors.Join(context.Canceled, delivery.Permanent(broken)), delivery.Dead{Reason: "context canceled\nno JSON"}},
	} {
		if got := delivery.Of(tt.err, 1, delivery.Curve{}); got != tt.want {
			t.Errorf("Of(%v) = %#v, want %#v", tt.err, got, tt.want)
		}
	}
	if err := delivery.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v, want nil", err)
	}
	if !errors.Is(delivery.Permanent(broken), broken) {
		t.Error("Permanent hides its cause")
	}
}

func TestNamesAreTheOnesOfMetrics(t *testing.T) {
	for want, d := range map[string]delivery.Disposition{"ack": delivery.Ack{}, "retry": delivery.Retry{}, "dead": delivery.Dead{}} {
		if got := d.String(); got != want {
			t.Errorf("%#v.String() = %q, want %q", d, got, want)
		}
	}
}

func TestBackoffDoublesUpToItsCap(t *testing.T) {
	ms := time.Millisecond
	for attempt, want := range map[uint64]time.Duration{
		0: 250 * ms, 1: 250 * ms, 2: 500 * ms, 3: 1000 * ms, 8: 32 * time.Second, 9: time.Minute, 10: time.Minute, math.MaxUint64: time.Minute,
	} {
		if got := delivery.Backoff(attempt); got != want {
			t.Errorf("Backoff(%d) = %v, want %v", attempt, got, want)
		}
	}
	for _, c := range []delivery.Curve{
		{First: time.Hour, Cap: time.Minute}, {First: math.MaxInt64, Cap: math.MaxInt64}, {First: 3, Cap: math.MaxInt64}, {First: -1, Cap: -1}, {First: 1, Cap: 1},
	} {
		last := time.Duration(0)
		for attempt := range uint64(200) {
			got := c.After(attempt)
			if got <= 0 || got < last || (c.Cap > 0 && got > c.Cap) {
				t.Fatalf("%+v.After(%d) = %v after %v, want it to grow within the cap", c, attempt, got, last)
			}
			last = got
		}
	}
}
