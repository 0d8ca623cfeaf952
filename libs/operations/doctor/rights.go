package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Needs is what the credentials must be able to do for the work that they are there for; what else they may, is too much.
type Needs struct {
	// Publish and Subscribe are subjects; a probe of the first is a message that no stream takes and that nobody answers.
	Publish, Subscribe []string
	// Redis are commands that only read, each with its arguments but for the key, which is one that does not exist.
	Redis [][]string
}

// OperatorNeeds is what quotectl does with the user operator of deploy/nats/users.conf and deploy/redis/users.acl.in.
func OperatorNeeds() Needs {
	return Needs{
		Publish:   []string{"journal.doctor", "op.doctor.probe", "$KV.REPLAYS.doctor", "$JS.API.STREAM.INFO.QUOTES", "$JS.API.CONSUMER.LIST.QUOTES"},
		Subscribe: []string{"quote.paid"},
		Redis: [][]string{
			{"hget", "f"},
			{"hmget", "f"},
			{"hgetall"},
			{"hlen"},
			{"hscan", "0"},
			{"get"},
			{"exists"},
			{"type"},
			{"zcard"},
			{"zrange", "0", "0"},
			{"zrangebyscore", "0", "0"},
			{"zrevrangebyscore", "0", "0"},
		},
	}
}

// speaks are subjects by which one says that Stripe said something, or that a service did: of no use to people who look.
var speaks = []string{
	"stripe.test.platform.evt_doctor.probe", "quote.paid.doctor.doctor.1", "quote.published.doctor.doctor.1", "seller.account_updated.doctor.doctor",
	"dead.payments.DOCTOR.1.1",
}

// listens are inboxes of others: who hears them hears all that the server answers a service.
var listens = []string{"_INBOX_payments.doctor", "_INBOX_quotes.doctor"}

// impossible is a sequence that no stream reaches: a write that expects it is refused by the stream whoever makes it.
const impossible = "18000000000000000000"

// rights tries what these credentials must be able to do, and what only services may. The writes expect a last sequence that
// cannot be, so that a server that allows them refuses them all the same.
func (p *Patient) rights(ctx context.Context) []Result {
	const name = "rights on nats"
	if p.Log == nil || p.Connect == nil {
		return skipped(name, nextNATS, "no connection to NATS")
	}
	nc, err := p.Connect(ctx)
	if err != nil {
		return skipped(name, nextNATS, "%v", err)
	}
	defer nc.Close()
	t := tries{nc: nc}
	say, hear := t.allowed(ctx, t.publish, speaks), t.allowed(ctx, t.subscribe, listens)
	may, can := t.allowed(ctx, t.publish, p.Needs.Publish), t.allowed(ctx, t.subscribe, p.Needs.Subscribe)
	if t.err != nil {
		return skipped(name, nextNATS, "%v", t.err)
	}
	const next = "give each service a user of its own: deploy/nats/users.conf"
	var all []Result
	if len(say) > 0 {
		all = append(all, result(name, Warn, next, "these credentials may write %s: whoever has them can say that a quote was paid", kinds(say)))
	}
	if len(hear) > 0 {
		all = append(all, result(name, Warn, next, "these credentials may listen to %s: to what the server answers others", kinds(hear)))
	}
	if lacks := without(slices.Concat(p.Needs.Publish, p.Needs.Subscribe), slices.Concat(may, can)); len(lacks) > 0 {
		all = append(all, result(name, Fail, "compare the user's block with that of operator in deploy/nats/users.conf", "these credentials may not use %s, which quotectl does", strings.Join(lacks, ", ")))
	}
	if len(all) == 0 {
		all = append(all, result(name, OK, "", "these credentials can neither speak for Stripe nor for a service, nor hear what others are answered"))
	}
	return all
}

// kinds leaves out the last token of each subject, which is the probe's.
func kinds(subjects []string) string {
	short := make([]string, len(subjects))
	for i, s := range subjects {
		short[i] = s[:strings.LastIndex(s, ".")]
	}
	return strings.Join(short, " and ")
}

// without are those of all that are not among some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// tries makes attempts over a connection of its own, whose last error stays.
type tries struct {
	nc  *nats.Conn
	err error
}

// allowed are those subjects that the server does not refuse.
func (t *tries) allowed(ctx context.Context, try func(string) error, subjects []string) []string {
	var may []string
	for _, subject := range subjects {
		if t.err != nil {
			return nil
		}
		err := try(subject)
		if err == nil {
			err = t.nc.FlushWithContext(ctx) // a refusal comes before the answer to the flush
		}
		if err != nil {
			t.err = fmt.Errorf("probe %s: %w", subject, err)
			return nil
		}
		last := t.nc.LastError()
		if !errors.Is(last, nats.ErrPermissionViolation) || !strings.Contains(last.Error(), `"`+subject+`"`) {
			may = append(may, subject)
		}
	}
	return may
}

func (t *tries) publish(subject string) error {
	m := nats.NewMsg(subject)
	m.Header.Set(jetstream.ExpectedLastSeqHeader, impossible)
	return t.nc.PublishMsg(m)
}

func (t *tries) subscribe(subject string) error {
	s, err := t.nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	return s.AutoUnsubscribe(1) // what it hears until the connection's end is looked at by nobody
}
