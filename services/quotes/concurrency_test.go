package quotes_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

// race makes n calls at one time and returns their answers.
func (f *fixture) race(t *testing.T, n int, method, path, body string, headers func(i int) []string) []answer {
	t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			answers[i], errs[i] = f.try(t.Context(), method, path, body, headers(i)...)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

func TestOfManyPublishersExactlyOnePublishes(t *testing.T) {
	f := start(t)
	id := f.create(t)
	bodies := map[string]int{}
	for _, a := range f.race(t, 64, "POST", "/v1/quotes/"+id+"/publish", "", func(i int) []string {
		return []string{"Idempotency-Key", fmt.Sprint("key ", i)}
	}) {
		bodies[string(a.want(t, http.StatusOK).body)]++
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers, want one: %v", len(bodies), bodies)
	}
	if got := f.log(t, id); len(got) != 2 || got[1] != "quote.published.main."+id+".1" {
		t.Errorf("log = %v, want one publication", got)
	}
}

func TestOfManyEditorsOfOneVersionExactlyOneWins(t *testing.T) {
	f := start(t)
	id := f.create(t)
	won := 0
	for i, a := range f.race(t, 32, "PATCH", "/v1/quotes/"+id, `{"title":"mine"}`, func(int) []string { return []string{"If-Match", `"1"`} }) {
		switch a.status {
		case http.StatusOK:
			won++
		case http.StatusPreconditionFailed:
		default:
			t.Errorf("editor %d = %d %s", i, a.status, a.body)
		}
	}
	if got := f.log(t, id); won != 1 || len(got) != 2 {
		t.Errorf("%d editors won, log = %v, want one", won, got)
	}
}

func TestOfManyCreatesWithOneKeyExactlyOneCreates(t *testing.T) {
	f := start(t)
	ids := map[string]bool{}
	for _, a := range f.race(t, 32, "POST", "/v1/quotes", document, func(int) []string { return []string{"Idempotency-Key", "one"} }) {
		ids[a.want(t, http.StatusCreated).text(t, "id")] = true
	}
	if len(ids) != 1 {
		t.Errorf("%d quotes, want one", len(ids))
	}
}

// R27: whoever comes first, a payment and a recall never both stand.
func TestARecallNeverStandsOverAPayment(t *testing.T) {
	f := start(t)
	for range 20 {
		id := f.create(t)
		f.publish(t, id)
		var payment sync.WaitGroup
		payment.Go(func() { f.fact(t, id, event.NamePaid, "1", paid(id, 1, noon)) })
		a := f.call(t, "POST", "/v1/quotes/"+id+"/recall", "")
		payment.Wait()
		subjects := strings.Join(f.log(t, id), " ")
		recalled, settled := strings.Index(subjects, "quote.recalled"), strings.Index(subjects, "quote.paid")
		switch {
		case a.status == http.StatusOK && recalled >= 0 && recalled < settled: // paid after it: flagged late
		case a.status == http.StatusConflict && recalled < 0:
		default:
			t.Errorf("recall = %d, log = %s", a.status, subjects)
		}
	}
}

// Own writes are read at once, also by another instance of the service.
func TestOwnWritesAreReadAtOnce(t *testing.T) {
	f := start(t)
	id := f.create(t)
	first := f.service
	f.run(t)
	for version := 2; version < 30; version++ {
		title := fmt.Sprint("title ", version)
		f.service, first = first, f.service
		a := f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"`+title+`"}`, "If-Match", fmt.Sprintf(`"%d"`, version-1)).want(t, http.StatusOK)
		f.service, first = first, f.service
		b := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK)
		if a.text(t, "title") != title || string(a.body) != string(b.body) {
			t.Fatalf("wrote %s\nread  %s", a.body, b.body)
		}
	}
}

// A quote with more events than one answer of the server can hold still works.
func TestAQuoteWithThousandsOfFailedChargesStillWorks(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.publish(t, id)
	const charges = 1200
	f.fact(t, id, event.NamePaymentProcessing, "ch_7", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: "ch_7"})
	for i := range charges {
		object := fmt.Sprint("ch_", i)
		f.fact(t, id, event.NamePaymentFailed, object, event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: object})
	}
	if got := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, 200).text(t, "status"); got != "published" {
		t.Errorf("status = %s", got)
	}
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, 200)
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"x"}`, "If-Match", `"1"`).want(t, 200)
	f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, 200)
	f.fact(t, id, event.NamePaid, "2", paid(id, 2, noon))
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").problem(t, 409, "conflict")
}

func TestTroubleOfAServerIsSaidAndPasses(t *testing.T) {
	t.Parallel()
	f := start(t)
	id := f.create(t)
	other := f.create(t)
	f.publish(t, id)
	ready := func() int { return f.call(t, "GET", "/readyz", "").status }
	if ready() != http.StatusOK {
		t.Errorf("readyz = %d, want 200", ready())
	}

	f.redis.Stop()
	for _, path := range []string{"", "/card"} {
		a := f.call(t, "GET", "/v1/quotes/"+id+path, "").problem(t, 503, "unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("503 of %s without Retry-After", path)
		}
	}
	f.call(t, "GET", "/v1/quotes", "").problem(t, 503, "unavailable")
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").problem(t, 503, "unavailable")
	if got := f.log(t, id); slices.Contains(got, "quote.recalled.main."+id+".1") {
		t.Error("recalled although nobody could ask for payments")
	}
	// What needs no payment status works on.
	f.call(t, "GET", "/v1/quotes/"+other, "").want(t, 200)
	f.call(t, "PATCH", "/v1/quotes/"+other, `{"title":"x"}`, "If-Match", `"1"`).want(t, 200)
	f.call(t, "POST", "/v1/quotes/"+other+"/publish", "").want(t, 200)
	if ready() != http.StatusServiceUnavailable {
		t.Errorf("readyz without Redis = %d, want 503", ready())
	}
	f.redis.Start()
	eventually(t, "redis again", func() bool { return f.call(t, "GET", "/v1/quotes/"+id, "").status == 200 })

	f.nats.Stop()
	begun := time.Now()
	a := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "while down").problem(t, 503, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("503 took %s", took)
	}
	f.call(t, "GET", "/v1/quotes/"+id, "").problem(t, 503, "unavailable") // not 404
	f.nats.Restart()
	var created answer
	eventually(t, "nats again", func() bool {
		created = f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "while down")
		return created.status == 201
	})
	if got := f.log(t, created.text(t, "id")); len(got) != 1 {
		t.Errorf("log = %v, want the quote once", got)
	}
	eventually(t, "ready", func() bool { return ready() == 200 })
}
