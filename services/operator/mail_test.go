package operator_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	ledger "quittance.internal/libs/operations/mail"
	"quittance.internal/libs/platform/natsstream"
)

// mailed writes an entry of the ledger as the notifier does.
func (s *shelf) mailed(key, state string, at time.Time) {
	s.t.Helper()
	bucket, err := s.log.JetStream().KeyValue(s.t.Context(), event.BucketMail)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"state": state, "attempts": 2, "first_at": at, "updated_at": at, "accepted_at": at, "message_id": key + "@seller.example", "code": 250,
		"reply": "queued for maria@seller.example", "sequence": 4410, "template": 1,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := bucket.Put(s.t.Context(), key, body); err != nil {
		s.t.Fatal(err)
	}
}

// publishes puts a publication with its owner's address onto the log.
func (s *shelf) publishes(id string, revision int) {
	s.t.Helper()
	subject := event.QuoteSubject{Event: event.NamePublished, Seller: "main", Quote: id, N: strconv.Itoa(revision)}
	p := quote.Published{Seller: "main", QuoteID: id, Revision: revision, Document: quote.Document{Owner: quote.Owner{Email: "maria@seller.example"}}}
	e, err := event.New(subject, event.SourceQuotes, time.Now(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.log.Fact(s.t.Context(), natsstream.Message{Subject: subject.String(), ID: e.ID, Data: e.Encode()}); err != nil {
		s.t.Fatal(err)
	}
}

func TestMailListFiltersTheLedgerAndMasksAddresses(t *testing.T) {
	s := newShelf(t)
	now := time.Now().UTC()
	s.publishes("q_1042", 2)
	s.mailed("main.q_1042.2.paid", "sent", now.Add(-time.Hour))
	s.mailed("main.q_1042.2.expiring", "rejected", now.Add(-2*time.Hour))
	for n := range 60 {
		s.mailed(fmt.Sprintf("main.q_%d.1.paid", n), "sent", now.Add(-time.Duration(n+100)*time.Hour))
	}
	list := s.run("mail", "list")
	list.want(t, 0, "main.q_1042.2.paid", "m***@seller.example", "250 queued for m***@seller.example", "12 more; narrow it with --until")
	if strings.Contains(list.out, "maria@") || strings.Index(list.out, "2.paid") > strings.Index(list.out, "2.expiring") {
		t.Errorf("an address is shown, or the order is wrong:\n%s", list.out)
	}
	if r := s.run("mail", "list", "--limit", "0", "-o", "jsonl"); strings.Count(r.out, "\n") != 62 {
		t.Errorf("--limit 0 lists %d mails, want 62", strings.Count(r.out, "\n"))
	}
	if r := s.run("mail", "list", "--state", "rejected,parked"); strings.Count(r.out, "main.") != 1 {
		t.Errorf("the rejected ones:\n%s", r.out)
	}
	if r := s.run("mail", "list", "--quote", "q_1042", "--kind", "paid", "--since", "90m", "-o", "json"); strings.Count(r.out, `"key"`) != 1 {
		t.Errorf("by quote, kind and age:\n%s", r.out)
	}
	show := s.run("mail", "show", "q_1042")
	show.want(t, 0, "main.q_1042.2.paid@seller.example", "because of", "QUOTES:4410", "rejected")
	s.run("mail", "show", "main.q_1042.2.expiring", "-o", "json").want(t, 0, `"state": "rejected"`)
	s.run("mail", "show", "q_none").want(t, 5, "the ledger has no mail about q_none", "next: quotectl explain q_none")
	s.run("mail", "list", "--state", "lost").want(t, 2, "--state is \"lost\"")
	s.run("mail", "list", "--since", "x").want(t, 2, "is no time")
	s.run("mail", "list", "--quote", "a.>").want(t, 2, "is no quote id")
}

// R64, R68, R70
func TestResendAsksTheNotifierOnceAndIsJournaled(t *testing.T) {
	s := newShelf(t)
	s.mailed("main.q_1042.1.paid", "sent", time.Now().UTC())
	s.mailed("main.q_1042.2.paid", "sent", time.Now().UTC())
	s.run("mail", "resend", "q_1042", "--reason", "mailbox was full").want(t, 1, "no notifier runs", "next: start the notifier")
	var asked []ledger.Request
	s.srv.Answer("notifier", ledger.Subject, func(m *natsMsg) {
		var r ledger.Request
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Error(err)
		}
		asked = append(asked, r)
		key := fmt.Sprintf("%s.%s.%d.%s.%d", r.Seller, r.Quote, r.Revision, r.Kind, r.Number)
		s.mailed(key, "sent", time.Now().UTC())
		if err := m.Respond([]byte(`{"key":"` + key + `","entry":{"state":"sent","code":250,"reply":"ok","message_id":"x@y"}}`)); err != nil {
			t.Error(err)
		}
	})
	s.run("mail", "resend", "q_1042").want(t, 2, "--reason is missing")
	s.run("mail", "resend", "q_1042", "--reason", "mailbox was full").want(t, 0, "main.q_1042.2.paid.1", "sent", "x@y")
	s.run("mail", "resend", "q_1042", "--reason", "mailbox was full").want(t, 4, "was sent again already (resend 1, at ", "next: quotectl mail show q_1042; --again")
	again := s.run("mail", "resend", "q_1042", "--reason", "deleted", "--again", "--revision", "2", "-o", "json")
	again.want(t, 0, `"main.q_1042.2.paid.2"`)
	again.document(t)
	if want := (ledger.Request{Seller: "main", Quote: "q_1042", Revision: 2, Kind: "paid", Number: 1, Reason: "mailbox was full"}); len(asked) != 2 || asked[0] != want || asked[1].Number != 2 {
		t.Errorf("asked %+v, want %+v and a second one", asked, want)
	}
	s.run("mail", "resend", "q_1042", "--revision", "1", "--reason", "of the first").want(t, 0, "main.q_1042.1.paid.1")
	if want := (ledger.Request{Seller: "main", Quote: "q_1042", Revision: 1, Kind: "paid", Number: 1, Reason: "of the first"}); asked[len(asked)-1] != want {
		t.Errorf("asked %+v, want %+v", asked[len(asked)-1], want)
	}
	s.run("mail", "resend", "q_none", "--reason", "x").want(t, 5, "the ledger has no mail paid about quote q_none")
	s.run("mail", "resend", "q_1042", "--kind", "other", "--reason", "x").want(t, 2, "--kind is \"other\"")
	s.run("journal", "list", "--action", "mail_resend", "-o", "jsonl").want(t, 0, `"key":"main.q_1042.2.paid.2"`, `"error":"no notifier runs"`)
}

// The notifier takes a request for the mail that is open and for no other one.
func TestAResendIsPlannedForTheMailThatIsOpen(t *testing.T) {
	s := newShelf(t)
	for i, tt := range []struct {
		states []string // of the mail and its resends
		want   int
	}{
		{[]string{"claimed"}, 0},
		{[]string{"ambiguous"}, 0},
		{[]string{"sent"}, 1},
		{[]string{"rejected", "sending"}, 1},
		{[]string{"parked", "parked"}, 2},
		{[]string{"dropped"}, 1},
		{[]string{"dropped", "dropped"}, 2},
	} {
		quote := fmt.Sprintf("q_%d", i)
		for n, state := range tt.states {
			key := "main." + quote + ".1.expiring"
			if n > 0 {
				key = fmt.Sprintf("%s.%d", key, n)
			}
			s.mailed(key, state, time.Now().UTC())
		}
		got, _, err := (ledger.Ledger{Log: s.log}).Plan(t.Context(), quote, "expiring", 0, true)
		if err != nil || got.Number != tt.want {
			t.Errorf("%v: number %d, %v, want %d", tt.states, got.Number, err, tt.want)
		}
	}
	s.run("mail", "list", "--state", "dropped").want(t, 0, "main.q_5.1.expiring", "main.q_6.1.expiring.1")
}

// subscriber declares another team's durable.
func (s *shelf) subscriber(name, filter string) jetstream.Consumer {
	s.t.Helper()
	c, err := s.log.JetStream().CreateOrUpdateConsumer(s.t.Context(), event.StreamQuotes, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// take delivers n messages to a consumer and acknowledges those for which ack says so; the server has confirmed it.
func (s *shelf) take(c jetstream.Consumer, n int, ack func(i int) bool) []uint64 {
	s.t.Helper()
	var got []uint64
	for i := range n {
		m, err := c.Next(jetstream.FetchMaxWait(20 * time.Second))
		if err != nil {
			s.t.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			s.t.Fatal(err)
		}
		got = append(got, meta.Sequence.Stream)
		if ack(i) {
			if err := m.DoubleAck(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return got
}

func always(int) bool { return true }

func (s *shelf) paidQuotes(n int) {
	s.t.Helper()
	for i := 1; i <= n; i++ {
		if _, err := s.log.Fact(s.t.Context(), natsstream.Message{Subject: fmt.Sprintf("quote.paid.main.q_%d.1", i), Data: []byte("{}")}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestSubscribersTellWhoHasWhatHonestly(t *testing.T) {
	s := newShelf(t)
	s.paidQuotes(6)
	s.take(s.subscriber("crm", "quote.paid.*.*.*"), 6, always)
	s.take(s.subscriber("ledger", "quote.paid.>"), 4, func(i int) bool { return i != 1 }) // q_2 is open, 3 and 4 are acknowledged
	s.subscriber("refunds", "quote.refunded.*.*.*")
	list := s.run("subscribers", "list", "-o", "json")
	list.want(t, 0, `"name": "crm"`, `"name": "payments"`, `"name": "notifier"`, `"name": "ledger"`)
	var all []struct {
		Name            string
		Own             bool
		AckFloor        uint64 `json:"ack_floor"`
		Pending, Oldest uint64
		Unacked         int
	}
	if err := json.Unmarshal([]byte(list.out), &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		switch c.Name {
		case "crm":
			if c.Own || c.AckFloor != 6 || c.Pending != 0 || c.Oldest != 0 {
				t.Errorf("crm = %+v", c)
			}
		case "ledger":
			if c.AckFloor != 1 || c.Unacked != 1 || c.Pending != 2 || c.Oldest != 2 {
				t.Errorf("ledger = %+v, want floor 1, one unacknowledged, 2 pending, the oldest 2", c)
			}
		case "payments":
			if !c.Own || c.Pending != 6 || c.Oldest != 1 {
				t.Errorf("payments = %+v", c)
			}
		}
	}
	for ref, want := range map[string]map[string]string{
		"q_1":      {"crm": "acknowledged", "ledger": "acknowledged", "notifier": "not delivered yet"},
		"q_3":      {"crm": "acknowledged", "ledger": "delivered, not known whether acknowledged"},
		"QUOTES:6": {"crm": "acknowledged", "ledger": "not delivered yet", "payments": "not delivered yet"},
	} {
		r := s.run("subscribers", "missing", ref, "-o", "jsonl")
		r.want(t, 3, "have not acknowledged it")
		if strings.Contains(r.out, "refunds") {
			t.Errorf("%s: a consumer that does not take quote.paid is asked:\n%s", ref, r.out)
		}
		for name, state := range want {
			if !strings.Contains(r.out, fmt.Sprintf(`"subscriber":%q`, name)) || !lineHas(r.out, `"`+name+`"`, state) {
				t.Errorf("%s: %s is not %q:\n%s", ref, name, state, r.out)
			}
		}
	}
	s.run("subscribers", "missing", "q_none").want(t, 5, "there is no quote.paid of quote q_none")
	s.run("subscribers", "missing", "STRIPE:1").want(t, 2, "which is the one that has subscribers")
	s.run("subscribers", "lag", "--consumer", "crm", "--max-lag", "0").want(t, 0, "crm")
	s.run("subscribers", "lag", "--consumer", "ledger", "--max-lag", "2").want(t, 3, "behind: ledger", "next: quotectl subscribers list")
	s.run("subscribers", "lag", "--consumer", "ledger", "--max-age", "1h").want(t, 0, "ledger")
	s.run("subscribers", "lag", "--consumer", "ledger", "--max-age", "1ns").want(t, 3, "behind: ledger")
	s.run("subscribers", "lag", "--consumer", "nobody").want(t, 5, "has no consumer \"nobody\"")
}

func lineHas(out, name, text string) bool {
	for line := range strings.SplitSeq(out, "\n") {
		if strings.Contains(line, `"subscriber":`+name) && strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// R65: one subscriber gets facts again, at its own pace; the others notice nothing.
func TestReplayToOneSubscriberDisturbsNoOther(t *testing.T) {
	s := newShelf(t)
	s.paidQuotes(5)
	crm, other := s.subscriber("crm", "quote.paid.*.*.*"), s.subscriber("other", "quote.paid.*.*.*")
	s.take(crm, 5, always)
	s.take(other, 5, always)
	s.run("subscribers", "replay", "--consumer", "crm", "--from", "3", "--reason", "lost a day").want(t, 0, "next: the same with --yes", "QUOTES:3")
	s.run("subscribers", "lag", "--consumer", "crm", "--max-lag", "0").want(t, 0)
	s.run("subscribers", "replay", "--consumer", "crm", "--from", "3", "--yes").want(t, 2, "--reason is missing")
	s.run("subscribers", "replay", "--consumer", "crm", "--from", "3", "--yes", "--reason", "lost a day").want(t, 0, "QUOTES:3", "3")
	if got := fmt.Sprint(s.take(crm, 3, always)); got != "[3 4 5]" {
		t.Errorf("crm got %s again, want 3 4 5", got)
	}
	if info, err := other.Info(t.Context()); err != nil || info.NumPending != 0 || info.NumAckPending != 0 || info.AckFloor.Stream != 5 {
		t.Errorf("the other subscriber = %+v, %v, want it undisturbed", info, err)
	}
	s.run("subscribers", "replay", "--consumer", "crm", "--from", "1h", "--reason", "by time", "-o", "json").document(t)
	byTime := s.run("subscribers", "replay", "--consumer", "crm", "--from", "1h", "--yes", "--reason", "by time", "-o", "json")
	byTime.want(t, 0, `"from": 1`)
	byTime.document(t)
	if got := fmt.Sprint(s.take(crm, 5, always)); got != "[1 2 3 4 5]" {
		t.Errorf("crm got %s again, want all", got)
	}
	s.run("journal", "list", "--action", "subscriber_replay").want(t, 0, "crm", "5 → 2", "lost a day", "5 → 0")
	for own, next := range map[string]string{"payments": "quotectl replay", "notifier": "quotectl mail resend", "customers": "quotectl dead list"} {
		s.run("subscribers", "replay", "--consumer", own, "--from", "1", "--yes", "--reason", "x").want(t, 2, own+" is our own", "next: "+next)
	}
	s.run("subscribers", "replay", "--consumer", "nobody", "--from", "1", "--yes", "--reason", "x").want(t, 5, "no consumer \"nobody\"")
	s.run("subscribers", "replay", "--consumer", "crm", "--from", "99", "--reason", "x").want(t, 5, "QUOTES:99 is not in the log")
	s.run("subscribers", "replay", "--consumer", "crm").want(t, 2, "--consumer and --from are needed")
}

// The notifier is asked what the newest mail says, or the one with a key; quotectl makes no mail of its own.
func TestMailPreviewAsksTheNotifier(t *testing.T) {
	s := newShelf(t)
	s.run("mail", "preview", "q_1042").want(t, 5, "the log has no quote.paid of q_1042", "next: quotectl explain q_1042 --why-no-email")
	s.publishes("q_1042", 2)
	for n := range 2 {
		subject := event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: "q_1042", N: strconv.Itoa(n + 1)}
		e, err := event.New(subject, event.SourcePayments, time.Now(), event.Paid{Seller: "main", QuoteID: "q_1042", Revision: n + 1, PaidAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.log.Fact(t.Context(), natsstream.Message{Subject: subject.String(), ID: e.ID, Data: e.Encode()}); err != nil {
			t.Fatal(err)
		}
	}
	s.run("mail", "preview", "q_1042").want(t, 1, "no notifier runs", "next: start the notifier")
	answer := `{"key":"main.q_1042.2.paid","from":"a@b.example","to":"maria@seller.example","subject":"Paid: Website","date":"2026-11-20T12:00:00Z","text":"Your quote was paid.\n","html":"<h1>paid</h1>","sha256":"aa"}`
	var asked []string
	s.srv.Answer("notifier", ledger.SubjectPreview, func(m *natsMsg) {
		asked = append(asked, string(m.Data))
		if err := m.Respond([]byte(answer)); err != nil {
			t.Error(err)
		}
	})
	s.run("mail", "preview", "q_1042").want(t, 0, "Paid: Website", "maria@seller.example", "Your quote was paid.", "As it would be sent now")
	s.mailed("main.q_1042.2.paid", "sent", time.Now().UTC())
	s.mailed("main.q_1042.2.paid.1", "sent", time.Now().UTC())
	if r := s.run("mail", "preview", "q_1042", "--html"); r.out != "<h1>paid</h1>" {
		t.Errorf("--html prints %q", r.out)
	}
	preview := s.run("mail", "preview", "q_1042", "--revision", "1", "-o", "json")
	preview.want(t, 0, `"subject": "Paid: Website"`)
	preview.document(t)
	s.run("mail", "preview", "main.q_7.3.expiring.2").want(t, 0, "Paid: Website")
	want := []string{
		`{"seller":"main","quote":"q_1042","revision":2,"kind":"paid","number":0}`,
		`{"seller":"main","quote":"q_1042","revision":2,"kind":"paid","number":1}`,
		`{"seller":"main","quote":"q_1042","revision":1,"kind":"paid","number":0}`,
		`{"seller":"main","quote":"q_7","revision":3,"kind":"expiring","number":2}`,
	}
	if got := strings.Join(asked, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	answer = `{"error":"preview: direct read: not there","missing":true}`
	s.run("mail", "preview", "q_1042").want(t, 5, "the log lacks what the mail is made of")
	s.run("mail", "preview", "a.b").want(t, 2, "neither a quote id nor a mail's key")
	s.run("mail", "preview", "q_1042", "--kind", "other").want(t, 2, "--kind is \"other\"")
	s.run("mail", "preview", "main.q_7.3.paid", "--kind", "paid").want(t, 2, "names kind and revision already")
}
