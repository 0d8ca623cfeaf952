//go:build partition

package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/allinone/processtest"
)

// parted is the product on hosts of its own, and who takes them from each other.
type parted struct {
	t     *testing.T
	hosts *hosts
	nats  *natsCluster
	w     *world
	load  *tester
	rand  *rand.Rand
	redis string // its address
}

// parting is one way in which the hosts lose each other. refused says that ingress cannot store anything meanwhile.
type parting struct {
	name    string
	part    func(p *parted)
	refused bool
	// least is how long it lasts at least: longer than it takes the rest to notice.
	least time.Duration
}

// partings are all of them; a run takes them in an order of its seed's.
var partings = []parting{
	{name: "the log's leader from the other two", part: func(p *parted) {
		leader, others := p.leader()
		p.hosts.cut([]string{leader}, others)
	}},
	{name: "the log's leader from everybody", part: func(p *parted) {
		leader, others := p.leader()
		p.hosts.cut([]string{leader}, append(others, "ingress", "payments", "notifier", "redis"))
	}, least: 10 * time.Second},
	{name: "the three NATS servers from each other", part: func(p *parted) { p.hosts.cut(p.nats.names, p.nats.names) }, refused: true, least: 8 * time.Second},
	{name: "ingress from NATS", part: func(p *parted) { p.lost("ingress", p.nats.names...) }, refused: true, least: 6 * time.Second},
	{name: "NATS's answers to ingress", part: func(p *parted) { p.hosts.lose(p.nats.names, []string{"ingress"}) }, refused: true, least: 6 * time.Second},
	{name: "ingress from Stripe", part: func(p *parted) { p.hosts.cut([]string{"ingress"}, []string{outside}) }},
	{name: "payments from Redis", part: func(p *parted) {
		p.lost("payments", "redis")
		p.hosts.silent("payments", p.redis)
	}},
	{name: "Redis's answers to payments", part: func(p *parted) { p.hosts.lose([]string{"redis"}, []string{"payments"}) }},
	{name: "payments from NATS", part: func(p *parted) { p.lost("payments", p.nats.names...) }},
	{name: "notifier from NATS", part: func(p *parted) { p.lost("notifier", p.nats.names...) }},
	{name: "notifier from SMTP", part: func(p *parted) {
		p.lost("notifier", outside)
		p.hosts.silent("notifier", p.w.mail.Addr)
	}},
	{name: "SMTP's answers to the notifier", part: func(p *parted) { p.hosts.lose([]string{outside}, []string{"notifier"}) }, least: 11 * time.Second}, // longer than a mail may take
	{name: "two halves", part: func(p *parted) {
		sides := [2][]string{{"ingress"}, nil} // Stripe reaches ingress, or there is no load
		for _, h := range p.hosts.names {
			if h != "ingress" {
				side := p.rand.IntN(2)
				sides[side] = append(sides[side], h)
			}
		}
		p.t.Logf("halves: %v and %v", sides[0], sides[1])
		p.hosts.cut(sides[0], sides[1])
	}, least: 8 * time.Second},
}

func (p *parted) lost(host string, others ...string) { p.hosts.cut([]string{host}, others) }

// leader of Stripe's events, and the other two servers.
func (p *parted) leader() (leader string, others []string) {
	leader = p.nats.leader(p.w.stores.operator.JetStream(), event.StreamStripe)
	for _, n := range p.nats.names {
		if n != leader {
			others = append(others, n)
		}
	}
	return leader, others
}

// R58, R61, R62: whoever loses whom, and in one direction or both, in silence as behind a cut cable: nothing acknowledged is lost,
// nothing is doubled, ingress answers 503 in time where nothing can be stored, and all is worked off once the hosts reach each other.
func TestPartitionsBetweenHostsLoseAndDoubleNothing(t *testing.T) {
	seed := number(t, "PARTITION_SEED", rand.Uint64N(1<<32))
	rounds := number(t, "PARTITION_ROUNDS", 1)
	t.Logf("seed %d, %d rounds of %d partitions", seed, rounds, len(partings))
	p := newParted(t, seed)
	p.w.publish(int(rounds) * len(partings) * 60)
	p.load = deliver(t, p.w, 40)
	for range rounds {
		for _, i := range p.rand.Perm(len(partings)) {
			p.suffer(partings[i])
		}
	}
	p.load.rest()
	p.w.check(p.load)
}

func newParted(t *testing.T, seed uint64) *parted {
	t.Helper()
	p := &parted{t: t, hosts: newHosts(t, "nats-1", "nats-2", "nats-3", "redis", "ingress", "payments", "notifier"), rand: rand.New(rand.NewPCG(seed, 3))}
	p.nats = startNATSIn(t, p.hosts)
	p.redis = p.hosts.address("redis")
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not on PATH; on Debian: apt-get install redis-server (make servers does it as root)")
	}
	host, port, err := net.SplitHostPort(p.redis)
	if err != nil {
		t.Fatal(err)
	}
	server := processtest.New(t, "redis-server", binary, "", nil)
	server.Args = []string{
		"--bind", host, "--port", port, "--protected-mode", "no", "--dir", t.TempDir(), "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction",
	}
	p.hosts.place("redis", server)
	server.Start()
	cache := redisquote.Config{URL: env.NewSecret("redis://" + p.redis + "/0")}
	processtest.Eventually(t, patience, "redis-server answers", func() error {
		c, err := redisquote.Open(t.Context(), cache)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	p.w = newWorld(t, stores{
		nats: p.nats.config, log: p.nats.log("quotes"), operator: p.nats.log("operator"), monitors: p.nats.monitors(),
		redis: func(string) redisquote.Config { return cache }, hosts: p.hosts,
	})
	p.nats.current(p.w.stores.operator.JetStream())
	return p
}

// suffer parts the hosts for some seconds under load, and holds what must be so meanwhile and after.
func (p *parted) suffer(what parting) {
	p.t.Helper()
	length := what.least + time.Duration(2000+p.rand.IntN(8000))*time.Millisecond
	p.load.moving(10)
	p.load.unheard = what.name == "ingress from Stripe"
	outage(p.t, p.w, p.load, fmt.Sprintf("%s for %s", what.name, length.Round(100*time.Millisecond)), func() {
		what.part(p)
		began := time.Now()
		time.Sleep(length)
		if what.refused {
			nothingStored(p.t, p.load, began, time.Now())
		}
		p.hosts.heal()
	})
	p.nats.current(p.w.stores.operator.JetStream())
	p.load.unheard = false
}

// number is a setting of the target's.
func number(t *testing.T, name string, byDefault uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" || text == "random" {
		return byDefault
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}
