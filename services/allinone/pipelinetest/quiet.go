package pipelinetest

import (
	"context"
	"fmt"
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/allinone/processtest"
)

// Quiet returns nil when nothing is under way, and else what is: the sandbox at the URL stripe has delivered its webhooks, and
// payments and the further consumers have acknowledged all that is stored for them. What is counted before that may be too little
// still: the status is committed before quote.paid is published, and that before the mail is sent.
func Quiet(ctx context.Context, log *natsstream.Log, stripe string, further ...natstest.Consumer) error {
	consumers := append([]natstest.Consumer{
		{Stream: event.StreamStripe, Durable: natsstream.DurablePayments}, {Stream: event.StreamQuotes, Durable: natsstream.DurablePayments},
	}, further...)
	for range 2 { // what the last of them did may have begun the round anew, at Stripe
		if err := delivered(ctx, stripe); err != nil {
			return err
		}
		if err := natstest.Settled(ctx, log, consumers...); err != nil {
			return err
		}
	}
	return nil
}

// delivered returns nil when the sandbox has no webhook that is still to be delivered.
func delivered(ctx context.Context, stripe string) error {
	for _, state := range []string{"held", "pending"} { // in the order in which they follow each other
		var open struct{ Deliveries []struct{ Type string } }
		if err := processtest.JSON(ctx, http.MethodGet, stripe+"/sandbox/deliveries?state="+state, nil, &open); err != nil {
			return err
		}
		if len(open.Deliveries) > 0 {
			return fmt.Errorf("%d deliveries are %s, the first is of %s", len(open.Deliveries), state, open.Deliveries[0].Type)
		}
	}
	return nil
}
