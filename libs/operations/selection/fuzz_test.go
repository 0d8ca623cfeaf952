package selection_test

import (
	"net/url"
	"testing"
	"time"

	"quittance.internal/libs/operations/selection"
)

// Whatever an operator types or a link holds, it is refused or means the same when it is read again later.
func FuzzParseReadsWhatItWrites(f *testing.F) {
	for _, query := range []string{
		"", "stream=quotes&quote=q_1,q_2&type=quote.*", "id=evt_1&outcome=failed", "since=2h&until=2026-11-25", "seq=1..5&limit=10", "seq=..7", "seq=9..",
		"since=1d12h", "since=65535d2562047h", "since=2026-03-29 02:30", "since=0001-01-01", "since=9999-12-31T23:59:59.999999999-23:59", "type=[", "limit=-1",
		"account=acct_*&source=reconcile", "seq=18446744073709551615..18446744073709551616", "stream=%00&quote=a.b",
	} {
		f.Add(query)
	}
	warsaw, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, warsaw)
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		first, err := selection.Parse(values, now)
		if err != nil {
			return
		}
		again, err := selection.Parse(first.Values(), now.Add(time.Hour))
		if err != nil {
			t.Fatalf("Parse(%q) = %+v, which is refused when it is read again: %v", query, first, err)
		}
		if first.String() != again.String() || !first.Since.Equal(again.Since) || !first.Until.Equal(again.Until) || first.From != again.From || first.To != again.To {
			t.Errorf("Parse(%q) = %s, and then %s", query, first, again)
		}
	})
}

// A span leads to the past, however long it is.
func FuzzASpanLeadsToThePast(f *testing.F) {
	for _, text := range []string{"2h", "7d", "1d12h", "65535d", "65535d2562047h", "0s", "-1h", "1d-1h", "1e3h"} {
		f.Add(text)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 0 && text[len(text)-1] >= 'd' && text[len(text)-1] <= 's' { // a span, no date
			if at, err := selection.ParseTime(text, now); err == nil && at.After(now) {
				t.Errorf("ParseTime(%q) = %s, after %s", text, at, now)
			}
		}
	})
}
