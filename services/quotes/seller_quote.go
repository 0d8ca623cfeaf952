package quotes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// recordPage is the record of a quote: its card, what there is to do, what its
// customer sees, and all that has happened to it.
type recordPage struct {
	sellerFrame
	Heading, ID        string
	DealHref, DealName string
	// Done is what the last command did; empty for none.
	Done string

	Card, Tone string
	Amount     string
	Flags      []string
	// Link is the customer's page while it is offered.
	Link      string
	Owner     string
	For       string
	Expires   string
	PaidBy    string // how the quote is paid, in words
	Offer     quotePage
	Revisions []revisionRow
	Timeline  []moment
	// What may be done now.
	MayEdit, MayRecall bool
	// Seen is the digest of what the live parts show.
	Seen string
}

// revisionRow is one publication.
type revisionRow struct {
	Number                int
	Published, Amount     string
	State, Tone, ExpiryOf string
}

// showRecord shows the record of a quote.
func (s *Service) showRecord(w http.ResponseWriter, c *call) error {
	a, records, err := s.loadWithEvents(c.Context(), c.token.Seller, c.quoteID)
	if err != nil {
		return err
	}
	if !a.Exists() {
		return errNotFound
	}
	st, err := s.standing(c.Context(), a)
	if err != nil {
		return err
	}
	zone, err := a.Document.Zone()
	if err != nil {
		return err
	}
	page, err := s.recordPage(c, a, st, zone)
	if err != nil {
		return err
	}
	if page.Timeline, err = page.timeline(records, zone); err != nil {
		return err
	}
	return s.render(w, c, http.StatusOK, "seller_quote.html", page)
}

func (s *Service) recordPage(c *call, a *quote.Aggregate, st standing, zone *time.Location) (recordPage, error) {
	d := a.Document
	p := recordPage{
		sellerFrame: s.sellerFrame(c, navQuotes), Heading: d.Title, ID: a.ID, DealHref: dealPath(d.Deal.ID), DealName: d.Deal.Name,
		Tone: tone(st.Status), Amount: st.Amount.String(), Owner: d.Owner.Name, For: recipient(d.Contact), Seen: st.digest(a.Sequence),
	}
	p.Card, p.Flags = p.card(st.Status, st.At, zone), p.flags(st.Flags)
	p.Title = p.Card + " · " + d.Title
	if p.DealName == "" {
		p.DealName = d.Deal.ID
	}
	if p.Owner == "" {
		p.Owner = d.Owner.Email
	}
	if p.For == "" {
		p.For = d.Contact.Email
	}
	if last, ok := offered(a); ok {
		p.Link = s.pageURL(last.URLToken)
	}
	if end, err := d.Expiry(); err == nil && !end.IsZero() {
		p.Expires = p.Moment(end.In(zone))
	}
	p.PaidBy = p.T("Not paid online: the switch is off")
	if d.Payment.Stripe {
		p.PaidBy = p.T("Stripe account")
	}
	p.Done = map[string]string{
		"published": p.T("Published. Send the link to your customer."), "recalled": p.T("Recalled. The customer's link shows nothing any more; edit the quote and publish it again."),
	}[c.URL.Query().Get("done")]
	p.MayEdit = p.MayWrite && s.locked(a) == nil
	if _, fresh, err := a.Recall("", s.cfg.Now()); err == nil && fresh {
		p.MayRecall = p.MayWrite && st.Status != string(quote.StatusProcessing)
	}
	p.Revisions = p.revisions(a, zone, s.cfg.Now())
	var err error
	p.Offer, err = s.preview(c, a)
	return p, err
}

// followRecord streams the changes of a quote's record. A session that has ended
// meanwhile is told like a change: the page then leads to the sign-in.
func (s *Service) followRecord(w http.ResponseWriter, c *call) error {
	if _, err := s.find(c); err != nil {
		return err
	}
	return s.follow(w, c, c.quoteID, func(ctx context.Context) (string, error) {
		if _, _, ok := s.door.Session(c.Request); !ok {
			return gone, nil
		}
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		a, err := s.load(ctx, c.token.Seller, c.quoteID)
		if err != nil {
			return "", err
		}
		st, err := s.standing(ctx, a)
		if err != nil {
			return "", err
		}
		return st.digest(a.Sequence), nil
	})
}

// digest tells one state of the record from another.
func (st standing) digest(sequence uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d %v", sequence, st.Status, st.At.Unix(), st.Flags))
	return hex.EncodeToString(sum[:8])
}

// revisions lists the publications, the newest first.
func (v view) revisions(a *quote.Aggregate, zone *time.Location, now time.Time) []revisionRow {
	recalled := map[int]bool{}
	for _, r := range a.Recalls {
		recalled[r.Revision] = true
	}
	paid := map[int]event.Paid{}
	for _, p := range a.Payments {
		paid[p.Revision] = p
	}
	rows := make([]revisionRow, 0, len(a.Revisions))
	for i := len(a.Revisions) - 1; i >= 0; i-- {
		r := a.Revisions[i]
		row := revisionRow{Number: r.Revision, Published: v.Moment(r.PublishedAt.In(zone)), Amount: money(r.Amount, r.Currency)}
		payment, isPaid := paid[r.Revision]
		switch {
		case isPaid:
			row.State, row.Tone = v.card(string(quote.StatusPaid), payment.PaidAt, zone), tone(string(quote.StatusPaid))
		case recalled[r.Revision]:
			row.State = v.T("Recalled")
		case r.Revision != a.Revision():
			row.State = v.T("Replaced")
		case !r.ExpiresAt.IsZero() && now.After(r.ExpiresAt):
			row.State, row.Tone = v.T("Expired"), tone(string(quote.LifecycleExpired))
		default:
			row.State, row.Tone = v.T("Offered"), "accent"
		}
		rows = append(rows, row)
	}
	return rows
}
