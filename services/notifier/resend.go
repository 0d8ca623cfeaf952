package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
)

// SubjectResend is where operators' tools ask for a mail to be sent again, as a core NATS request. One notifier answers.
// A replay of events never does that.
const SubjectResend = "op.notifier.resend"

// maxResends bounds how often one mail may be sent again by hand.
const maxResends = 20

// ResendRequest asks for one mail to be sent again. It gets a ledger entry, a Message-ID and a mail of its own.
type ResendRequest struct {
	Seller   string `json:"seller"`
	Quote    string `json:"quote"`
	Revision int    `json:"revision"`
	// Kind is which mail: paid, also where it is empty, or expiring.
	Kind string `json:"kind,omitempty"`
	// Number says which of the mails is meant, where it is given: 0 for the first mail, n for its n-th resend. A request for any
	// but the one that is open is refused, so that the same request is never two mails.
	Number *int `json:"number,omitempty"`
	// Reason is the operator's; it is logged here and recorded in the journal by the tool.
	Reason string `json:"reason"`
}

// ResendAnswer tells what became of it. Error says why it is not done; with a Key as well, that mail is on its way, and the
// same request, repeated later, goes on with it. Key ends in the kind where it was the first mail that was still open.
type ResendAnswer struct {
	Key   string `json:"key,omitempty"`
	Entry *Entry `json:"entry,omitempty"`
	Error string `json:"error,omitempty"`
}

// resender answers ResendRequests.
type resender struct {
	sender *sender
	log    *zap.Logger
}

// serve answers requests until ctx ends, one at a time.
func (r *resender) serve(ctx context.Context, nc *nats.Conn) error {
	hand, release := outlive(ctx)
	defer release()
	return answerRequests(ctx, nc, r.log, SubjectResend, func(body []byte) any { return r.answer(hand, body) })
}

func (r *resender) answer(ctx context.Context, body []byte) ResendAnswer {
	var req ResendRequest
	err := json.Unmarshal(body, &req)
	if req.Kind == "" {
		req.Kind = kindPaid
	}
	switch {
	case err != nil:
		return ResendAnswer{Error: "request is not JSON"}
	case !event.ValidToken(req.Seller) || !event.ValidToken(req.Quote) || req.Revision < 1 || req.Reason == "":
		return ResendAnswer{Error: "request needs seller, quote, revision and reason"}
	case req.Kind != kindPaid && req.Kind != kindExpiring:
		return ResendAnswer{Error: "kind is neither " + kindPaid + " nor " + kindExpiring}
	}
	key, entry, err := r.resend(ctx, req)
	answer := ResendAnswer{Key: key}
	if entry.State != "" {
		answer.Entry = &entry
	}
	if err != nil {
		answer.Error = maskAddresses(err.Error())
	}
	r.log.Info("resend asked for", zap.String("quote_id", req.Quote), zap.String("seller", req.Seller), zap.Int("revision", req.Revision),
		zap.String("reason", maskAddresses(req.Reason)), zap.String("key", key), zap.String("state", string(entry.State)),
		zap.String("reply", entry.Reply), zap.String("error", answer.Error))
	return answer
}

// resend sends the mail again, or goes on with one that did not come to its end: also with the first, which has no
// message to bring it back where that was set aside. What is under way keeps its lease and its waits, so that asking is
// never the second mail. A resend's attempt without an answer is always parked: an operator is looking.
func (r *resender) resend(ctx context.Context, req ResendRequest) (string, Entry, error) {
	subject := event.QuoteSubject{
		Event: req.Kind, Seller: req.Seller, Quote: req.Quote, N: strconv.Itoa(req.Revision),
	}.String()
	read, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	record, err := r.sender.log.Read(read, event.StreamQuotes, subject)
	if err != nil {
		return "", Entry{}, fmt.Errorf("resend: %w", err)
	}
	told, err := decodeNews(subject, record.Data)
	if err != nil {
		return "", Entry{}, fmt.Errorf("resend: %w", err)
	}
	n, err := r.open(ctx, told)
	if err != nil {
		return "", Entry{}, fmt.Errorf("resend: %w", err)
	}
	if req.Number != nil && *req.Number != n {
		return "", Entry{}, fmt.Errorf("resend: number %d is not the mail that is open; sent again %d times already, number %d is next", *req.Number, max(n-1, 0), n)
	}
	j := job{key: told.key(n), news: told, sequence: record.Sequence, rules: r.sender.rules}
	if n > 0 {
		j.rules.policy = PolicyPark
	}
	entry, err := r.sender.sendReceipt(ctx, j)
	return j.key, entry, err
}

// open is the number of the first of the mails about the same that has not come to its end; 0 is the first mail itself.
func (r *resender) open(ctx context.Context, told news) (int, error) {
	for n := range maxResends + 1 {
		found, err := r.sender.ledger.read(ctx, told.key(n))
		switch {
		case errors.Is(err, ErrNoEntry), err == nil && !found.entry.Final():
			return n, nil
		case err != nil:
			return 0, err
		}
	}
	return 0, fmt.Errorf("the mail was sent again %d times already", maxResends)
}
