package natsstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// silent is a subject whose messages arrive somewhere and are not answered.
const silent = "silent.a"

// hush takes the messages of silent; each is handed over by the channel.
func hush(t *testing.T, srv *natstest.Server) <-chan *nats.Msg {
	t.Helper()
	nc, taken := srv.Conn("hush"), make(chan *nats.Msg, 64)
	if _, err := nc.ChanSubscribe(silent, taken); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return taken
}

func wantNothingPending(t *testing.T, log *natsstream.Log) {
	t.Helper()
	if waiting, places := natsstream.Pending(log); waiting != 0 || places != 0 {
		t.Errorf("%d publications are under way and hold %d places, want none", waiting, places)
	}
}

func TestALostConnectionEndsWhatIsUnderWay(t *testing.T) {
	for name, lose := range map[string]func(*natstest.Server, *nats.Conn){
		"the server goes":       func(srv *natstest.Server, _ *nats.Conn) { srv.Stop() },
		"the connection closes": func(_ *natstest.Server, nc *nats.Conn) { nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.StartEmpty(t)
			taken, nc := hush(t, srv), srv.Conn("a")
			log, err := natsstream.NewLog(nc)
			if err != nil {
				t.Fatal(err)
			}
			answer := make(chan error, 1)
			go func() {
				_, err := log.Fact(t.Context(), natsstream.Message{Subject: silent})
				answer <- err
			}()
			<-taken
			lose(srv, nc)
			// Without that it would be the end of the patience with an answer.
			if err := <-answer; !errors.Is(err, natsstream.ErrUnavailable) || !errors.Is(err, nats.ErrDisconnected) {
				t.Errorf("Fact = %v, want ErrUnavailable for the connection", err)
			}
			wantNothingPending(t, log)
		})
	}
}

func TestAPublicationEndsWithItsContextAndItsLateAnswerFindsNobody(t *testing.T) {
	srv := natstest.Start(t)
	taken, log := hush(t, srv), srv.Log("a")
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := log.Fact(ctx, natsstream.Message{Subject: silent})
		answer <- err
	}()
	late := <-taken
	cancel()
	if err := <-answer; !errors.Is(err, natsstream.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Fact = %v, want ErrUnavailable and the context's error", err)
	}
	wantNothingPending(t, log)
	if err := late.Respond([]byte(`{"stream":"STRIPE","seq":7}`)); err != nil {
		t.Fatal(err)
	}
	if stored, err := log.Fact(t.Context(), natsstream.Message{Subject: "stripe.a"}); err != nil || stored.Sequence != 1 {
		t.Errorf("Fact = %+v, %v, want its own answer, sequence 1", stored, err)
	}
	wantNothingPending(t, log)
}

func TestBeyondTheMostUnderWayAPublicationWaitsAWhileOnly(t *testing.T) {
	srv := natstest.Start(t)
	taken, log := hush(t, srv), srv.Log("a")
	natsstream.LimitPending(log, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = log.Fact(ctx, natsstream.Message{Subject: silent}) })
	<-taken
	if _, err := log.Fact(t.Context(), natsstream.Message{Subject: "stripe.a"}); !errors.Is(err, natsstream.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fact with no place left = %v, want ErrUnavailable before its own time is over", err)
	}
	wg.Go(func() {
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: "stripe.a"}); err != nil {
			t.Errorf("Fact that gets a place = %v", err)
		}
	})
	cancel()
	wg.Wait()
	wantNothingPending(t, log)
}

func TestWhatNoStreamTakesIsUnavailableAtOnce(t *testing.T) {
	_, err := natstest.StartEmpty(t).Log("a").Fact(t.Context(), natsstream.Message{Subject: "nobody.a"})
	if !errors.Is(err, natsstream.ErrUnavailable) || !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("Fact = %v, want ErrUnavailable: no stream answers", err)
	}
}

func TestEachCallerGetsTheAnswerToItsOwn(t *testing.T) {
	log := natstest.Start(t).Log("a")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 16 {
				subject := fmt.Sprintf("stripe.test.platform.evt_%d_%d.x", i, j)
				stored, err := log.Fact(t.Context(), natsstream.Message{Subject: subject})
				if err != nil {
					t.Errorf("Fact = %v", err)
					return
				}
				if record, err := log.ReadSequence(t.Context(), "STRIPE", stored.Sequence); err != nil || record.Subject != subject {
					t.Errorf("under the sequence answered for %s lies %s, %v", subject, record.Subject, err)
				}
			}
		})
	}
	wg.Wait()
	wantNothingPending(t, log)
}

func TestAnAnswerIsReadAsItSays(t *testing.T) {
	read := func(body string) natsstream.Result { return natsstream.ReadAck(&nats.Msg{Data: []byte(body)}) }
	if got, want := read(` {"type":"x", "stream":"S\u0041","seq":12,"domain":"d","duplicate":true,"more":[{}]}`),
		(natsstream.Stored{Stream: "SA", Sequence: 12, Taken: true}); got.Err != nil || got.Stored != want {
		t.Errorf("readAck = %+v, want %+v", got, want)
	}
	refused := read(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}`)
	if e, ok := errors.AsType[*jetstream.APIError](refused.Err); !ok || e.ErrorCode != 10071 || e.Description != "wrong last sequence: 3" {
		t.Errorf("readAck of a refusal = %+v, want the server's own", refused)
	}
	for _, body := range []string{``, `{}`, `null`, `x`, `{"stream":"S"`, `{"stream":"S","seq":1}`, `{"stream":"S","seq":-1}`, `{"stream":"S","seq":"1"}`, `{"seq":1}`, `{"error":7,"stream":"S","seq":1}`} {
		if got := read(body); (got.Err == nil) != (body == `{"stream":"S","seq":1}`) {
			t.Errorf("readAck(%q) = %+v", body, got)
		}
	}
}
