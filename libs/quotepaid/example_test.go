package quotepaid_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/quotepaid"
)

// A service that books every paid quote once, however often it hears of it.
func ExampleSubscribe() {
	nc, stop := serverWithOnePaidQuote()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	booked := map[string]bool{} // a table with a unique key, in a real service
	err := quotepaid.Subscribe(ctx, nc, quotepaid.Config{Name: "billing"}, func(_ context.Context, paid quotepaid.Paid) error {
		if booked[paid.ID] {
			return nil
		}
		booked[paid.ID] = true
		fmt.Println("book", paid.DealID, paid.Amount, paid.Currency, paid.PaidAt.Format(time.DateOnly))
		cancel() // an example ends; a service does not
		return nil
	})
	fmt.Println("ended with", err)
	// Output:
	// book deal_42 118587 pln 2026-11-20
	// ended with <nil>
}

func ExampleDecode() {
	b, err := os.ReadFile("testdata/quote.paid.v1.json")
	if err != nil {
		log.Fatal(err)
	}
	paid, err := quotepaid.Decode(b)
	fmt.Println(paid.QuoteID, paid.Revision, paid.Amount, paid.Currency, err)
	// Output: q_mfrggzdfmztwq2lknnwg23tpob 1 118587 pln <nil>
}

// serverWithOnePaidQuote stands for the NATS server that operations run.
func serverWithOnePaidQuote() (nc *nats.Conn, stop func()) {
	dir := must(os.MkdirTemp("", "quotepaid"))
	srv := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}))
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		log.Fatal("nats-server is not ready")
	}
	nc = must(nats.Connect(srv.ClientURL()))
	js := must(jetstream.New(nc))
	must(js.CreateStream(context.Background(), jetstream.StreamConfig{Name: quotepaid.Stream, Subjects: []string{"quote.*.*.*.*"}}))
	must(js.Publish(context.Background(), "quote.paid.main.q_1.1", must(os.ReadFile("testdata/quote.paid.v1.json"))))
	return nc, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
