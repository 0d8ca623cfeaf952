package console

import (
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/operations/subscribers"
)

// subscribersPage is how far each consumer of the facts has come.
type subscribersPage struct {
	frame
	All []subscriberRow
	// Fact is what was asked about; Standings say who has processed it.
	Fact      string
	Standings []subscribers.Standing
	Fault     string
}

type subscriberRow struct {
	subscribers.Subscriber
	Late bool
}

func (s *Service) listSubscribers(w http.ResponseWriter, c *call) error {
	page := subscribersPage{frame: s.frame(c, navSubscribers, "Subscribers").live(false), Fact: c.URL.Query().Get("fact")}
	all, err := subscribers.List(c.Context(), s.stream)
	if err != nil {
		return err
	}
	for _, sub := range all {
		page.All = append(page.All, subscriberRow{sub, sub.Behind(page.now) > slowAfter})
	}
	if page.Fact == "" {
		return s.render(w, http.StatusOK, "subscribers.html", page)
	}
	status := http.StatusOK
	if page.Standings, err = s.standings(c, all, page.Fact); err != nil {
		p := problemOf(err)
		page.Fault, status = p.Detail, p.Status
	}
	return s.render(w, status, "subscribers.html", page)
}

// standings says who has processed a fact, named by its place or by its quote:
// then it is the quote's last quote.paid.
func (s *Service) standings(c *call, all []subscribers.Subscriber, fact string) ([]subscribers.Standing, error) {
	if event.ValidToken(fact) {
		records, err := s.stream.ReadAll(c.Context(), event.StreamQuotes, "quote."+event.NamePaid+".*."+fact+".*")
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			return nil, advice.Missing("quotectl explain "+fact, "there is no quote.paid of %s", fact)
		}
		return subscribers.Standings(all, records[len(records)-1]), nil
	}
	r, err := story.Message(c.Context(), s.stream, fact)
	if err != nil {
		return nil, err
	}
	if r.Stream != event.StreamQuotes {
		return nil, advice.Of(advice.Usage, "", "%s is no fact: name QUOTES:4410, or a quote", fact)
	}
	return subscribers.Standings(all, r), nil
}
