// Package doctor looks at how a deployment is set up: secrets, Stripe's endpoints, streams and consumers, Redis, clocks, the
// mail relay, rights, space, certificates, versions.
//
// It says of each what it found and what to type next, and of what it could not look at why: that is never taken for good. It
// changes nothing; its probes of rights are writes that cannot take hold. Whether events arrive and are settled is check's
// question. quotectl and the console call it.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// Status says how a check came out.
type Status string

// The statuses. NotChecked says nothing about the thing itself.
const (
	OK         Status = "ok"
	Warn       Status = "warn"
	Fail       Status = "fail"
	NotChecked Status = "not checked"
)

// Result is one line of the doctor's.
type Result struct {
	// Check is the name of what was looked at, such as redis policy.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Found is what is there, or why it was not looked at.
	Found string `json:"found"`
	// Next is the command or the setting that repairs it or shows more.
	Next string `json:"next,omitempty"`
}

// Service is one of ours by its name and admin address; an empty address is not checked.
type Service struct{ Name, Setting, URL string }

// Patient is what is examined. What cannot be reached is nil, with the reason beside it.
type Patient struct {
	Now func() time.Time

	Log     *natsstream.Log
	NoLog   error
	Connect func(context.Context) (*nats.Conn, error) // another connection with the same rights
	// Needs are what these rights are there for; nothing is looked at where they are empty.
	Needs Needs

	Redis   redis.UniversalClient
	NoRedis error

	Stripe *stripegate.Client
	// StripeKey is only looked at for its kind, sk_ or rk_, and mode.
	StripeKey, Mode string

	// Connected are the accounts that sellers have connected in Mode; NoConnected is why they are not known.
	Connected   []string
	NoConnected error

	// MonitorURL is the NATS server's monitoring address, or empty.
	MonitorURL string
	// Barrier says that the services sync the server's store themselves: DURABILITY=barrier.
	Barrier  bool
	Services []Service
	// TLS are the addresses that clients verify certificates of, and Creds the file of credentials for NATS, or empty.
	TLS   []Endpoint
	Creds string
	// SecretFiles are the files of this machine from which the secrets used here come.
	SecretFiles []SecretFile
	// API is asked with the token that is used here; no URL: not looked at.
	API API
	// Secrets are the names of the signing secrets that are configured here, as far as is known.
	Secrets []string
	// Events is how many of the last events are looked at for secrets. Default 5000.
	Events int
	// Free tells the free and the whole bytes of the disk under a folder of this machine. Default: the function Free.
	Free func(dir string) (free, size uint64, err error)
	// Version is the commit of the program that asks.
	Version string
	// Narrow means that the rights are a service's own, which show what it works with and no more: what takes an operator's
	// is not tried, and is told of as not checked.
	Narrow bool
}

// timeout bounds each part: a doctor who waits for one organ sees no other.
const timeout = 10 * time.Second

// part is one organ.
type part struct {
	look func(context.Context) []Result
	// beyond names what is looked at here and is out of reach of a service's own rights or settings; empty if it is not.
	beyond string
}

func (p *Patient) parts() []part {
	return []part{
		{p.log, ""},
		{p.drift, "streams and consumers"},
		{p.storage, "nats storage"},
		{p.rights, ""},
		{p.connections, "users on nats"},
		{p.redisAnswers, ""},
		{p.redis, "redis policy, role, persistence, memory, disk, clock"},
		{p.redisRights, ""},
		{p.secrets, ""},
		{p.signatures, "signatures"},
		{p.stripe, "stripe key, clock, endpoints"},
		{p.relay, ""},
		{p.services, "services and their versions"},
		{p.certificates, "certificates"},
		{p.secretFiles, "secret files"},
		{p.token, ""},
	}
}

// Examine looks at everything, the parts one after the other.
func (p *Patient) Examine(ctx context.Context) []Result {
	if p.Events == 0 {
		p.Events = 5000
	}
	if p.Free == nil {
		p.Free = Free
	}
	var all, left []Result
	for _, part := range p.parts() {
		if p.Narrow && part.beyond != "" {
			left = append(left, result(part.beyond, NotChecked, "quotectl doctor", "the rights and settings here do not reach it"))
			continue
		}
		bound, cancel := context.WithTimeout(ctx, timeout)
		all = append(all, part.look(bound)...)
		cancel()
	}
	return append(all, left...)
}

func result(check string, s Status, next, format string, args ...any) Result {
	return Result{Check: check, Status: s, Found: fmt.Sprintf(format, args...), Next: next}
}

func skipped(check, next, format string, args ...any) []Result {
	return []Result{result(check, NotChecked, next, format, args...)}
}

// Skew limits: Stripe's signatures are good for five minutes.
const (
	skewWarn = 5 * time.Second
	skewFail = time.Minute
)

// skew judges another clock that was read between two looks at ours.
func skew(check string, theirs, before, after time.Time) Result {
	off := time.Duration(0)
	switch {
	case theirs.Before(before):
		off = theirs.Sub(before)
	case theirs.After(after):
		off = theirs.Sub(after)
	}
	s := OK
	switch d := off.Abs(); {
	case d >= skewFail:
		s = Fail
	case d >= skewWarn:
		s = Warn
	}
	next := ""
	if s != OK {
		next = "timedatectl on both machines; repair NTP"
	}
	return result(check, s, next, "%s away from this machine's clock", off.Round(time.Millisecond))
}
