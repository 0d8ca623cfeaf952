package quotes_test

import (
	"net/http"
	"net/netip"
	"testing"

	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/quotes"
)

// A cursor that is taken is where it says: written again it leads to the same place.
func FuzzACursorLeadsWhereItSays(f *testing.F) {
	for _, c := range []string{"", "MSBxXzE", "KzEgcV8x", "LTEgcSAx", "AAAA", "%"} {
		f.Add(c, int64(1), "q_1")
	}
	f.Fuzz(func(t *testing.T, text string, created int64, id string) {
		if got, ok := quotes.DecodeCursor(text); ok {
			if again, ok := quotes.DecodeCursor(quotes.EncodeCursor(got)); !ok || again != got {
				t.Errorf("DecodeCursor(%q) = %+v, again %+v, %v", text, got, again, ok)
			}
		}
		want := redisquote.Cursor{Created: created, ID: id}
		if got, ok := quotes.DecodeCursor(quotes.EncodeCursor(want)); id != "" && (!ok || got != want) {
			t.Errorf("cursor of %+v = %+v, %v", want, got, ok)
		}
	})
}

// Whatever a stranger writes into X-Forwarded-For, he stays who he is, unless a trusted proxy stands between.
func FuzzNobodyIsWhoHeSaysHeIs(f *testing.F) {
	for _, forwarded := range []string{"", "1.2.3.4", "1.2.3.4, 10.0.0.1", "[2001:db8::1]:80", "fe80::1%eth0", "::ffff:1.2.3.4", ",,", "10.0.0.2,10.0.0.3", "x, 10.0.0.1"} {
		f.Add("203.0.113.7:4711", forwarded)
		f.Add("10.0.0.1:4711", forwarded)
		f.Add("[fe80::1%eth0]:1", forwarded)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := quotes.ClientOf(r, proxies)
		alone := quotes.ClientOf(&http.Request{RemoteAddr: remote, Header: http.Header{}}, proxies)
		if at, err := netip.ParseAddrPort(remote); err == nil && !proxies[0].Contains(at.Addr().Unmap()) && got != alone {
			t.Errorf("%s says %q and is taken for %s, not for %s", remote, forwarded, got, alone)
		}
		if got.IsValid() && got != got.Masked() {
			t.Errorf("client %s has bits beyond its prefix", got)
		}
	})
}
