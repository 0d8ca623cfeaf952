package quotes

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Costs of requests without a token, in what PageRate counts: a check out calls
// Stripe, and a sign-in may be a guess.
const (
	costPage = 1
	costHigh = 10
)

// burstSeconds is how much of its rate a client may use at once: a page is five
// requests, and an office has one address.
const burstSeconds = 6

// throttleClients bounds how many clients are remembered, at about 200 bytes each.
const throttleClients = 50_000

// ParseProxies reads TRUSTED_PROXIES: addresses and prefixes, separated by commas,
// of those whose X-Forwarded-For is believed.
func ParseProxies(s string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
			list = append(list, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8", entry)
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

// clientOf is who a request comes from: the last address on its way that is not a
// trusted proxy's. What stands before that in X-Forwarded-For anybody may have
// written. IPv6 clients have a /64 each.
func (s *Service) clientOf(r *http.Request) netip.Prefix {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // all such clients are one
	}
	client := port.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusts(client); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = hop
	}
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(client.WithZone(""), bits).Masked()
}

func (s *Service) trusts(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address with or without a port.
func parseHop(hop string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr.Unmap(), true
	}
	port, err := netip.ParseAddrPort(hop)
	return port.Addr().Unmap(), err == nil
}

// throttle bounds how much each client may ask for. It remembers a bounded number
// of them, in two generations: when the younger one is full it becomes the older
// one, and those that were only in that are forgotten. Safe for concurrent use.
type throttle struct {
	rate  rate.Limit
	burst int
	most  int // clients in a generation

	mu         sync.Mutex
	young, old map[netip.Prefix]*rate.Limiter
}

func newThrottle(perSecond float64, clients int) *throttle {
	return &throttle{
		rate: rate.Limit(perSecond), burst: max(int(perSecond*burstSeconds), costHigh), most: max(clients/2, 1), young: map[netip.Prefix]*rate.Limiter{},
	}
}

// take takes the cost from what the client has left. When that is not enough it
// takes nothing, and wait is how long it will be until it is.
func (t *throttle) take(client netip.Prefix, cost int, now time.Time) (wait time.Duration) {
	r := t.limiter(client).ReserveN(now, cost)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (t *throttle) limiter(client netip.Prefix) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok := t.young[client]; ok {
		return l
	}
	l, ok := t.old[client]
	if !ok {
		l = rate.NewLimiter(t.rate, t.burst)
	}
	if len(t.young) >= t.most {
		t.old, t.young = t.young, map[netip.Prefix]*rate.Limiter{}
	}
	t.young[client] = l
	return l
}

// throttled refuses a client that asks for too much.
func (s *Service) throttled(c *call, cost int) error {
	wait := s.throttle.take(c.client, cost, s.cfg.Now())
	if wait <= 0 {
		return nil
	}
	p := refuse(http.StatusTooManyRequests, "too-many-requests", "Too many requests from this address; wait as long as Retry-After says.")
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return p
}
