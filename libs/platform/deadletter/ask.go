package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/platform/natsstream"
)

// The verbs of a Request.
const (
	VerbRetry   = "retry"
	VerbDiscard = "discard"
)

// Request asks the owner of a letter to do something about it.
type Request struct {
	Verb string `json:"verb"`
	Key
	// Who and Why are the operator's; both are needed.
	Who string `json:"who"`
	Why string `json:"why"`
}

// Answer tells what came of a Request.
type Answer struct {
	// Error says why nothing was decided; the letter stands as before, or is open once more with the round after.
	Error string `json:"error,omitempty"`
	// Letter is as it stands now.
	Letter Letter `json:"letter"`
	// Before is the state it had.
	Before State `json:"before,omitempty"`
	// Outcome is what a retry came to.
	Outcome string `json:"outcome,omitempty"`
}

// owners are the services whose durables set messages aside.
var owners = map[string]string{
	natsstream.DurablePayments:  "payments",
	natsstream.DurableNotifier:  "notifier",
	natsstream.DurableReminders: "notifier",
	natsstream.DurableCustomers: "quotes",
	natsstream.DurablePlanner:   "quotes",
	natsstream.DurableTimers:    "quotes",
}

// Owner is the service that a consumer's letters belong to, "" for one that is not ours.
func Owner(consumer string) string { return owners[consumer] }

// Subject is where a service takes Requests.
func Subject(service string) string { return "op." + service + ".dead" }

// ErrNobody means that the owner of the letter does not run, or that there is none.
var ErrNobody = errors.New("nobody answers for this letter")

// Ask sends a Request to the letter's owner and waits for its Answer as long as ctx allows. It returns ErrNobody when no
// such service runs.
func Ask(ctx context.Context, nc *nats.Conn, r Request) (Answer, error) {
	service := Owner(r.Consumer)
	if service == "" {
		return Answer{}, fmt.Errorf("%s %s: %w: consumer %s is none of ours", r.Verb, r.Key, ErrNobody, r.Consumer)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("encode request: %w", err)
	}
	msg, err := nc.RequestWithContext(ctx, Subject(service), body)
	if errors.Is(err, nats.ErrNoResponders) {
		return Answer{}, fmt.Errorf("%s %s: %w: no %s runs", r.Verb, r.Key, ErrNobody, service)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %s has not answered, it may still be at it: %w", r.Verb, r.Key, service, err)
	}
	var a Answer
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		return Answer{}, fmt.Errorf("%s %s: decode the answer of %s: %w", r.Verb, r.Key, service, err)
	}
	return a, nil
}
