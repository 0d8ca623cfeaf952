package parts

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

// record is a message that changes something: as much of it as the fold of a quote asks for. What only the message's own
// outcome would tell (its id and type) is left out.
type record struct {
	at       projection.Message // without subject and body
	clock    time.Time          // Parts.clock when it was added
	isStripe bool
	stripe   projection.StripeEvent
	quote    projection.QuoteEvent
}

// kept is what is kept of a quote's own event, as JSON.
type kept struct {
	Quote     string           `json:"q"`
	Published *quote.Revision  `json:"p,omitempty"`
	Mark      *projection.Mark `json:"m,omitempty"`
	Recalled  int              `json:"r,omitempty"`
	Expired   int              `json:"x,omitempty"`
}

func (r *record) append(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, r.at.Sequence)
	b = binary.AppendVarint(b, r.at.Time.UnixNano())
	b = binary.AppendVarint(b, hours(r.clock))
	if !r.isStripe {
		q := kept{Quote: r.quote.Subject.Quote, Mark: r.quote.Mark, Recalled: r.quote.Recalled, Expired: r.quote.Expired}
		if r.quote.Published != nil {
			revision := projection.RevisionOf(*r.quote.Published, false, false)
			q.Published = &revision
		}
		encoded, err := json.Marshal(q)
		return appendText(append(b, 'q'), string(encoded)), err
	}
	c := &r.stripe.Change
	b = appendText(append(b, 's'), r.stripe.Account)
	b = appendText(b, c.Claim.Quote)
	b = binary.AppendUvarint(b, uint64(len(c.Names)))
	for _, name := range c.Names {
		b = appendText(b, name)
	}
	return c.Facts.AppendJSON(b), nil
}

// hours of a full hour since 1970; the zero time is 0.
func hours(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix() / 3600
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// parse reads what append wrote. It keeps nothing of b.
func parse(b []byte) (record, error) {
	in := input{rest: b}
	var r record
	r.at.Sequence = in.uvarint()
	r.at.Time = time.Unix(0, in.varint()).UTC()
	if h := in.varint(); h != 0 {
		r.clock = time.Unix(h*3600, 0).UTC()
	}
	kind := in.take(1)
	if in.broken {
		return r, errRecord
	}
	if kind[0] == 'q' {
		return r, r.parseQuote([]byte(in.text()))
	}
	r.isStripe = true
	c := &r.stripe.Change
	r.stripe.Account = in.text()
	if id := in.text(); id != "" {
		c.Claim = stripeevent.Claim{Quote: id}
	}
	for n := in.uvarint(); n > 0 && !in.broken; n-- {
		c.Names = append(c.Names, in.text())
	}
	if in.broken {
		return r, errRecord
	}
	facts, err := quote.DecodeFacts(in.rest)
	c.Facts = facts
	return r, err
}

func (r *record) parseQuote(b []byte) error {
	var q kept
	if err := json.Unmarshal(b, &q); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	e := &r.quote
	e.Subject.Quote, e.Mark, e.Recalled, e.Expired = q.Quote, q.Mark, q.Recalled, q.Expired
	if p := q.Published; p != nil {
		e.Published = &event.Published{
			Seller: p.Seller, QuoteID: q.Quote, Revision: p.Number, Amount: p.Amount.Amount, Currency: p.Amount.Currency, Account: p.Account,
			Mode: p.Mode, PublishedAt: p.PublishedAt, ExpiresAt: p.ExpiresAt, Document: quote.Document{Deal: quote.Deal{ID: p.Deal}},
		}
	}
	return nil
}

var errRecord = errors.New("a temporary file does not hold what was written")

// input is the rest of a record.
type input struct {
	rest   []byte
	broken bool
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.rest)
	in.skip(n)
	return v
}

func (in *input) varint() int64 {
	v, n := binary.Varint(in.rest)
	in.skip(n)
	return v
}

func (in *input) skip(n int) {
	if in.broken = in.broken || n <= 0; !in.broken {
		in.rest = in.rest[n:]
	}
}

func (in *input) take(n uint64) []byte {
	if in.broken = in.broken || n > uint64(len(in.rest)); in.broken {
		return nil
	}
	taken := in.rest[:n]
	in.rest = in.rest[n:]
	return taken
}

func (in *input) text() string { return string(in.take(in.uvarint())) }
