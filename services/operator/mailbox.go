package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// mailbox counts mails in a mail catcher that speaks Mailpit's API. It remembers what it has read: a mail never changes.
type mailbox struct {
	base   string
	client *http.Client
	texts  map[string]string // of receipts, by the catcher's id of the mail; empty for other mails
}

func newMailbox(base string) *mailbox {
	return &mailbox{base: base, client: &http.Client{Timeout: apiTimeout}, texts: map[string]string{}}
}

// count returns the number of receipts that name the quote; a reminder that it expires is none. It reads the newest 1,000.
func (m *mailbox) count(ctx context.Context, quoteID string) (int, error) {
	var list struct {
		Messages []struct{ ID string } `json:"messages"`
	}
	if err := m.get(ctx, "/api/v1/messages?limit=1000", &list); err != nil {
		return 0, err
	}
	n := 0
	for _, summary := range list.Messages {
		text, known := m.texts[summary.ID]
		if !known {
			var message struct{ Subject, Text string }
			if err := m.get(ctx, "/api/v1/message/"+url.PathEscape(summary.ID), &message); err != nil {
				return 0, err
			}
			if isReceipt(message.Subject) {
				text = message.Subject + "\n" + message.Text
			}
			m.texts[summary.ID] = text
		}
		if namesWord(text, quoteID) {
			n++
		}
	}
	return n, nil
}

// isReceipt tells a receipt by the beginning of its subject, which nobody's title can change.
func isReceipt(subject string) bool {
	return strings.HasPrefix(strings.TrimPrefix(subject, "[Test] "), "Paid: ")
}

func (m *mailbox) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("read the mail catcher: %w", err)
	}
	res, err := m.client.Do(req)
	if err != nil {
		return advise("check MAILBOX_URL="+m.base+", or unset it to go without", "read the mail catcher: %w", trimURL(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the mail catcher: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("read the mail catcher: %s answers %s", path, res.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode the mail catcher's answer: %w", err)
	}
	return nil
}

// namesWord reports whether text holds word with no letter, digit or underscore right beside it.
func namesWord(text, word string) bool {
	inside := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return !inside(r) }) {
		if part == word {
			return true
		}
	}
	return false
}
