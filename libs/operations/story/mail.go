package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/logging"
)

// MailEntry is what is read of an entry of the mail ledger.
type MailEntry struct {
	State      string    `json:"state"`
	Attempts   int       `json:"attempts"`
	Resends    int       `json:"resends"`
	FirstAt    time.Time `json:"first_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	AcceptedAt time.Time `json:"accepted_at"`
	NotBefore  time.Time `json:"not_before"`
	MessageID  string    `json:"message_id"`
	Code       int       `json:"code"`
	Reply      string    `json:"reply"`
	Reason     string    `json:"reason"`
	Sequence   uint64    `json:"sequence"`
}

// addMails adds the quote's mails, each as it stands now.
func (t *Teller) addMails(ctx context.Context, s *Story) error {
	return t.EachMail(ctx, s.Seller+"."+s.Quote+".>", func(key string, e MailEntry) {
		at := e.AcceptedAt
		if at.IsZero() {
			at = e.UpdatedAt
		}
		parts := []string{e.State, "to " + dash(s.owner)}
		if strings.Contains(key, "."+event.NameExpiring) {
			parts = append(parts, "reminder")
		}
		if e.Code != 0 {
			parts = append(parts, strconv.Itoa(e.Code))
		}
		for _, text := range []string{MaskAddresses(e.Reply), e.Reason} {
			if text != "" {
				parts = append(parts, text)
			}
		}
		if e.Attempts != 1 {
			parts = append(parts, strconv.Itoa(e.Attempts)+" attempts")
		}
		ref := key
		if e.MessageID != "" {
			ref = "<" + e.MessageID + ">"
		}
		s.Steps = append(s.Steps, Step{
			At: at, Kind: "mail", Ref: ref, rank: rankMail, cause: s.causeOf(e.Sequence), Summary: strings.Join(parts, "  "),
			Detail: map[string]any{
				"key": key, "state": e.State, "attempts": e.Attempts, "resends": e.Resends, "code": e.Code,
				"reply": MaskAddresses(e.Reply), "reason": e.Reason, "message_id": e.MessageID, "first_at": e.FirstAt,
				"updated_at": e.UpdatedAt, "took_ms": at.Sub(e.FirstAt).Milliseconds(), "sequence": e.Sequence,
			},
		})
	})
}

// EachMail calls f with every entry of the ledger whose key matches filter.
func (t *Teller) EachMail(ctx context.Context, filter string, f func(key string, e MailEntry)) error {
	bucket, err := t.Log.JetStream().KeyValue(ctx, event.BucketMail)
	if err != nil {
		return advice.New("quotectl declare", "look up bucket %s: %w", event.BucketMail, err)
	}
	watch, err := bucket.Watch(ctx, filter, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read the mail ledger: %w", err)
	}
	defer watch.Stop() //nolint:errcheck // the connection ends with the command
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read the mail ledger: %w", ctx.Err())
		case kv := <-watch.Updates():
			if kv == nil {
				return nil
			}
			var e MailEntry
			if err := json.Unmarshal(kv.Value(), &e); err != nil {
				return fmt.Errorf("decode entry %s of the mail ledger: %w", kv.Key(), err)
			}
			f(kv.Key(), e)
		}
	}
}

// MaskAddresses masks what looks like an e-mail address in a server's words.
func MaskAddresses(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if core := strings.Trim(word, "<>()[],;:\"'"); strings.Contains(core, "@") {
			words[i] = strings.Replace(word, core, logging.Mask(core), 1)
		}
	}
	return strings.Join(words, " ")
}
