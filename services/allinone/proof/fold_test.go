package proof_test

import (
	"slices"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
)

// place is where facts belong: a quote on a Stripe account.
type place struct{ account, quote string }

// pureFold folds the log without any server: what the projection must come to, whatever happened on the way. Linking is
// done by trying again until nothing new is found, which has nothing in common with how the worker does it.
func pureFold(tb testing.TB, quotes, stripe []natsstream.Record) map[place]quote.Facts {
	tb.Helper()
	facts := map[place]quote.Facts{}
	add := func(p place, f quote.Facts) {
		have := facts[p]
		have.Merge(f)
		facts[p] = have
	}
	revisions := map[string]quote.Facts{}
	accounts := map[string][]string{}
	for _, r := range quotes {
		subject, ok := event.ParseQuoteSubject(r.Subject)
		if !ok {
			tb.Fatalf("subject %s", r.Subject)
		}
		envelope, err := event.Decode(r.Data)
		if err != nil {
			tb.Fatal(err)
		}
		known := revisions[subject.Quote]
		switch subject.Event {
		case "published":
			p, err := event.Data[event.Published](envelope)
			if err != nil {
				tb.Fatal(err)
			}
			known.Merge(quote.RevisionFacts(quote.Revision{
				Seller: p.Seller, Number: p.Revision, Amount: quote.Money{Amount: p.Amount, Currency: p.Currency}, Account: p.Account, Mode: p.Mode,
				Deal: p.Document.Deal.ID, PublishedAt: p.PublishedAt, ExpiresAt: p.ExpiresAt,
			}))
			accounts[subject.Quote] = append(accounts[subject.Quote], p.Account)
		case "recalled":
			rc, err := event.Data[event.Recalled](envelope)
			if err != nil {
				tb.Fatal(err)
			}
			known.Merge(quote.RecalledFacts(rc.Revision))
		}
		revisions[subject.Quote] = known
	}
	for id, list := range accounts {
		for _, account := range list {
			add(place{account, id}, revisions[id])
		}
	}
	type waiting struct {
		account string
		change  stripeevent.Change
	}
	var unlinked []waiting
	for _, r := range stripe {
		subject, ok := event.ParseStripeSubject(r.Subject)
		if !ok || subject.Mode != event.ModeTest || !stripeevent.Wanted(subject.Type) {
			continue
		}
		change, err := stripeevent.Decode(r.Data)
		switch {
		case err != nil || change.Ignored != "":
		case change.Claim.Quote != "":
			add(place{subject.Account, change.Claim.Quote}, change.Facts)
		default:
			unlinked = append(unlinked, waiting{subject.Account, change})
		}
	}
	for grown := true; grown; {
		grown = false
		for p, f := range facts {
			objects := f.Objects()
			for _, u := range unlinked {
				linked := u.account == p.account && slices.ContainsFunc(u.change.Names, func(n string) bool { return slices.Contains(objects, n) })
				if linked && f.Merge(u.change.Facts) {
					grown = true
				}
			}
			facts[p] = f
		}
	}
	return facts
}
