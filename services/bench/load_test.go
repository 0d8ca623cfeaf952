package bench_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/services/ingress"
	"quittance.internal/services/operator/scenario"
)

const (
	secret        = "whsec_bench_0123456789abcdef"
	secretSetting = "bench=" + secret
	eventIDLen    = len("evt_") + 24
)

// load is what one window of a closed loop gave.
type load struct {
	acks     int // within the window
	took     time.Duration
	cpu      time.Duration // of the servers, within the window
	memory   int64         // of the servers, at the window's end, bytes
	p50, p99 time.Duration
	total    int               // acknowledged since the start, warm-up included
	last     map[string][]byte // the last body of each connection, by event id
}

func (l load) perSecond() float64  { return float64(l.acks) / l.took.Seconds() }
func (l load) cpuPer1k() float64   { return l.cpu.Seconds() / float64(l.acks) * 1000 }
func (l load) p50ms() float64      { return milliseconds(l.p50) }
func (l load) p99ms() float64      { return milliseconds(l.p99) }
func (l load) memoryInMB() float64 { return float64(l.memory) / 1e6 }

// phases of a window; senders look before each request.
const (
	warming = int32(iota)
	measuring
	done
)

// closedLoop lets each of the senders send again and again for a warm-up and a window, and reads the processor time of the
// servers at the window's ends. Any error of a sender fails the benchmark.
func closedLoop(tb testing.TB, senders []func() error, window time.Duration, pids ...int) load {
	tb.Helper()
	const warmUp, patience = 300 * time.Millisecond, 30 * time.Second
	var phase atomic.Int32
	var measured atomic.Int64
	errs, took, total := make([]error, len(senders)), make([][]time.Duration, len(senders)), make([]int, len(senders))
	var wg sync.WaitGroup
	for i, send := range senders {
		took[i] = make([]time.Duration, 0, 1<<13)
		wg.Go(func() {
			for phase.Load() != done {
				began := time.Now()
				if errs[i] = send(); errs[i] != nil {
					return
				}
				total[i]++
				if phase.Load() == measuring {
					took[i] = append(took[i], time.Since(began))
					measured.Add(1)
				}
			}
		})
	}
	wait(tb, warmUp)
	began, before := time.Now(), cpu(tb, pids...)
	phase.Store(measuring)
	wait(tb, window)
	for measured.Load() == 0 && phase.Load() == measuring && time.Since(began) < patience {
		wait(tb, 10*time.Millisecond) // a disk that others use, too, may need longer for one sync
	}
	phase.Store(done)
	l := load{took: time.Since(began), cpu: cpu(tb, pids...) - before}
	for _, pid := range pids {
		l.memory += memory(tb, pid)
	}
	wg.Wait()
	var all []time.Duration
	for i := range senders {
		if errs[i] != nil {
			tb.Fatalf("sender %d: %v", i, errs[i])
		}
		all, l.total = append(all, took[i]...), l.total+total[i]
	}
	if l.acks = len(all); l.acks == 0 {
		tb.Fatalf("nothing was acknowledged within %s", l.took)
	}
	slices.Sort(all)
	l.p50, l.p99 = all[len(all)/2], all[len(all)*99/100]
	return l
}

// drive sends events to addr on as many connections, each after the answer to the one before. Any answer but 200 fails the
// benchmark.
func drive(tb testing.TB, addr string, template scenario.Event, connections int, window time.Duration, pids ...int) load {
	tb.Helper()
	clients, senders := make([]*client, connections), make([]func() error, connections)
	for i := range clients {
		clients[i] = newClient(tb, addr, template)
		senders[i] = clients[i].send
	}
	l := closedLoop(tb, senders, window, pids...)
	l.last = map[string][]byte{}
	for _, c := range clients {
		_ = c.conn.Close()
		l.last[string(c.id)] = c.body
	}
	return l
}

func wait(tb testing.TB, d time.Duration) {
	tb.Helper()
	select {
	case <-tb.Context().Done():
		tb.Fatal(tb.Context().Err())
	case <-time.After(d):
	}
}

// client is one sender. It writes whole requests from one buffer, in which it changes event id, time and signature: with
// two cores shared by all, what the sender does not use is left to what is measured.
type client struct {
	conn               net.Conn
	in                 *bufio.Reader
	request            []byte // header and body
	stamp, digest, sum []byte // in request: seconds of the signature's t, hex of its v1; scratch for the digest
	body, id           []byte // in request: the body, and the event id in it
	mac                hash.Hash
	next               uint64
}

var nextClient atomic.Uint64

func newClient(tb testing.TB, addr string, template scenario.Event) *client {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	const stamp, digest = "1700000000", "0000000000000000000000000000000000000000000000000000000000000000"
	head := "POST " + ingress.WebhookPath + " HTTP/1.1\r\nHost: " + addr + "\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n" +
		"Content-Type: application/json; charset=utf-8\r\nAccept: */*; q=0.5, application/xml\r\nCache-Control: no-cache\r\n" +
		"Content-Length: " + strconv.Itoa(len(template.Body)) + "\r\nStripe-Signature: t=" + stamp + ",v1=" + digest + "\r\n\r\n"
	c := &client{
		conn: conn, in: bufio.NewReader(conn), request: append([]byte(head), template.Body...),
		mac: hmac.New(sha256.New, []byte(secret)), next: nextClient.Add(1) << 40,
	}
	c.body = c.request[len(head):]
	at := bytes.Index(c.request, []byte(stamp))
	c.stamp = c.request[at : at+len(stamp)]
	at = bytes.Index(c.request, []byte(digest))
	c.digest = c.request[at : at+len(digest)]
	at = bytes.Index(c.body, []byte(template.ID))
	if at < 0 || len(template.ID) != eventIDLen {
		tb.Fatalf("event id %s is not in its body, or not of %d bytes", template.ID, eventIDLen)
	}
	c.id = c.body[at : at+eventIDLen]
	return c
}

// send sends the next event and waits for its 200.
func (c *client) send() error {
	c.renumber()
	c.sign()
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return c.answer()
}

// renumber makes the request the next event's.
func (c *client) renumber() {
	c.next++
	const digits = "0123456789abcdef"
	for i, n := eventIDLen-1, c.next; i >= len("evt_"); i, n = i-1, n>>4 {
		c.id[i] = digits[n&15]
	}
}

// sign makes the request one that was signed now.
func (c *client) sign() {
	strconv.AppendInt(c.stamp[:0], time.Now().Unix(), 10)
	c.mac.Reset()
	c.mac.Write(c.stamp)
	c.mac.Write([]byte{'.'})
	c.mac.Write(c.body)
	c.sum = c.mac.Sum(c.sum[:0])
	hex.Encode(c.digest, c.sum)
}

// answer reads a response and returns an error for any but a 200 with a length.
func (c *client) answer() error {
	var status string
	length := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			status = string(line)
			continue
		}
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if status != "HTTP/1.1 200 OK" {
		body := make([]byte, length)
		_, _ = io.ReadFull(c.in, body)
		return fmt.Errorf("%s: %s", status, body)
	}
	_, err := c.in.Discard(length)
	return err
}
