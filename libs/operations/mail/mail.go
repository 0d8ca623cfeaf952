// Package mail is what operators see of the mail ledger, and how they have a mail sent again.
//
// It writes nothing but the journal: the notifier is the only one that sends, and is asked. quotectl and the console call it.
package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
)

// States are those of a mail, as the notifier writes them, in the order in which a mail comes by them.
var States = []string{"claimed", "sending", "sent", "rejected", "ambiguous", "parked", "dropped"}

// Subject is where the notifier takes requests to send a mail again.
const Subject = "op.notifier.resend"

// Mail is one entry of the ledger.
type Mail struct {
	// Key is <seller>.<quote>.<revision>.<kind>[.<resend>].
	Key      string `json:"key"`
	Seller   string `json:"seller"`
	Quote    string `json:"quote"`
	Revision int    `json:"revision"`
	Kind     string `json:"kind"`
	// Resend is 0 for the first mail, 1 for the first one that an operator asked for.
	Resend int `json:"resend"`
	// To is the owner's address, masked; "" where the publication is not in the log.
	To string `json:"to,omitempty"`
	story.MailEntry
}

// parse reads an entry and its key.
func parse(key string, e story.MailEntry) (Mail, bool) {
	name, ok := parseKey(key)
	e.Reply, e.Reason = mask.Text(e.Reply), mask.Text(e.Reason)
	return Mail{Key: key, Seller: name.Seller, Quote: name.Quote, Revision: name.Revision, Kind: name.Kind, Resend: name.Number, MailEntry: e}, ok
}

func parseKey(key string) (r PreviewRequest, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 4 && len(parts) != 5 {
		return PreviewRequest{}, false
	}
	r = PreviewRequest{Seller: parts[0], Quote: parts[1], Kind: parts[3]}
	var err error
	if r.Revision, err = strconv.Atoi(parts[2]); err == nil && len(parts) == 5 {
		r.Number, err = strconv.Atoi(parts[4])
	}
	return r, err == nil
}

// Filter selects mails. Empty members select all.
type Filter struct {
	States      []string
	Quote, Kind string // Kind may hold * and ?
	// Since and Until bound the time of the last change.
	Since, Until time.Time
	// Limit is how many are returned at most; 0 means all.
	Limit int
}

func (f Filter) takes(m Mail) bool {
	fits, err := path.Match(f.Kind, m.Kind)
	return (len(f.States) == 0 || slices.Contains(f.States, m.State)) && (f.Kind == "" || err == nil && fits) &&
		(f.Since.IsZero() || !m.UpdatedAt.Before(f.Since)) && (f.Until.IsZero() || m.UpdatedAt.Before(f.Until))
}

// Ledger reads the mail ledger.
type Ledger struct{ Log *natsstream.Log }

// List returns the selected mails, the one that changed last first, and how many there are beyond the limit.
func (l Ledger) List(ctx context.Context, f Filter) (mails []Mail, more int, err error) {
	key := ">"
	if f.Quote != "" {
		if !event.ValidToken(f.Quote) {
			return nil, 0, advice.Of(advice.Usage, "quotectl mail list --help", "%q is no quote id", f.Quote)
		}
		key = "*." + f.Quote + ".>"
	}
	t := story.Teller{Log: l.Log}
	mails = []Mail{}
	err = t.EachMail(ctx, key, func(key string, e story.MailEntry) {
		if m, ok := parse(key, e); ok && f.takes(m) {
			mails = append(mails, m)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(mails, func(a, b Mail) int { return cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), cmp.Compare(a.Key, b.Key)) })
	if f.Limit > 0 && len(mails) > f.Limit {
		more = len(mails) - f.Limit
		mails = mails[:f.Limit]
	}
	return mails, more, l.address(ctx, mails)
}

// addressPage is how many publications are read together; the server's limit is 1,024.
const addressPage = 500

// address completes mails with the masked address that their publication has.
func (l Ledger) address(ctx context.Context, mails []Mail) error {
	subjects := map[string][]int{}
	for i, m := range mails {
		s := event.QuoteSubject{Event: event.NamePublished, Seller: m.Seller, Quote: m.Quote, N: strconv.Itoa(m.Revision)}.String()
		subjects[s] = append(subjects[s], i)
	}
	filters := make([]string, 0, len(subjects))
	for s := range subjects {
		filters = append(filters, s)
	}
	slices.Sort(filters)
	for part := range slices.Chunk(filters, addressPage) {
		records, err := l.Log.ReadAll(ctx, event.StreamQuotes, part...)
		if err != nil {
			return err
		}
		for _, r := range records {
			envelope, err := event.Decode(r.Data)
			if err != nil {
				continue // shown without an address
			}
			p, err := event.Data[event.Published](envelope)
			if err != nil {
				continue
			}
			for _, i := range subjects[r.Subject] {
				mails[i].To = logging.Mask(p.Document.Owner.Email)
			}
		}
	}
	return nil
}

// Request asks the notifier to send a mail again.
type Request struct {
	Seller   string `json:"seller"`
	Quote    string `json:"quote"`
	Revision int    `json:"revision"`
	Kind     string `json:"kind"`
	// Number is which of the mails is meant: 0 for the first, while that is under way, n for its n-th resend. The notifier
	// refuses to send any other one.
	Number int    `json:"number"`
	Reason string `json:"reason"`
}

// Answer is the notifier's. Error says why nothing was sent; with a Key as well that mail is under way.
type Answer struct {
	Key   string           `json:"key,omitempty"`
	Entry *story.MailEntry `json:"entry,omitempty"`
	Error string           `json:"error,omitempty"`
}

// Plan returns the request that sends the newest mail of a quote and kind again, of one revision or, with 0, of the last, and
// the mails that there are about it. again allows one more than there were.
func (l Ledger) Plan(ctx context.Context, quoteID, kind string, revision int, again bool) (Request, []Mail, error) {
	mails, _, err := l.List(ctx, Filter{Quote: quoteID, Kind: kind})
	if err != nil {
		return Request{}, nil, err
	}
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return revision != 0 && m.Revision != revision })
	if len(mails) == 0 {
		return Request{}, nil, advice.Missing("quotectl explain "+quoteID, "the ledger has no mail %s about quote %s", kind, quoteID)
	}
	last := slices.MaxFunc(mails, func(a, b Mail) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Resend, b.Resend))
	})
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return m.Revision != last.Revision || m.Seller != last.Seller })
	r := Request{Seller: last.Seller, Quote: quoteID, Revision: last.Revision, Kind: kind, Number: last.Resend}
	if last.Final() {
		r.Number = last.Resend + 1
	}
	if last.State == "sent" && last.Resend > 0 && !again {
		return Request{}, mails, advice.Of(advice.Budget, "quotectl mail show "+quoteID+"; --again sends one more",
			"the mail was sent again already (resend %d, at %s)", last.Resend, last.AcceptedAt.UTC().Format(time.RFC3339))
	}
	return r, mails, nil
}

// Resend has the notifier carry a Request out and records it. The answer is valid beside an error where it has a Key.
func Resend(ctx context.Context, j *journal.Journal, nc *nats.Conn, r Request, who string) (Answer, error) {
	var answer Answer
	entry := journal.Entry{Action: "mail_resend", Who: who, Reason: r.Reason, Target: r.Quote}
	err := j.Around(ctx, entry, func(e *journal.Entry) error {
		var err error
		if answer, err = Ask(ctx, nc, r); err != nil {
			return err
		}
		e.Detail = map[string]any{"kind": r.Kind, "revision": r.Revision, "number": r.Number, "key": answer.Key}
		if answer.Entry != nil {
			e.After = answer.Entry.State
		}
		if answer.Error != "" {
			return advice.New("quotectl mail show "+r.Quote, "%s", answer.Error)
		}
		return nil
	})
	return answer, err
}

// Ask has the notifier carry a Request out and waits as long as ctx allows.
func Ask(ctx context.Context, nc *nats.Conn, r Request) (Answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("encode request: %w", err)
	}
	msg, err := nc.RequestWithContext(ctx, Subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return Answer{}, advice.New("start the notifier, or look at its /readyz", "no notifier runs")
	}
	if err != nil {
		return Answer{}, advice.New("quotectl mail show "+r.Quote, "the notifier has not answered, it may still be at it: %w", err)
	}
	var a Answer
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		return Answer{}, fmt.Errorf("decode the notifier's answer: %w", err)
	}
	return a, nil
}
