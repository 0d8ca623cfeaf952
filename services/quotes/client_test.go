package quotes

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestOnlyTrustedProxiesSayWhoAClientIs(t *testing.T) {
	trusted, err := ParseProxies("127.0.0.1, 10.0.0.0/8,fd00::/8,")
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{cfg: Config{TrustedProxies: trusted}}
	for _, tt := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.7:4711", nil, "203.0.113.7/32"},
		{"203.0.113.7:4711", []string{"198.51.100.1"}, "203.0.113.7/32"}, // anybody can write the header
		{"10.1.2.3:80", []string{"198.51.100.1"}, "198.51.100.1/32"},
		{"10.1.2.3:80", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1/32"}, // what the client wrote comes first
		{"10.1.2.3:80", []string{"192.0.2.66", "198.51.100.1, 10.9.9.9"}, "198.51.100.1/32"},
		{"10.1.2.3:80", []string{"10.9.9.9, 10.8.8.8"}, "10.9.9.9/32"},
		{"10.1.2.3:80", []string{"198.51.100.1:5050"}, "198.51.100.1/32"},
		{"10.1.2.3:80", []string{"198.51.100.1, nonsense"}, "10.1.2.3/32"},
		{"10.1.2.3:80", nil, "10.1.2.3/32"},
		{"[::ffff:10.1.2.3]:80", []string{"::ffff:198.51.100.1"}, "198.51.100.1/32"},
		{"[fd00::1]:80", []string{"[2001:db8:1:2:3::4]:443"}, "2001:db8:1:2::/64"},
		{"[2001:db8:1:2:3::4%eth0]:80", nil, "2001:db8:1:2::/64"},
		{"@", nil, "invalid Prefix"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.remote
		for _, v := range tt.forwarded {
			r.Header.Add("X-Forwarded-For", v)
		}
		if got := s.clientOf(r).String(); got != tt.want {
			t.Errorf("%s %q: %s, want %s", tt.remote, tt.forwarded, got, tt.want)
		}
	}
	for _, wrong := range []string{"10.0.0.0/33", "proxy.example", "fe80::1%eth0"} {
		if _, err := ParseProxies(wrong); err == nil {
			t.Errorf("ParseProxies(%q) = nil", wrong)
		}
	}
}

func TestAThrottleRemembersABoundedNumberOfClients(t *testing.T) {
	const clients = 100
	throttle := newThrottle(2, clients)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	client := func(i int) netip.Prefix {
		return netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	for i := range 10 * clients {
		if wait := throttle.take(client(i), 1, now); wait != 0 {
			t.Fatalf("client %d waits %s at his first request", i, wait)
		}
		if n := len(throttle.young) + len(throttle.old); n > clients {
			t.Fatalf("%d clients are remembered", n)
		}
	}
	// One who comes again and again is not forgotten, however many others come.
	greedy, spent := netip.MustParsePrefix("192.0.2.1/32"), 0
	for i := range 10 * clients {
		throttle.take(client(i), 1, now)
		if throttle.take(greedy, 1, now) == 0 {
			spent++
		}
	}
	if want := 2 * burstSeconds; spent != want {
		t.Errorf("%d requests went through, want %d", spent, want)
	}
	if wait := throttle.take(greedy, 1, now); wait != 500*time.Millisecond {
		t.Errorf("wait = %s", wait)
	}
	if wait := throttle.take(greedy, 1, now.Add(time.Second)); wait != 0 {
		t.Errorf("wait after a second = %s", wait)
	}
}
