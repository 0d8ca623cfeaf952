package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/platform/natsstream"
)

// MailEntry is what is read of an entry of the mail ledger.
type MailEntry struct {
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Resends  int    `json:"resends"`
	// Ambiguous counts the attempts that ended without an answer.
	Ambiguous  int       `json:"ambiguous"`
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

// Final reports whether nothing happens to the mail any more by itself.
func (e MailEntry) Final() bool {
	return e.State == "sent" || e.State == "rejected" || e.State == "parked" || e.State == "dropped"
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
		for _, text := range []string{mask.Text(e.Reply), e.Reason} {
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
				"reply": mask.Text(e.Reply), "reason": e.Reason, "message_id": e.MessageID, "first_at": e.FirstAt,
				"updated_at": e.UpdatedAt, "took_ms": at.Sub(e.FirstAt).Milliseconds(), "sequence": e.Sequence,
			},
		})
	})
}

const (
	mailStream  = "KV_" + event.BucketMail
	mailSubject = "$KV." + event.BucketMail + "."
	// mailPage is how many entries are read at a time.
	mailPage = 500
	// headerKV marks an entry that was deleted.
	headerKV = "KV-Operation"
)

// EachMail calls f with every entry of the ledger whose key matches filter; a filter other than ">" must not match more than
// 1,024 keys. It reads by direct gets: to watch the bucket would need the right to create consumers.
func (t *Teller) EachMail(ctx context.Context, filter string, f func(key string, e MailEntry)) error {
	if filter != ">" {
		records, err := t.Log.ReadAll(ctx, mailStream, mailSubject+filter)
		if err != nil {
			return fmt.Errorf("read the mail ledger: %w", err)
		}
		return eachEntry(records, f)
	}
	for next := uint64(1); ; {
		records, err := t.Log.Scan(ctx, mailStream, next, mailPage) // the bucket keeps one value of a key
		if err != nil {
			return fmt.Errorf("read the mail ledger: %w", err)
		}
		if err := eachEntry(records, f); err != nil {
			return err
		}
		if len(records) < mailPage {
			return nil
		}
		next = records[len(records)-1].Sequence + 1
	}
}

func eachEntry(records []natsstream.Record, f func(key string, e MailEntry)) error {
	for _, r := range records {
		if r.Header.Get(headerKV) != "" {
			continue
		}
		key := strings.TrimPrefix(r.Subject, mailSubject)
		var e MailEntry
		if err := json.Unmarshal(r.Data, &e); err != nil {
			return fmt.Errorf("decode entry %s of the mail ledger: %w", key, err)
		}
		f(key, e)
	}
	return nil
}
