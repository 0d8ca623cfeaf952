package notifier

import (
	"bytes"
	"context"
	"encoding/json"
	netmail "net/mail"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wneessen/go-mail"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// What the black-box tests reach of the inside.

var (
	CheckAddress  = checkAddress
	OneLine       = oneLine
	MaskAddresses = maskAddresses
	ErrAddress    = errAddress
)

// MailKey is the key of a receipt, ReminderKey that of a reminder.
func MailKey(seller, quote string, revision, resend int) string {
	return mailKey(seller, quote, revision, kindPaid, resend)
}

func ReminderKey(seller, quote string, revision int) string {
	return mailKey(seller, quote, revision, kindExpiring, 0)
}

const (
	RefundNone  = refundNone
	RefundSome  = refundSome
	RefundWhole = refundWhole
)

// Receipt is what a mail depends on; it is a reminder where Expiring is set.
type Receipt struct {
	Paid      event.Paid
	Expiring  *event.Expiring
	Published event.Published
	Refund    string
	PublicURL string
	Key       string
}

// Composed is what Compose returns.
type Composed struct {
	Msg                             *mail.Msg
	Bytes                           []byte
	Subject, Text, HTML             string
	MessageID, Digest, ContentInUse string
}

var parsed = sync.OnceValues(newRenderer)

// Compose renders and composes r as a mail from the sender.
func Compose(from netmail.Address, r Receipt) (Composed, error) {
	templates, err := parsed()
	if err != nil {
		return Composed{}, err
	}
	told := newsOfPaid(r.Paid)
	if r.Expiring != nil {
		told = newsOfExpiring(*r.Expiring)
	}
	rc := receipt{news: told, published: r.Published, refund: r.Refund, template: currentTemplate, publicURL: r.PublicURL, key: r.Key}
	w, err := templates.render(rc)
	if err != nil {
		return Composed{}, err
	}
	l, err := (&composer{renderer: templates, from: from}).compose(rc)
	if err != nil {
		return Composed{}, err
	}
	var b bytes.Buffer
	if _, err := l.msg.WriteTo(&b); err != nil {
		return Composed{}, err
	}
	return Composed{
		Msg: l.msg, Bytes: b.Bytes(), Subject: w.subject, Text: w.text, HTML: w.html, MessageID: l.messageID, Digest: l.digest,
	}, nil
}

// Verdict is a classified conversation, for tests.
type Verdict struct {
	Result string
	Code   int
	Reply  string
	Broken bool
	Early  bool
	// Err is what go-mail said.
	Err error
}

// Talk dials the relay and sends one mail.
func Talk(ctx context.Context, r Relay, msg *mail.Msg) Verdict {
	c, err := r.dial(ctx)
	if err != nil {
		return verdictOf(classify(err, ""), err)
	}
	defer c.Drop()
	reply, err := c.Send(ctx, msg)
	return verdictOf(classify(err, reply), err)
}

func verdictOf(v verdict, err error) Verdict {
	names := map[result]string{resultSent: "sent", resultRetry: "retry", resultRejected: "rejected", resultAmbiguous: "ambiguous"}
	return Verdict{Result: names[v.result], Code: v.code, Reply: v.reply, Broken: v.broken, Early: v.early, Err: err}
}

// Classify is classify.
func Classify(err error, reply string) Verdict { return verdictOf(classify(err, reply), err) }

// CourierFuncs is a courier made of functions; nil ones do nothing and succeed.
type CourierFuncs struct {
	OnSend  func(ctx context.Context, msg *mail.Msg) (string, error)
	OnAlive func() bool
	OnQuit  func()
	OnDrop  func()
}

func (c CourierFuncs) Send(ctx context.Context, msg *mail.Msg) (string, error) {
	if c.OnSend == nil {
		return "ok", nil
	}
	return c.OnSend(ctx, msg)
}
func (c CourierFuncs) Alive() bool { return c.OnAlive == nil || c.OnAlive() }

func (c CourierFuncs) Quit() {
	if c.OnQuit != nil {
		c.OnQuit()
	}
}

func (c CourierFuncs) Drop() {
	if c.OnDrop != nil {
		c.OnDrop()
	}
}

// Wrap puts a function around the sending of every connection of the relay.
func Wrap(r Relay, around func(send func() (string, error)) (string, error)) func(context.Context) (Courier, error) {
	return func(ctx context.Context) (Courier, error) {
		c, err := r.dial(ctx)
		if err != nil {
			return nil, err
		}
		return CourierFuncs{
			OnSend: func(ctx context.Context, msg *mail.Msg) (string, error) {
				return around(func() (string, error) { return c.Send(ctx, msg) })
			},
			OnAlive: c.Alive, OnQuit: c.Quit, OnDrop: c.Drop,
		}, nil
	}
}

// Pool is the pool.
type Pool struct{ p *pool }

// Loan is a connection on loan from the pool.
type Loan struct{ k *kept }

func NewPool(size int, dial func(context.Context) (Courier, error), now func() time.Time) Pool {
	return Pool{newPool(size, dial, now)}
}

func (p Pool) Take(ctx context.Context) (Loan, error) {
	k, err := p.p.take(ctx)
	return Loan{k}, err
}
func (p Pool) Put(l Loan, broken bool)   { p.p.put(l.k, broken) }
func (p Pool) Sweep(ctx context.Context) { p.p.sweep(ctx) }

// Decide is rules.next.
func Decide(c Config, e Entry, now time.Time) (string, time.Duration) {
	m, wait := c.withDefaults().rules().next(e, now, 0)
	return map[move]string{
		moveClaim: "claim", moveWait: "wait", moveUnknown: "unknown", movePark: "park", moveDone: "done",
	}[m], wait
}

// OpenShelf opens the real one.
func OpenShelf(ctx context.Context, logs *natsstream.Log) (Shelf, error) {
	return openShelf(ctx, logs, shelfConfig{})
}

// EncodeEntry is the JSON of an entry.
func EncodeEntry(e Entry) ([]byte, error) { return json.Marshal(e) }

// LogReader is what the sender reads of the log.
type LogReader = reader

// Sender is the protocol without its consumer.
type Sender struct{ s *sender }

// NewSender makes a sender whose ledger, log and connections are the given ones.
func NewSender(c Config, log LogReader, s Shelf, dial func(context.Context) (Courier, error)) Sender {
	c = c.withDefaults()
	templates, err := parsed()
	if err != nil {
		panic(err)
	}
	sender := newSender(c, log, s, newPool(c.Connections, dial, c.Now), newMetrics(prometheus.NewRegistry()))
	sender.compose = (&composer{renderer: templates, from: c.From}).compose
	return Sender{sender}
}

// Dial is the relay's own way to connect.
func (r *Relay) Dial(ctx context.Context) (Courier, error) { return r.dial(ctx) }

// SendReceipt runs the protocol once. wait is when to come again, where err only says that it is too early.
func (s Sender) SendReceipt(ctx context.Context, paid event.Paid, sequence uint64) (e Entry, wait time.Duration, err error) {
	e, err = s.s.sendReceipt(ctx, job{
		key: newsOfPaid(paid).key(0), news: newsOfPaid(paid), sequence: sequence, rules: s.s.rules,
	})
	if l, ok := err.(errLater); ok { //nolint:errorlint // never wrapped here
		return e, max(l.after, time.Millisecond), nil
	}
	return e, 0, err
}

// Trouble is the wait after the attempt-th failure of NATS or SMTP.
func Trouble(attempt uint64) time.Duration { return trouble.After(attempt) }
