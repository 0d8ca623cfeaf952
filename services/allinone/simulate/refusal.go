package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/wneessen/go-mail"
)

// errStale is a connection that turns out to be lost before anything of the mail was sent.
var errStale = errors.New("connection reset by peer")

// errNoAnswer is what go-mail returns where the reply to the final dot does not come.
var errNoAnswer = &mail.SendError{Reason: mail.ErrSMTPDataClose}

// refusals are errors that go-mail returns for mails that the relay refuses. Their codes cannot be set from outside, so they
// come from real conversations, held once.
var refusals struct{ forNow, forGood error }

// learnRefusals holds the conversations.
func learnRefusals(ctx context.Context) error {
	var err error
	if refusals.forNow, err = converse(ctx, "451 4.7.1 try again later"); err != nil {
		return err
	}
	refusals.forGood, err = converse(ctx, "550 5.1.1 no such user")
	return err
}

// converse sends a mail to a relay that answers the recipient so, and returns go-mail's error.
func converse(ctx context.Context, answer string) (refusal, err error) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(far, answer)
	}()
	defer func() { _ = near.Close(); <-done }()
	client, err := mail.NewClient("relay.example", mail.WithTLSPolicy(mail.NoTLS), mail.WithoutNoop(),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return near, nil }))
	if err != nil {
		return nil, fmt.Errorf("prepare SMTP client: %w", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial relay in memory: %w", err)
	}
	msg := mail.NewMsg()
	msg.FromMailAddress(&sender)
	msg.ToMailAddress(&sender)
	msg.SetBodyString(mail.TypeTextPlain, "body")
	if refusal = client.SendWithSMTPClient(conn, msg); refusal == nil {
		return nil, errors.New("the relay in memory took the mail")
	}
	return refusal, nil
}

// serve is a relay that refuses every recipient. It ends with its connection.
func serve(conn net.Conn, answer string) {
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	for reply := "220 relay.example"; ; {
		if _, err := fmt.Fprintf(conn, "%s\r\n", reply); err != nil || !lines.Scan() {
			return
		}
		if reply = "250 ok"; strings.HasPrefix(lines.Text(), "RCPT") {
			reply = answer
		}
	}
}
