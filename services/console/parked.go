package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/parked"
)

// What can be done about a parked message.
const (
	verbRelease = "release"
	verbGiveUp  = "give-up"
)

// selectedParked reads what is meant: messages by place, or those that wait longer
// than older_than (24h), of a type and account.
func (s *Service) selectedParked(c *call) ([]parked.Waiting, error) {
	q := c.URL.Query()
	f := parked.Filter{Type: q.Get("type"), Account: q.Get("account")}
	if text := q.Get("older_than"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, advice.Of(advice.Usage, "", "older_than: %q is no span such as 24h", text)
		}
		f.OlderThan = d
	}
	all, err := s.waiting.List(c.Context(), f)
	if err != nil {
		return nil, err
	}
	return parked.Messages(all, q["place"])
}

func (s *Service) parkedAct(c *call) (actPage, []parked.Waiting, error) {
	verb := c.PathValue("verb")
	if !slices.Contains([]string{verbRelease, verbGiveUp}, verb) {
		return actPage{}, nil, errNoPage
	}
	all, err := s.selectedParked(c)
	if err != nil {
		return actPage{}, nil, err
	}
	what := count(len(all), "parked message")
	act := actPage{
		frame:  s.frame(c, navDead, "Fold again: "+what),
		Text:   "The payments worker folds each message again now. Should its link be there, it is applied; otherwise it goes on waiting.",
		Button: fmt.Sprintf("Fold again (%d)", len(all)), Action: c.URL.RequestURI(), Back: "/dead#parked",
		Numbers: []figure{{"Messages", number(uint64(len(all)))}, {"Waiting since", s.moment(all[0].Since)}, {"The youngest since", s.moment(all[len(all)-1].Since)}},
	}
	if verb == verbGiveUp {
		act.frame = s.frame(c, navDead, "Give up: "+what)
		act.Text = "The wait ends: the outcome is ignored, with your reason. Should its link turn up after all, the message is applied all the same."
		act.Button, act.Danger = fmt.Sprintf("Give up (%d)", len(all)), true
	}
	names := make([]string, 0, len(all))
	for i, w := range all {
		names = append(names, w.Place)
		if i < sampleLength {
			act.Sample = append(act.Sample, w.Place+"  "+w.Type+"  waits for "+strings.Join(w.WaitsFor, " or "))
		}
	}
	act.Set = setOf(names)
	return act, all, nil
}

func (s *Service) planParked(w http.ResponseWriter, c *call) error {
	act, _, err := s.parkedAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

func (s *Service) actOnParked(w http.ResponseWriter, c *call) error {
	act, all, err := s.parkedAct(c)
	if err != nil {
		return err
	}
	reason := act.checked(c)
	if reason == "" {
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	order := parked.Order{GiveUp: c.PathValue("verb") == verbGiveUp, Who: c.token.Name, Why: reason}
	c.result = "parked_" + c.PathValue("verb")
	return s.start(w, c, task{Title: act.Title, Nav: navDead, Back: "/dead#parked", Reason: reason, Total: len(all)},
		func(ctx context.Context, told func(taskRow)) error {
			_, err := s.waiting.Release(ctx, all, order, func(r parked.Result) {
				told(taskRow{What: r.Place, Href: "/events/" + r.Place, Outcome: or(r.Outcome, "error"), Fault: r.Error, Note: r.Reason})
			})
			return err
		})
}
