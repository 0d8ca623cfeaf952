package operator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// No list of the command line ends at a page, at a default or at ten thousand: --limit 0 is all, and each entry stands once.
func TestListsGoBeyondTenThousand(t *testing.T) {
	const n = 10_500
	w := newWorld(t)
	w.fill(n)
	for _, list := range []struct {
		command, id string // id is the member that names an entry
	}{
		{"events list --type many.*", "place"},
		{"events list --stream QUOTES --type quote.refunded", "place"},
		{"dead list --cause " + deadletter.CauseOf("payments", event.StreamStripe, "handler panics"), "sequence"},
		{"parked list", "place"},
		{"mail list", "key"},
		{"journal list", "n"},
	} {
		began := time.Now()
		r := w.run(append(strings.Fields(list.command), "--limit", "0", "-o", "jsonl")...)
		if r.code != 0 {
			t.Errorf("%s = %d: %s", list.command, r.code, r.err)
			continue
		}
		seen := map[string]int{}
		for line := range strings.Lines(r.out) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry[list.id] == nil {
				t.Fatalf("%s: %v, no %s in %s", list.command, err, list.id, line)
			}
			seen[fmt.Sprint(entry[list.id])]++
		}
		if len(seen) != n || strings.Count(r.out, "\n") != n {
			t.Errorf("%s lists %d entries, %d of them different, want %d of each", list.command, strings.Count(r.out, "\n"), len(seen), n)
		}
		t.Logf("%s: %d entries in %s", list.command, len(seen), time.Since(began).Round(time.Millisecond))
	}
}

// fill puts n of everything that is listed into log, Redis, ledger and journal.
func (w *world) fill(n int) {
	w.t.Helper()
	ctx, js := w.t.Context(), w.log.JetStream()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	const batch = 500
	for from := 1; from <= n; from += batch {
		var facts []natsstream.Message
		var futures []jetstream.PubAckFuture
		pipe := w.redis.Pipeline()
		for i := from; i < from+batch && i <= n; i++ {
			id := fmt.Sprintf("evt_many%d", i)
			letter := event.DeadSubject("payments", event.StreamStripe, uint64(i), 1)
			facts = append(facts,
				natsstream.Message{Subject: event.StripeSubject{Mode: "test", Account: "platform", EventID: id, Type: "many.created"}.String(), Data: []byte("{}")},
				natsstream.Message{Subject: event.QuoteSubject{Event: "refunded", Seller: "main", Quote: "q_many", N: id}.String(), Data: []byte("{}")},
				natsstream.Message{Subject: letter, Data: []byte("{}"), Header: map[string][]string{
					natsstream.HeaderDeadReason: {"handler panics"}, natsstream.HeaderDeadSubject: {"stripe.test.platform." + id + ".many.created"},
				}})
			pipe.ZAdd(ctx, w.keys.IndexParked(), redisZ(at, redisquote.ParkedMember("platform", fmt.Sprintf("pi_%d", i), uint64(i))))
			pipe.HSet(ctx, w.keys.Outcomes(event.StreamStripe, uint64(i)), fmt.Sprint(i), encode(redisquote.Outcome{Outcome: "parked", EventID: id, Type: "many.created"}))
			for subject, body := range map[string]any{
				fmt.Sprintf("$KV.MAIL.main.q_%d.1.paid", i): map[string]any{"state": "sent", "attempts": 1, "first_at": at, "updated_at": at, "accepted_at": at},
				event.JournalSubject("replay"):              journal.Entry{Version: journal.Version, Number: uint64(i), ID: id, At: at, Action: "replay", Who: "ada"},
			} {
				future, err := js.PublishAsync(subject, encode(body))
				if err != nil {
					w.t.Fatal(err)
				}
				futures = append(futures, future)
			}
		}
		for _, r := range w.log.Facts(ctx, facts) {
			if r.Err != nil || r.Stored.Taken {
				w.t.Fatalf("Facts = %+v", r)
			}
		}
		if _, err := pipe.Exec(ctx); err != nil {
			w.t.Fatal(err)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				w.t.Fatal(err)
			}
		}
	}
}
