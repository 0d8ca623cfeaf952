package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/parked"
	"quittance.internal/libs/platform/deadletter"
)

// letterStates are what letters can be selected by; the first is the default.
var letterStates = []deadletter.State{deadletter.Open, deadletter.Discarded, deadletter.Resolved}

// letterRow is a dead letter in a list.
type letterRow struct {
	deadletter.Letter
	Ref, Href, Type, Message string
}

func letterRowOf(l deadletter.Letter) letterRow {
	place := strconv.FormatUint(l.Place, 10)
	return letterRow{l, "DEAD:" + place, "/dead/letter/" + place, dead.TypeOf(l), l.Stream + ":" + strconv.FormatUint(l.Sequence, 10)}
}

// groupRow is the letters of one cause.
type groupRow struct {
	dead.Group
	Letter letterRow
	// Href narrows the page to the cause; Query selects its letters.
	Href, Query string
}

// deadPage is what failed and what waits.
type deadPage struct {
	frame
	States []chip
	Groups []groupRow
	// Letters are those of one cause, where the address names it.
	Letters []letterRow
	Total   int
	Older   string
	// Query selects the letters that are shown, for the links that act on them.
	Query   string
	Faults  []string
	Waiting []parked.Waiting
	// Releasable is how many of those that wait are messages.
	Waits, Releasable int
	WaitFault         string
}

// letterFilter reads the filter off an address.
func (s *Service) letterFilter(q url.Values) (dead.Filter, error) {
	f := dead.Filter{Cause: q.Get("cause"), Consumer: q.Get("consumer"), Stream: strings.ToUpper(q.Get("stream")), Type: q.Get("type")}
	var err error
	if f.Since, f.Until, err = s.between(q); err != nil {
		return f, err
	}
	switch state := deadletter.State(or(q.Get("state"), string(deadletter.Open))); {
	case state == "all":
	case slices.Contains(letterStates, state):
		f.States = []deadletter.State{state}
	default:
		return f, fmt.Errorf("state: %q is none of open, discarded, resolved, all", state)
	}
	return f, nil
}

func (s *Service) listDead(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	page := deadPage{frame: s.frame(c, navDead, "Dead & parked").live(false)}
	for _, state := range append(slices.Clone(letterStates), "all") {
		page.States = append(page.States, chip{string(state), page.With("state", string(state), "cause", ""), or(q.Get("state"), string(deadletter.Open)) == string(state)})
	}
	f, err := s.letterFilter(q)
	if err != nil {
		page.Faults = faultsOf(err)
		return s.render(w, http.StatusBadRequest, "dead.html", page)
	}
	all, err := s.letters.Letters(c.Context(), f)
	if err != nil {
		return err
	}
	page.Total = len(all)
	for _, name := range []string{"after", "before", "live"} {
		q.Del(name)
	}
	page.Query = q.Encode()
	if f.Cause == "" {
		for _, g := range dead.Groups(all) {
			q.Set("cause", g.Cause)
			g.Pattern = mask.Text(g.Pattern)
			page.Groups = append(page.Groups, groupRow{g, letterRowOf(g.Sample), "/dead?" + q.Encode(), q.Encode()})
		}
	} else {
		pageLetters(&page, all)
	}
	s.fillWaiting(c.Context(), &page)
	return s.render(w, http.StatusOK, "dead.html", page)
}

// pageLetters takes one page of the letters of a cause.
func pageLetters(page *deadPage, all []deadletter.Letter) {
	before, err := strconv.ParseUint(page.Param("before"), 10, 64)
	if err != nil {
		before = 0
	}
	for _, l := range all {
		if before > 0 && l.Place >= before {
			continue
		}
		if len(page.Letters) == listLength {
			page.Older = page.With("before", strconv.FormatUint(page.Letters[listLength-1].Place, 10))
			return
		}
		page.Letters = append(page.Letters, letterRowOf(l))
	}
}

func (s *Service) fillWaiting(ctx context.Context, page *deadPage) {
	all, err := s.waiting.List(ctx, parked.Filter{})
	if err != nil {
		page.WaitFault = err.Error()
		return
	}
	page.Waits = len(all)
	for _, w := range all {
		if w.Kind == parked.KindLink {
			page.Releasable++
		}
	}
	page.Waiting = all[:min(len(all), listLength)]
}

// letterPage is one dead letter.
type letterPage struct {
	frame
	letterRow
	Body   string
	Broken bool
	Query  string
}

func (s *Service) showLetter(w http.ResponseWriter, c *call) error {
	found, err := s.letters.Find(c.Context(), "DEAD:"+c.PathValue("id"))
	if err != nil {
		return err
	}
	letter, message, err := deadletter.Find(c.Context(), s.stream, found[0].Key)
	if err != nil {
		return err
	}
	row := letterRowOf(letter)
	page := letterPage{frame: s.frame(c, navDead, row.Ref), letterRow: row, Query: "letter=" + url.QueryEscape(row.Ref)}
	body, err := mask.JSON(message.Data)
	page.Body, page.Broken = string(body), err != nil
	page.Reason = mask.Text(page.Reason)
	return s.render(w, http.StatusOK, "letter.html", page)
}

// selectedLetters are the letters that an address names, or that its filter
// selects; not none.
func (s *Service) selectedLetters(c *call) ([]deadletter.Letter, error) {
	q := c.URL.Query()
	var all []deadletter.Letter
	if refs := q["letter"]; len(refs) > 0 {
		for _, ref := range refs {
			found, err := s.letters.Find(c.Context(), ref)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	}
	f, err := s.letterFilter(q)
	if err != nil {
		return nil, advice.Of(advice.Usage, "", "%w", err)
	}
	if f.Empty() {
		return nil, advice.Of(advice.Usage, "choose a cause on the page Dead & parked", "the address names neither a letter nor what selects some")
	}
	if all, err = s.letters.Letters(c.Context(), f); err == nil && len(all) == 0 {
		return nil, advice.Missing("", "no dead letter fits any more: somebody has dealt with them")
	}
	return all, err
}

// verbs are what can be done about letters.
var verbs = map[string]struct {
	title, text, button string
	danger              bool
}{
	deadletter.VerbRetry: {
		"Try again", "The service that set a message aside works on it once more. What succeeds is resolved; what fails stays open with one more round. Equal facts change nothing, and nobody is mailed twice.", "Try again", false,
	},
	deadletter.VerbDiscard: {
		"Discard", "The letters no longer count as open. Nothing is deleted, and they can still be tried again.", "Discard", true,
	},
}

// sampleLength is how many of the things acted on are shown.
const sampleLength = 10

func (s *Service) lettersAct(c *call) (actPage, []deadletter.Letter, error) {
	v, ok := verbs[c.PathValue("verb")]
	if !ok {
		return actPage{}, nil, errNoPage
	}
	letters, err := s.selectedLetters(c)
	if err != nil {
		return actPage{}, nil, err
	}
	groups := dead.Groups(letters)
	act := actPage{
		frame: s.frame(c, navDead, fmt.Sprintf("%s: %s", v.title, count(len(letters), "dead letter"))), Text: v.text,
		Button: fmt.Sprintf("%s (%d)", v.button, len(letters)), Danger: v.danger, Action: c.URL.RequestURI(), Back: "/dead",
		Numbers: []figure{
			{"Letters", number(uint64(len(letters)))},
			{"Causes", number(uint64(len(groups)))},
			{"First set aside", s.moment(groups[0].First)},
			{"Last set aside", s.moment(groups[0].Last)},
		},
	}
	names := make([]string, 0, len(letters))
	for i, l := range letters {
		names = append(names, fmt.Sprintf("%s#%d", l.Key, l.Rounds))
		if i < sampleLength {
			act.Sample = append(act.Sample, l.String()+"  "+mask.Text(l.Reason))
		}
	}
	act.Set = setOf(names)
	return act, letters, nil
}

func (s *Service) planLetters(w http.ResponseWriter, c *call) error {
	act, _, err := s.lettersAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

func (s *Service) actOnLetters(w http.ResponseWriter, c *call) error {
	act, letters, err := s.lettersAct(c)
	if err != nil {
		return err
	}
	reason := act.checked(c)
	if reason == "" {
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	verb := c.PathValue("verb")
	c.result = "dead_" + verb
	return s.start(w, c, task{Title: act.Title, Nav: navDead, Back: "/dead", Reason: reason, Total: len(letters)},
		func(ctx context.Context, told func(taskRow)) error {
			_, _, err := s.letters.Carry(ctx, s.journal, letters, dead.Order{Verb: verb, Who: c.token.Name, Why: reason}, func(r dead.Result) {
				told(taskRow{What: r.Letter.String(), Href: letterRowOf(r.Letter).Href, Outcome: or(r.Outcome, string(r.Letter.State)), Fault: r.Error})
			})
			return err
		})
}

// moment is a time for people, in text.
func (s *Service) moment(at time.Time) string {
	return at.In(s.cfg.Zone).Format("2006-01-02 15:04:05")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(uint64(max(n, 0))) + " " + noun + "s"
}
