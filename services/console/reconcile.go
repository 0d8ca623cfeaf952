package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// compareSince stands in the form: what the quotes service goes back over once a day by itself.
	compareSince = "72h"
	// orderWait is how long a form waits for its run, so that short ones come back finished.
	orderWait = 2 * time.Second
	orderPoll = 100 * time.Millisecond
)

// classNames are the four classes for people, in their order.
var classNames = []struct {
	Class      reconcile.Class
	Name, Text string
}{
	{reconcile.AtStripe, "At Stripe, not here", "Stripe has the event, and it never came."},
	{reconcile.Here, "Here, not at Stripe", "The log has it, and Stripe does not know it."},
	{reconcile.Differing, "Differing", "One event id, two events."},
	{reconcile.Beyond, "Beyond its list", "Stripe's objects say more than our facts, and no event tells it."},
}

// reconcilePage is how the log and Stripe compare.
type reconcilePage struct {
	frame
	// Own is how the automatic comparisons stand; nil where there was none.
	Own *reconcile.State
	// Run is the last that an operator asked for; nil where there was none. State is the one it has now.
	Run   *reconcile.Run
	State string
	// Tiles are the classes, each the way to its rows, which are Rows.
	Tiles []tile
	Rows  []reconcile.Row
	// More is how many differences are not among the rows that were kept.
	More int
	// From and Account stand in the form; Faults is what is wrong with them.
	From, Account string
	Faults        []string
}

// CanRepair reports whether the run is a comparison with something in it that can be made good.
func (p *reconcilePage) CanRepair() bool { return repairable(p.Run, p.State) }

func repairable(run *reconcile.Run, state string) bool {
	return state == reconcile.Done && run.Repaired == nil && run.Report != nil && run.Report.Repairable > 0
}

// Class is the class of the filter.
func (p *reconcilePage) Class() reconcile.Class { return reconcile.Class(p.Param("class")) }

// ClassName is a class for people.
func (p *reconcilePage) ClassName(c reconcile.Class) string {
	for _, known := range classNames {
		if known.Class == c {
			return known.Name
		}
	}
	return string(c)
}

func (s *Service) reconcilePage(c *call) (*reconcilePage, error) {
	page := &reconcilePage{frame: s.frame(c, navReconcile, "Reconcile"), From: compareSince}
	own, err := reconcile.LastState(c.Context(), s.stream)
	switch {
	case err == nil && !own.Ran.IsZero():
		page.Own = &own
	case err != nil && !errors.Is(err, natsstream.ErrNotFound):
		return nil, err
	}
	run, err := reconcile.LastRun(c.Context(), s.stream)
	if errors.Is(err, natsstream.ErrNotFound) {
		return page, nil
	}
	if err != nil {
		return nil, err
	}
	page.Run, page.State = run, run.StateAt(page.now)
	if page.State == reconcile.Running {
		page.frame = page.live(true)
		if page.Live > 0 {
			page.Live = 2
		}
	}
	if run.Report == nil {
		return page, nil
	}
	for _, class := range classNames {
		t := tile{Label: class.Name, Value: strconv.Itoa(run.Report.Gaps[class.Class]), Note: class.Text, Tone: "good", Href: page.With("class", string(class.Class))}
		if run.Report.Gaps[class.Class] > 0 {
			t.Tone = "bad"
		}
		page.Tiles = append(page.Tiles, t)
	}
	page.More = run.Report.Differences() - len(run.Report.Rows)
	for _, row := range run.Report.Rows {
		if page.Class() == "" || row.Class == page.Class() {
			page.Rows = append(page.Rows, row)
		}
	}
	return page, nil
}

func (s *Service) showReconcile(w http.ResponseWriter, c *call) error {
	page, err := s.reconcilePage(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "reconcile.html", page)
}

// compare has quotes compare the log with Stripe, which changes nothing.
func (s *Service) compare(w http.ResponseWriter, c *call) error {
	page, err := s.reconcilePage(c)
	if err != nil {
		return err
	}
	page.From, page.Account = strings.TrimSpace(c.PostForm.Get("since")), strings.TrimSpace(c.PostForm.Get("account"))
	since, err := selection.ParseTime(page.From, page.now.In(page.zone))
	switch {
	case err != nil:
		page.Faults = append(page.Faults, "since: "+err.Error())
	case since.After(page.now):
		page.Faults = append(page.Faults, "since: this is still to come")
	}
	if page.Account != "" && event.AccountFilter(page.Account) == "" {
		page.Faults = append(page.Faults, "account: it is platform or acct_…")
	}
	if len(page.Faults) > 0 {
		return s.render(w, http.StatusUnprocessableEntity, "reconcile.html", page)
	}
	c.result = reconcile.ActionReport
	return s.order(w, c, reconcile.Order{Since: since, Account: page.Account, Who: c.token.Name})
}

// repairAct asks whether what the last comparison found is to be made good.
func (s *Service) repairAct(c *call) (*actPage, *reconcile.Run, error) {
	nothing := advice.Of(advice.Difference, "compare first", "the last comparison has nothing in it that can be made good, or was repaired already")
	run, err := reconcile.LastRun(c.Context(), s.stream)
	if errors.Is(err, natsstream.ErrNotFound) {
		return nil, nil, nothing
	}
	if err != nil {
		return nil, nil, err
	}
	if !repairable(run, run.StateAt(s.cfg.Now())) {
		return nil, nil, nothing
	}
	act := &actPage{
		frame: s.frame(c, navReconcile, "Make good what never came"), Action: "/reconcile/repair", Back: "/reconcile", Danger: true,
		Button: fmt.Sprintf("Make good (%d)", run.Report.Repairable), Set: setOf([]string{run.ID}),
		Text: "The quotes service compares once more and enters what is missing through ingress, signed like a webhook and labelled as reconciled. What Stripe delivers later is the same event again: nothing is counted, paid or mailed twice. Quotes whose payment never came become paid, and their owners get the mail. If there is more to make good by then, nothing is entered.",
	}
	for _, class := range classNames {
		act.Numbers = append(act.Numbers, figure{class.Name, strconv.Itoa(run.Report.Gaps[class.Class])})
	}
	act.Numbers = append(act.Numbers, figure{"Of these can be made good", strconv.Itoa(run.Report.Repairable)},
		figure{"Since", run.Since.In(s.cfg.Zone).Format("2006-01-02 15:04:05")}, figure{"Account", or(run.Account, "all")})
	for _, row := range run.Report.Rows {
		if row.Repairable && len(act.Sample) < sampleLength {
			act.Sample = append(act.Sample, strings.Join(strings.Fields(or(row.Event, row.Object)+" "+row.Type+" "+row.Quote), " "))
		}
	}
	return act, run, nil
}

func (s *Service) planRepair(w http.ResponseWriter, c *call) error {
	act, _, err := s.repairAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

func (s *Service) repair(w http.ResponseWriter, c *call) error {
	act, run, err := s.repairAct(c)
	if err != nil {
		return err
	}
	reason := act.checked(c)
	if reason == "" {
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	c.result = reconcile.ActionRepair
	return s.order(w, c, reconcile.Order{Repair: true, Since: run.Since, Account: run.Account, Most: run.Report.Repairable, Who: c.token.Name, Why: reason})
}

// order hands an order to quotes and leads to the page of its run, which the journal entry of quotes follows.
func (s *Service) order(w http.ResponseWriter, c *call, o reconcile.Order) error {
	id, err := reconcile.Ask(c.Context(), s.nc, o)
	if err != nil {
		return err
	}
	s.settled(c.Context(), id)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, "/reconcile", http.StatusSeeOther)
	return nil
}

// settled waits a moment for the end of a run.
func (s *Service) settled(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	tick := time.NewTicker(orderPoll)
	defer tick.Stop()
	for {
		run, err := reconcile.LastRun(ctx, s.stream)
		if err != nil || run.ID != id || run.State != reconcile.Running {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
