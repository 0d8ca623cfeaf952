package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// links tell which events of one account belong to a quote of ours: those whose metadata says so, and those that name an
// object that such an event names, however many steps away, here or at Stripe, or that payments has tied to a quote.
type links struct {
	c       *comparison
	account string
	quotes  map[string]string // by object; "" where nothing is tied to it
}

func newLinks(c *comparison, account string, stored map[key]*ours) *links {
	l := &links{c: c, account: account, quotes: map[string]string{}}
	for k, o := range stored {
		if k.account == account && o.about.claim.Quote != "" {
			l.tie(o.about.objects, o.about.claim.Quote)
		}
	}
	return l
}

func (l *links) tie(objects []string, quoteID string) {
	for _, id := range objects {
		l.quotes[id] = quoteID
	}
}

// pick returns the rows of those events that concern us, and how many do not.
func (l *links) pick(ctx context.Context, all []lacking) (rows []Row, rest int, err error) {
	for again := true; again; {
		again = false
		var still []lacking
		for _, e := range all {
			quoteID, ours, err := l.quoteOf(ctx, e.about)
			if err != nil {
				return nil, 0, err
			}
			if !ours {
				still = append(still, e)
				continue
			}
			if quoteID != "" {
				l.tie(e.about.objects, quoteID)
				again = true // what was passed over may belong to it
			}
			e.row.Quote = quoteID
			if e.body != nil {
				e.row.bodies = [][]byte{e.body}
				l.c.lacked[e.row.Object] = true
			}
			rows = append(rows, e.row)
		}
		all = still
	}
	return rows, len(all), nil
}

// quoteOf tells whether an event concerns us, and which quote it belongs to.
func (l *links) quoteOf(ctx context.Context, about subject) (quoteID string, ours bool, err error) {
	if about.account {
		return "", true, nil
	}
	if about.claim.Quote != "" {
		// Another account's merchant can write any metadata; payments would refuse the event (R76).
		p, known, err := l.c.published(ctx, about.claim)
		if err != nil || known && (p.Account != l.account || p.Mode != l.c.cfg.Mode) {
			return "", false, err
		}
		return about.claim.Quote, true, nil
	}
	for _, name := range about.names {
		quoteID, err := l.tied(ctx, name)
		if err != nil || quoteID != "" {
			return quoteID, err == nil, err
		}
	}
	return "", false, nil
}

// tied is the quote that an object belongs to.
func (l *links) tied(ctx context.Context, object string) (string, error) {
	if quoteID, asked := l.quotes[object]; asked {
		return quoteID, nil
	}
	all, err := l.c.cfg.Reader.LinkedQuotes(ctx, l.account, object)
	if err != nil {
		return "", err
	}
	l.quotes[object] = ""
	if len(all) > 0 {
		l.quotes[object] = all[0]
	}
	return l.quotes[object], nil
}

func publishedOf(m natsstream.Record) (p event.Published, err error) {
	env, err := event.Decode(m.Data)
	if err == nil {
		err = json.Unmarshal(env.Data, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read %s %d: %w", event.StreamQuotes, m.Sequence, err)
	}
	return p, nil
}

func isNotFound(err error) bool { return errors.Is(err, redisquote.ErrNotFound) }
