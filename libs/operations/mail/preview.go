package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
)

// SubjectPreview is where the notifier, which makes the mails, answers what one says.
const SubjectPreview = "op.notifier.preview"

// previewTimeout bounds the wait for the notifier, which reads the log for it and sends nothing.
const previewTimeout = 15 * time.Second

// PreviewRequest names a mail: one of the ledger, or the one that will be made of an event of the log.
type PreviewRequest struct {
	Seller   string `json:"seller"`
	Quote    string `json:"quote"`
	Revision int    `json:"revision"`
	Kind     string `json:"kind"`
	// Number is 0 for the first mail, n for its n-th resend.
	Number int `json:"number"`
}

// RequestOf reads a key of the ledger, also one that is typed.
func RequestOf(key string) (PreviewRequest, bool) {
	r, ok := parseKey(key)
	return r, ok && event.ValidToken(r.Seller) && event.ValidToken(r.Quote) && (r.Kind == event.NamePaid || r.Kind == event.NameExpiring)
}

// Preview is a mail with everything in it. It holds a name and an address: it is for whoever asked, and for no log.
type Preview struct {
	Key string `json:"key"`
	// State is the ledger's; empty where it has no such mail yet.
	State     string    `json:"state,omitempty"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Subject   string    `json:"subject"`
	Date      time.Time `json:"date"`
	MessageID string    `json:"message_id"`
	Text      string    `json:"text"`
	HTML      string    `json:"html"`
	// SHA256 is the hex digest of the mail's bytes, and Recorded that of its last attempt; empty where there was none.
	SHA256   string `json:"sha256"`
	Recorded string `json:"recorded_sha256,omitempty"`
	// Overtaken is why a reminder would not be sent any more; empty where it would.
	Overtaken string `json:"overtaken,omitempty"`
}

// Note says how the mail that is shown stands to the one that went out.
func (p Preview) Note() string {
	switch {
	case p.Recorded == "" && p.Overtaken != "":
		return "It is not sent any more: " + p.Overtaken + "."
	case p.Recorded == "":
		return "As it would be sent now; no attempt was made yet."
	case p.Recorded == p.SHA256:
		return "Byte for byte as it was handed to the mail server."
	}
	return "As it would be made now. What was handed to the mail server had other bytes: settings such as MAIL_FROM or PUBLIC_URL, or the build, have changed since."
}

// PreviewOf names the newest mail of a quote and kind, of one revision or, with 0, of the last, also where the ledger has none yet.
func (l Ledger) PreviewOf(ctx context.Context, quoteID, kind string, revision int) (PreviewRequest, error) {
	if !event.ValidToken(quoteID) {
		return PreviewRequest{}, advice.Of(advice.Usage, "quotectl mail preview --help", "%q is no quote id", quoteID)
	}
	n := "*"
	if revision > 0 {
		n = strconv.Itoa(revision)
	}
	records, err := l.Log.ReadAll(ctx, event.StreamQuotes, "quote."+kind+".*."+quoteID+"."+n)
	if err != nil {
		return PreviewRequest{}, err
	}
	r := PreviewRequest{Quote: quoteID, Kind: kind}
	for _, record := range records {
		s, ok := event.ParseQuoteSubject(record.Subject)
		if at, numbered := s.Number(); ok && numbered && at > r.Revision {
			r.Seller, r.Revision = s.Seller, at
		}
	}
	if r.Revision == 0 {
		return PreviewRequest{}, advice.Missing("quotectl explain "+quoteID+" --why-no-email", "the log has no quote.%s of %s, of which a mail is made", kind, quoteID)
	}
	mails, _, err := l.List(ctx, Filter{Quote: quoteID, Kind: kind})
	if err != nil {
		return PreviewRequest{}, err
	}
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return m.Seller != r.Seller || m.Revision != r.Revision })
	if len(mails) > 0 {
		r.Number = slices.MaxFunc(mails, func(a, b Mail) int { return cmp.Compare(a.Resend, b.Resend) }).Resend
	}
	return r, nil
}

// AskPreview has the notifier make a mail, which sends nothing.
func AskPreview(ctx context.Context, nc *nats.Conn, r PreviewRequest) (Preview, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Preview{}, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, SubjectPreview, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return Preview{}, advice.New("start the notifier, or look at its /readyz", "no notifier runs that can make the mail")
	}
	if err != nil {
		return Preview{}, advice.New("look at the notifier's /readyz, and ask again", "the notifier has not answered: %w", err)
	}
	var answer struct {
		Preview
		Missing bool   `json:"missing"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Preview{}, errors.New("the notifier's answer cannot be decoded") // its text may hold an address
	}
	next := "quotectl explain " + r.Quote + " --why-no-email"
	switch {
	case answer.Missing:
		return Preview{}, advice.Missing(next, "the log lacks what the mail is made of: %s", answer.Error)
	case answer.Error != "":
		return Preview{}, advice.New(next, "%s", answer.Error)
	}
	return answer.Preview, nil
}
