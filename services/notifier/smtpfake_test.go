package notifier_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/services/notifier"
)

// smtpFake is a scripted SMTP server: it answers each verb as its script says, and remembers what it accepted. A mail
// counts as accepted from the moment at which the final dot was read and the script did not refuse it, whether or not the
// client ever hears of it.
type smtpFake struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	script   script
	accepted []accepted
	conns    map[net.Conn]bool
	dialled  int
	maxOpen  int
	hangs    bool
}

// accepted is one mail that the server took.
type accepted struct {
	from, to string
	data     []byte // without dot-stuffing, with the lines' CRLF
	at       time.Time
}

// script says how the fake misbehaves. The zero script behaves.
type script struct {
	// reply maps a step (banner, EHLO, MAIL, RCPT, DATA, dot, NOOP, QUIT) to the line sent instead of the good one.
	reply map[string]string
	// drop names the step after whose command (before whose reply) the connection is closed.
	drop string
	// dropAfter names the step after whose reply the connection is closed.
	dropAfter string
	// delay maps a step to how long its reply is held back.
	delay map[string]time.Duration
	// hang names the step whose reply never comes, until the test ends.
	hang string
	// bytewise sends every byte in a segment of its own, with that pause.
	bytewise time.Duration
	// readPause is the pause between two bytes read of the mail's data.
	readPause time.Duration
	// once forgets the script after it has bitten once.
	once bool
	// only restricts the script to mails for this recipient, from RCPT on.
	only string
	// extensions are announced after EHLO.
	extensions []string
}

// newSMTPFake starts a fake that ends with the test.
func newSMTPFake(tb testing.TB, s script) *smtpFake {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &smtpFake{listener: l, script: s, conns: map[net.Conn]bool{}}
	f.wg.Go(f.serve)
	tb.Cleanup(func() { f.stop(); f.wg.Wait() })
	return f
}

// relay is how to reach it.
func (f *smtpFake) relay(tb testing.TB) notifier.Relay {
	tb.Helper()
	host, port, err := net.SplitHostPort(f.listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		tb.Fatal(err)
	}
	return notifier.Relay{
		Host: host, Port: n, Encryption: notifier.EncryptionNone, HELO: "client.example", DialTimeout: 5 * time.Second, SendTimeout: 5 * time.Second,
	}
}

func (f *smtpFake) serve() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = true
		f.dialled++
		f.maxOpen = max(f.maxOpen, len(f.conns))
		f.mu.Unlock()
		f.wg.Go(func() {
			defer func() {
				f.mu.Lock()
				delete(f.conns, c)
				f.mu.Unlock()
				_ = c.Close()
			}()
			f.converse(c)
		})
	}
}

func (f *smtpFake) stop() {
	_ = f.listener.Close()
	f.cutAll()
}

// cutAll closes every open connection.
func (f *smtpFake) cutAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *smtpFake) set(s script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = s
}

// mails returns what was accepted so far.
func (f *smtpFake) mails() []accepted {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]accepted(nil), f.accepted...)
}

// hanging reports whether a client was left without a reply.
func (f *smtpFake) hanging() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hangs
}

// open is how many connections are open now.
func (f *smtpFake) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// scriptFor is the script that holds for a mail to that recipient.
func (f *smtpFake) scriptFor(to string) script {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.script.only != "" && f.script.only != to {
		return script{}
	}
	return f.script
}

// step carries one step of the script out. It reports whether the conversation goes on.
func (f *smtpFake) step(c net.Conn, name, good, to string) bool {
	s := f.scriptFor(to)
	f.mu.Lock()
	line, refused := s.reply[name]
	bites := refused || s.drop == name || s.dropAfter == name || s.hang == name || s.delay[name] > 0
	if bites && s.once {
		f.script = script{}
	}
	f.mu.Unlock()
	if !refused {
		line = good
	}
	if s.drop == name {
		return false
	}
	if s.hang == name {
		f.mu.Lock()
		f.hangs = true
		f.mu.Unlock()
		_, _ = c.Read(make([]byte, 1)) // until the client or the test closes it
		return false
	}
	if d := s.delay[name]; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		<-timer.C
	}
	for i := range len(line) + 2 {
		b := (line + "\r\n")[i : i+1]
		if s.bytewise == 0 {
			b = line + "\r\n"
		}
		if _, err := c.Write([]byte(b)); err != nil {
			return false
		}
		if s.bytewise == 0 {
			break
		}
		time.Sleep(s.bytewise) // a slow server, not a wait for something
	}
	return s.dropAfter != name && !strings.HasPrefix(line, "421")
}

func (f *smtpFake) converse(c net.Conn) {
	in := bufio.NewReader(c)
	if !f.step(c, "banner", "220 fake ESMTP", "") {
		return
	}
	var from, to string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		good := "250 ok"
		switch verb {
		case "EHLO":
			good = f.hello()
		case "MAIL":
			from, to = between(rest), ""
		case "RCPT":
			to = between(rest)
		case "DATA":
			good = "354 go ahead"
		case "QUIT":
			good = "221 bye"
		}
		if !f.step(c, verb, good, to) {
			return
		}
		if verb == "QUIT" {
			return
		}
		if verb == "DATA" && f.scriptFor(to).reply["DATA"] == "" {
			if !f.data(c, in, from, to) {
				return
			}
		}
	}
}

func (f *smtpFake) hello() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := append([]string{"fake"}, f.script.extensions...)
	var b strings.Builder
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		fmt.Fprintf(&b, "250%s%s", sep, l)
		if i < len(lines)-1 {
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

// data reads a mail up to the final dot and accepts it unless the script refuses.
func (f *smtpFake) data(c net.Conn, in *bufio.Reader, from, to string) bool {
	var data bytes.Buffer
	s := f.scriptFor(to)
	pause, dropsInData := s.readPause, s.drop == "data"
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if dropsInData {
			return false
		}
		if pause > 0 {
			time.Sleep(pause) // a slow server
		}
		if line == ".\r\n" {
			break
		}
		data.WriteString(strings.TrimPrefix(line, "."))
	}
	refusal := f.scriptFor(to).reply["dot"]
	if refusal == "" || strings.HasPrefix(refusal, "2") {
		f.mu.Lock()
		f.accepted = append(f.accepted, accepted{from: from, to: to, data: data.Bytes(), at: time.Now()})
		f.mu.Unlock()
	}
	return f.step(c, "dot", "250 2.0.0 ok queued as Q1 for owner@seller.example", to)
}

func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
