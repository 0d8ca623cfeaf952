package operating_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/allinone/mailbox"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/notifier"
	"quittance.internal/services/operator/scenario"
)

// offer publishes quotes q_<from> to q_<to - 1>, complete with an owner who can be mailed.
func (r *rig) offer(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		id := fmt.Sprintf("q_%d", i)
		s := event.QuoteSubject{Event: event.NamePublished, Seller: "main", Quote: id, N: "1"}
		e, err := event.New(s, event.SourceQuotes, published, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
			PublishedAt: published, URLToken: id, Document: quote.Document{
				Title: "Roof", Currency: "eur", Deal: quote.Deal{ID: "d", Name: "Nowak"}, LineItems: []quote.LineItem{{Name: "Roof", Quantity: 1, UnitAmount: 1000}},
				Owner: quote.Owner{Name: "Maria", Email: "maria@seller.example", TimeZone: "Europe/Warsaw"}, Contact: quote.Contact{Email: "a@buyer.example"},
			},
		})
		if err != nil {
			r.t.Fatal(err)
		}
		r.store(s.String(), e.ID, e.Encode())
	}
}

// unseen has the events' messages acknowledged in the worker's name and folded by nobody, as if Redis had lost all of them.
// No worker may run.
func (r *rig) unseen(events []scenario.Event) {
	r.t.Helper()
	for _, e := range events {
		r.deliver(e)
	}
	c, err := r.log.JetStream().Consumer(r.t.Context(), event.StreamStripe, natsstream.DurablePayments)
	if err != nil {
		r.t.Fatal(err)
	}
	for left := len(events); left > 0; {
		batch, err := c.Fetch(left, jetstream.FetchMaxWait(30*time.Second))
		if err != nil {
			r.t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.DoubleAck(r.t.Context()); err != nil {
				r.t.Fatal(err)
			}
			left--
		}
		if batch.Error() != nil {
			r.t.Fatal(batch.Error())
		}
	}
}

// shown is what Redis holds of every quote: digest, status and flags by account/quote.
func (r *rig) shown() map[string]replay.Side {
	r.t.Helper()
	all := map[string]replay.Side{}
	keys := r.keys()
	var cursor uint64
	for {
		found, next, err := r.cache.Scan(r.t.Context(), cursor, keys.PayPattern(), 1000).Result()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, key := range found {
			account, id, ok := keys.ParsePay(key)
			if !ok {
				continue
			}
			h, err := r.cache.HMGet(r.t.Context(), key, redisquote.FieldStatus, redisquote.FieldFlags, redisquote.FieldDigest).Result()
			if err != nil {
				r.t.Fatal(err)
			}
			text := func(i int) string { s, _ := h[i].(string); return s }
			if side := (replay.Side{Status: text(0), Flags: text(1), Digest: text(2)}); side != (replay.Side{}) {
				all[account+"/"+id] = side
			}
		}
		if cursor = next; cursor == 0 {
			return all
		}
	}
}

// facts are the subjects of the stream QUOTES.
func (r *rig) facts() map[string]bool {
	r.t.Helper()
	s, err := r.log.JetStream().Stream(r.t.Context(), event.StreamQuotes)
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := s.Info(r.t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]bool{}
	for subject := range info.State.Subjects {
		all[subject] = true
	}
	return all
}

// plan makes a plan with quotectl.
func (r *rig) plan(args ...string) *replay.Plan {
	r.t.Helper()
	var p replay.Plan
	r.quotectl(append([]string{"replay", "plan", "-o", "json"}, args...)...).want(r.t, 0).decode(r.t, &p)
	return &p
}

// ran is what quotectl says of a run.
type ran struct {
	Plan string `json:"plan"`
	replay.Run
}

func (r *rig) runPlan(code int, p *replay.Plan, args ...string) ran {
	r.t.Helper()
	var run ran
	r.quotectl(append([]string{"replay", "run", p.ID, "--reason", "test", "-o", "json", "--rate", "0"}, args...)...).want(r.t, code).decode(r.t, &run)
	return run
}

// asPlanned compares what a run did with what its plan foretold: quote by quote, fact by fact.
func (r *rig) asPlanned(p *replay.Plan, before map[string]replay.Side, facts map[string]bool, seed string) {
	r.t.Helper()
	r.settled() // the worker gets what was published, too
	after := r.shown()
	var foretold []string
	for _, q := range p.Quotes {
		name := q.Account + "/" + q.Quote
		if have := before[name]; have != q.Before {
			r.t.Errorf("%s: before of %s = %+v, it was %+v", seed, name, q.Before, have)
		}
		if have := after[name]; have != q.After {
			r.t.Errorf("%s: %s is %+v, foretold was %+v", seed, name, have, q.After)
		}
		delete(before, name)
		delete(after, name)
		foretold = append(foretold, q.Facts...)
	}
	for name, side := range before {
		if after[name] != side {
			r.t.Errorf("%s: %s was %+v and is %+v, and the plan does not name it", seed, name, side, after[name])
		}
		delete(after, name)
	}
	for name := range after {
		r.t.Errorf("%s: %s appeared, and the plan does not name it", seed, name)
	}
	var stored []string
	for subject := range r.facts() {
		if !facts[subject] {
			stored = append(stored, subject)
		}
	}
	slices.Sort(stored)
	slices.Sort(foretold)
	if !slices.Equal(stored, foretold) {
		r.t.Errorf("%s: published %v, foretold %v", seed, stored, foretold)
	}
}

// post is a mail catcher and a notifier.
type post struct {
	t    testing.TB
	base string
}

func (r *rig) post() *post {
	r.t.Helper()
	catcher := pipelinetest.Run(r.t, mailbox.New, mailbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: r.t.TempDir()})
	pipelinetest.Run(r.t, notifier.New, notifier.Config{
		NATS: r.nats.Config("notifier"), Addr: "127.0.0.1:0", From: netmail.Address{Name: "Quittance", Address: "quotes@seller.example"},
		Relay: notifier.Relay{Host: "127.0.0.1", Port: catcher.SMTPAddr().(*net.TCPAddr).Port, Encryption: notifier.EncryptionNone, HELO: "test.example"},
	})
	return &post{r.t, "http://" + catcher.Addr().String()}
}

// count is how many mails were caught.
func (p *post) count() int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+"/api/v1/messages?limit=1", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct{ Total int }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		p.t.Fatal(err)
	}
	return list.Total
}

// ledger is the state of every mail, by key.
func (r *rig) ledger() map[string]string {
	r.t.Helper()
	bucket, err := r.log.JetStream().KeyValue(r.t.Context(), event.BucketMail)
	if err != nil {
		r.t.Fatal(err)
	}
	keys, err := bucket.Keys(r.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		r.t.Fatal(err)
	}
	all := map[string]string{}
	for _, key := range keys {
		e, err := bucket.Get(r.t.Context(), key)
		if err != nil {
			r.t.Fatal(err)
		}
		var entry struct {
			State string `json:"state"`
		}
		if err := json.Unmarshal(e.Value(), &entry); err != nil {
			r.t.Fatal(err)
		}
		all[key] = entry.State
	}
	return all
}

// mailed waits until every quote.paid has its mail, and returns how many there are.
func (r *rig) mailed() int {
	r.t.Helper()
	paid := 0
	r.eventually("every quote.paid is mailed", func() error {
		paid = 0
		sent := 0
		for subject := range r.facts() {
			if strings.HasPrefix(subject, "quote.paid.") {
				paid++
			}
		}
		for _, state := range r.ledger() {
			if state == "sent" {
				sent++
			}
		}
		if sent < paid {
			return fmt.Errorf("%d of %d", sent, paid)
		}
		return nil
	})
	return paid
}
