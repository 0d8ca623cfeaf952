package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// Subject is where the quotes service, which has Stripe's key, takes an Order as a core NATS request and answers with a Taken.
const Subject = "op.quotes.reconcile"

// The journal's words for what an Order comes to. The quotes service writes the entries: it knows the end of it.
const (
	ActionReport = "reconcile_report"
	ActionRepair = "reconcile_repair"
)

// Order asks for a comparison, or for the repair of what one found.
type Order struct {
	Repair bool      `json:"repair"`
	Since  time.Time `json:"since"`
	// Account narrows it to one; empty for all.
	Account string `json:"account,omitempty"`
	// Most is how many differences a repair may make good: as many as whoever asks for it has seen. When there are more by
	// then, nothing is repaired.
	Most int `json:"most,omitempty"`
	// Who is the name of the operator's token. Why is needed for a repair.
	Who string `json:"who"`
	Why string `json:"why,omitempty"`
}

// check returns why an order is none, or "".
func (o Order) check(now time.Time) string {
	switch {
	case o.Since.IsZero() || o.Since.After(now):
		return "since is missing, or still to come"
	case o.Account != "" && event.AccountFilter(o.Account) == "":
		return "account is neither platform nor acct_…"
	case o.Who == "":
		return "it does not say who asks"
	case o.Repair && (o.Why == "" || o.Most < 1):
		return "a repair needs a reason, and how many differences were seen"
	}
	return ""
}

// Taken answers an Order. Where Error is set nothing was begun. The run itself goes on by itself: see LastRun.
type Taken struct {
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"`
}

// The states of a Run. One that claims to be running after its Until was cut off: see StateAt.
const (
	Running     = "running"
	Done        = "done"
	Failed      = "failed"
	Interrupted = "interrupted"
)

// Run is the last order that was carried out, in bucket SYSTEM under RunKey. One is carried out at a time.
type Run struct {
	ID string `json:"id"`
	Order
	State string    `json:"state"`
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended,omitzero"`
	// Until is moved on while the run is under way; nobody holds it after that.
	Until time.Time `json:"until,omitzero"`
	// Progress is what is being done.
	Progress string `json:"progress,omitempty"`
	// Error is why it failed, and Next what to do about that.
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`
	// Report is what was found; its rows are at most RowsKept, its counts are of all.
	Report *Report `json:"report,omitempty"`
	// Repaired is what a repair came to; nil where none was made.
	Repaired *Repaired `json:"repaired,omitempty"`
}

// RunKey is the key of the last Run in bucket SYSTEM.
const RunKey = "reconcile.run"

// RowsKept bounds the rows of a Run: a value of a bucket is one message of at most 1 MiB.
const RowsKept = 500

// StateAt is the state as it is at a time.
func (r *Run) StateAt(now time.Time) string {
	if r.State == Running && now.After(r.Until) {
		return Interrupted
	}
	return r.State
}

// LastRun reads the last run; natsstream.ErrNotFound where there was none.
func LastRun(ctx context.Context, log *natsstream.Log) (*Run, error) {
	r, _, err := readRun(ctx, log)
	if err == nil && r == nil {
		err = natsstream.ErrNotFound
	}
	return r, err
}

// LastState reads how the automatic runs stand; natsstream.ErrNotFound where there was none.
func LastState(ctx context.Context, log *natsstream.Log) (State, error) {
	s, revision, err := readState(ctx, log)
	if err == nil && revision == 0 {
		err = natsstream.ErrNotFound
	}
	return s, err
}

func readRun(ctx context.Context, log *natsstream.Log) (r *Run, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	data, revision, err := log.System(ctx, RunKey)
	if errors.Is(err, natsstream.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	r = &Run{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, revision, fmt.Errorf("decode the last run of reconcile: %w", err)
	}
	return r, revision, nil
}

func writeRun(ctx context.Context, log *natsstream.Log, r *Run, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	data, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("encode the run of reconcile: %w", err)
	}
	return log.SetSystem(ctx, RunKey, data, revision)
}

// askTimeout bounds the wait for the answer to an order, which is given before the work.
const askTimeout = 10 * time.Second

// Ask hands an order to the quotes service and returns the run's id.
func Ask(ctx context.Context, nc *nats.Conn, o Order) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("encode order: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, Subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return "", advice.New("start quotes with STRIPE_API_KEY and INGRESS_URL, or type: quotectl reconcile report", "no quotes service runs that may ask Stripe")
	}
	if err != nil {
		return "", advice.New("look at the page again: it may have begun", "quotes has not answered: %w", err)
	}
	var t Taken
	if err := json.Unmarshal(msg.Data, &t); err != nil {
		return "", fmt.Errorf("decode the answer of quotes: %w", err)
	}
	if t.Error != "" {
		return "", advice.Of(advice.Difference, "look at the page again: it tells of the last comparison", "%s", t.Error)
	}
	return t.ID, nil
}
