package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// SubjectPreview is where operators' tools ask what a mail says, as a core NATS request. Nothing is sent and nothing written.
const SubjectPreview = "op.notifier.preview"

// PreviewRequest names a mail: one that is in the ledger, or the one that will be made of an event.
type PreviewRequest struct {
	Seller   string `json:"seller"`
	Quote    string `json:"quote"`
	Revision int    `json:"revision"`
	// Kind is paid or expiring.
	Kind string `json:"kind"`
	// Number is 0 for the first mail, n for its n-th resend.
	Number int `json:"number"`
}

// PreviewAnswer is the mail, made by the same steps as the one that is sent. It holds personal data: it is for whoever asked,
// and for no log.
type PreviewAnswer struct {
	Key string `json:"key,omitempty"`
	// State is the ledger's; empty where it has no such mail yet.
	State     State     `json:"state,omitempty"`
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Date      time.Time `json:"date,omitzero"`
	MessageID string    `json:"message_id,omitempty"`
	Text      string    `json:"text,omitempty"`
	HTML      string    `json:"html,omitempty"`
	// SHA256 is the hex digest of the mail's bytes as it would be made now. Recorded is that of the last attempt to send it,
	// empty where there was none: where the two are equal, these are the bytes that were sent.
	SHA256   string `json:"sha256,omitempty"`
	Recorded string `json:"recorded_sha256,omitempty"`
	// Overtaken is why it would not be sent any more; empty where it would. Of reminders only.
	Overtaken string `json:"overtaken,omitempty"`
	// Missing says that the log has no such event.
	Missing bool `json:"missing,omitempty"`
	// Error is why there is nothing to show.
	Error string `json:"error,omitempty"`
}

// previewer answers PreviewRequests.
type previewer struct {
	sender *sender
	log    *zap.Logger
}

// serve answers until ctx ends, one at a time.
func (p *previewer) serve(ctx context.Context, nc *nats.Conn) error {
	return answerRequests(ctx, nc, p.log, SubjectPreview, func(body []byte) any { return p.answer(ctx, body) })
}

func (p *previewer) answer(ctx context.Context, body []byte) PreviewAnswer {
	var req PreviewRequest
	err := json.Unmarshal(body, &req)
	switch {
	case err != nil:
		return PreviewAnswer{Error: "request is not JSON"}
	case !event.ValidToken(req.Seller) || !event.ValidToken(req.Quote) || req.Revision < 1 || req.Number < 0 || req.Number > maxResends:
		return PreviewAnswer{Error: "request needs seller, quote, revision, and the number of a mail"}
	case req.Kind != kindPaid && req.Kind != kindExpiring:
		return PreviewAnswer{Error: "kind is neither " + kindPaid + " nor " + kindExpiring}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := p.preview(ctx, req)
	if err != nil {
		answer = PreviewAnswer{Error: maskAddresses(err.Error()), Missing: errors.Is(err, natsstream.ErrNotFound)}
	}
	p.log.Info("mail shown to an operator", zap.String("quote_id", req.Quote), zap.String("seller", req.Seller), zap.Int("revision", req.Revision),
		zap.String("key", answer.Key), zap.String("error", answer.Error))
	return answer
}

// preview makes the mail as sendReceipt does: of the event, of what the log says beside it, and of what the ledger has fixed.
func (p *previewer) preview(ctx context.Context, req PreviewRequest) (PreviewAnswer, error) {
	s := p.sender
	subject := event.QuoteSubject{Event: req.Kind, Seller: req.Seller, Quote: req.Quote, N: strconv.Itoa(req.Revision)}.String()
	record, err := s.log.Read(ctx, event.StreamQuotes, subject)
	if err != nil {
		return PreviewAnswer{}, fmt.Errorf("preview: %w", err)
	}
	told, err := decodeNews(subject, record.Data)
	if err != nil {
		return PreviewAnswer{}, fmt.Errorf("preview: %w", err)
	}
	known, overtaken, err := told.read(ctx, s.log, s.now())
	if err != nil {
		return PreviewAnswer{}, fmt.Errorf("preview: %w", err)
	}
	rc := receipt{news: told, published: known.published, refund: known.refund, template: currentTemplate, publicURL: s.publicURL, key: told.key(req.Number)}
	line, err := s.ledger.read(ctx, rc.key)
	switch {
	case err == nil:
		rc.template, rc.refund = line.entry.Template, line.entry.Refund
	case !errors.Is(err, ErrNoEntry):
		return PreviewAnswer{}, fmt.Errorf("preview: %w", err)
	}
	made, err := s.compose(rc)
	if err != nil {
		return PreviewAnswer{}, fmt.Errorf("preview: %w", err)
	}
	return PreviewAnswer{
		Key: rc.key, State: line.entry.State, From: strings.Join(made.msg.GetFromString(), ", "), To: strings.Join(made.msg.GetToString(), ", "),
		Subject: made.words.subject, Date: told.at.UTC(), MessageID: made.messageID, Text: made.words.text, HTML: made.words.html,
		SHA256: made.digest, Recorded: line.entry.SHA256, Overtaken: overtaken,
	}, nil
}
