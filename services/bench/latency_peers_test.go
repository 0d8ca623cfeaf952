package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"quittance.internal/libs/domain/stripeevent"
)

const (
	taskMail = "mail"
	// mailConnections is how many connections to the mail server are kept, as many as notifier keeps.
	mailConnections = 4
)

// asynqMailer is the other way from webhook to mail: a task for each event, worked on by a process that decodes it with our
// code, writes the quote's status into Redis, and mails the owner, once, over kept connections. It does less than ours: no fold,
// no fact for others, no ledger that knows of a mail without an answer.
type asynqMailer struct {
	redis *redis.Client
	queue *asynq.Client
	// apart makes the mail a task of its own, which can be tried again by itself: as one would have it. Without, it is a poll faster.
	apart bool
	mail  *mail.Client
	kept  chan *smtp.Client
}

// runAsynqMailer works on the tasks. BENCH_POLL is how long it waits at an empty queue.
func runAsynqMailer(ctx context.Context) error {
	poll, err := time.ParseDuration(os.Getenv("BENCH_POLL"))
	if err != nil {
		return fmt.Errorf("read BENCH_POLL: %w", err)
	}
	option := asynqOption(os.Getenv("REDIS_URL"))
	m := &asynqMailer{
		redis: redis.NewClient(&redis.Options{Addr: option.Addr}), queue: asynq.NewClient(option), apart: os.Getenv("BENCH_APART") != "",
		kept: make(chan *smtp.Client, mailConnections),
	}
	if err := m.dial(ctx, os.Getenv("SMTP_ADDR")); err != nil {
		return err
	}
	server := asynq.NewServer(option, asynq.Config{Concurrency: handlers, LogLevel: asynq.FatalLevel, TaskCheckInterval: poll})
	mux := asynq.NewServeMux()
	mux.HandleFunc(taskEvent, m.settle)
	mux.HandleFunc(taskMail, func(_ context.Context, t *asynq.Task) error { return m.send(string(t.Payload())) })
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	fmt.Fprintln(os.Stdout, "consuming")
	<-ctx.Done()
	server.Shutdown()
	return nil
}

func (m *asynqMailer) dial(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read SMTP_ADDR: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("read SMTP_ADDR: %w", err)
	}
	// As notifier has it: nothing is asked before a mail, and nothing after it.
	m.mail, err = mail.NewClient(host, mail.WithPort(number), mail.WithTLSPolicy(mail.NoTLS), mail.WithoutNoop(), mail.WithoutRset(), mail.WithoutSMTPUTF8())
	if err != nil {
		return fmt.Errorf("prepare SMTP client: %w", err)
	}
	for range mailConnections {
		conn, err := m.mail.DialToSMTPClientWithContext(ctx)
		if err != nil {
			return fmt.Errorf("dial mail server: %w", err)
		}
		m.kept <- conn
	}
	return nil
}

func ownerKey(quote string) string { return "owner:" + quote }

// settle makes the quote paid and mails its owner.
func (m *asynqMailer) settle(ctx context.Context, t *asynq.Task) error {
	change, err := stripeevent.Decode(t.Payload())
	if err != nil {
		return err
	}
	quote := change.Claim.Quote
	if quote == "" || change.Ignored != "" {
		return fmt.Errorf("event %s is of no quote", change.EventID)
	}
	pipe := m.redis.Pipeline()
	owner := pipe.Get(ctx, ownerKey(quote))
	pipe.HSet(ctx, "quote:"+quote, "status", "paid", "event", change.EventID)
	first := pipe.SetNX(ctx, "mailed:"+quote, "1", 0)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if !first.Val() {
		return nil
	}
	if !m.apart {
		return m.send(owner.Val())
	}
	_, err = m.queue.EnqueueContext(ctx, asynq.NewTask(taskMail, []byte(owner.Val())), asynq.TaskID("mail:"+quote))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

func (m *asynqMailer) send(owner string) error {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From("quittance@seller.example"), msg.To(owner)); err != nil {
		return err
	}
	msg.Subject("Quote paid: Consulting")
	const text = "The quote was paid, 1,234.50 EUR, by Jan Nowak.\r\n"
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, "<html><body>"+strings.Repeat("<p>"+text+"</p>", 20)+"</body></html>")
	conn := <-m.kept
	defer func() { m.kept <- conn }()
	return m.mail.SendWithSMTPClient(conn, msg)
}
