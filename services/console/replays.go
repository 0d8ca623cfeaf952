package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/operations/selection"
)

// quotesShown bounds the differences that a plan's page shows; quotectl has all.
const quotesShown = 200

func (s *Service) replays() replay.System {
	return replay.System{Log: s.stream, Redis: s.redis, Now: s.cfg.Now}
}

func (s *Service) runner(c *call) *replay.Runner {
	return &replay.Runner{System: s.replays(), Conn: s.nc, Journal: s.journal, Who: c.token.Name}
}

// replaysPage lists the plans.
type replaysPage struct {
	frame
	Rows []replay.Entry
	More int
}

func (s *Service) listReplays(w http.ResponseWriter, c *call) error {
	page := replaysPage{frame: s.frame(c, navReplays, "Replays").live(false)}
	store, err := replay.OpenStore(c.Context(), s.stream)
	if err != nil {
		return err
	}
	all, err := store.List(c.Context())
	if err != nil {
		return err
	}
	page.Rows = all[:min(len(all), quotesShown)]
	page.More = len(all) - len(page.Rows)
	return s.render(w, http.StatusOK, "replays.html", page)
}

// newReplayPage asks for the name of a plan over what the address selects.
type newReplayPage struct {
	frame
	Command, Action string
	// Unbounded says that nothing narrows the selection.
	Unbounded           bool
	Fault, Name, Resend string
}

// replaySelection is what the address selects.
func (s *Service) replaySelection(c *call) (selection.Selection, error) {
	sel, err := selection.Parse(c.URL.Query(), s.cfg.Now().In(s.cfg.Zone))
	if err != nil {
		return sel, advice.Of(advice.Usage, "", "%w", err)
	}
	return sel, nil
}

func (s *Service) newReplay(w http.ResponseWriter, c *call) error {
	sel, err := s.replaySelection(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "replay_new.html", s.newReplayPage(c, sel))
}

func (s *Service) newReplayPage(c *call, sel selection.Selection) newReplayPage {
	return newReplayPage{
		frame: s.frame(c, navReplays, "Plan a replay"), Command: "quotectl replay plan " + sel.String(), Unbounded: sel.Unbounded(),
		Action: c.URL.RequestURI(), Name: c.PostForm.Get("name"), Resend: c.PostForm.Get("resend"),
	}
}

// planReplay freezes the selection and foretells what replaying it would do. It
// changes nothing.
func (s *Service) planReplay(w http.ResponseWriter, c *call) error {
	sel, err := s.replaySelection(c)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(c.PostForm.Get("name"))
	if name != "" && !replay.ValidName(name) {
		page := s.newReplayPage(c, sel)
		page.Fault = "A name is made of letters, digits, - and _, such as incident-4711."
		return s.render(w, http.StatusUnprocessableEntity, "replay_new.html", page)
	}
	frozen, err := s.finder.Freeze(c.Context(), sel, s.cfg.Now(), nil)
	if err != nil {
		return err
	}
	plan, err := s.replays().Make(c.Context(), replay.Request{Selection: frozen, Name: name, By: c.token.Name, ResendEmail: c.PostForm.Get("resend") == "yes"})
	if err != nil && c.Context().Err() != nil {
		return &problem{Status: http.StatusServiceUnavailable, Heading: "This plan takes longer than a page may", Detail: "Nothing was planned. Narrow the selection, or plan it on the command line.", Next: "quotectl replay plan " + sel.String(), cause: err}
	}
	if err != nil {
		return err
	}
	c.result = "replay_planned"
	http.Redirect(w, c.Request, "/replays/"+plan.ID, http.StatusSeeOther)
	return nil
}

// replayPage is a plan, with what it would do and what came of it.
type replayPage struct {
	frame
	Plan *replay.Plan
	Run  replay.Run
	// Quotes are the first that something happens to; More how many there are beyond.
	Quotes []replay.Quote
	More   int
	// Rate, MaxQuotes and MaxMails stand in the form.
	Rate, MaxQuotes, MaxMails, Reason string
	Fault                             string
	// Task is the run that was begun from here, with its trouble.
	Task task
}

// Runnable reports whether there is anything left to run.
func (p replayPage) Runnable() bool { return !p.Run.Over() && p.Run.State != replay.Running }

// Percent is how far the run is.
func (p replayPage) Percent() int {
	if all := p.Plan.Totals.Messages; all > 0 {
		return p.Run.Done * 100 / all
	}
	return 100
}

func (s *Service) replayPage(c *call) (replayPage, error) {
	store, err := replay.OpenStore(c.Context(), s.stream)
	if err != nil {
		return replayPage{}, err
	}
	plan, err := store.Find(c.Context(), c.PathValue("id"))
	if err != nil {
		return replayPage{}, err
	}
	run, err := store.Run(c.Context(), plan.ID)
	if err != nil {
		return replayPage{}, err
	}
	page := replayPage{frame: s.frame(c, navReplays, or(plan.Name, plan.ID)), Plan: plan, Run: run, MaxMails: "0"}
	page.Rate, page.MaxQuotes = strconv.Itoa(replay.DefaultRate), strconv.Itoa(replay.DefaultMaxQuotes)
	if plan.ResendEmail {
		page.MaxMails = strconv.Itoa(replay.DefaultMaxMails)
	}
	acting := slices.DeleteFunc(slices.Clone(plan.Quotes), func(q replay.Quote) bool { return !q.Acts() })
	page.Quotes = acting[:min(len(acting), quotesShown)]
	page.More = len(acting) - len(page.Quotes)
	if t, ok := s.tasks.find(c.URL.Query().Get("task")); ok {
		page.Task = t
	}
	// The answer to a form has an address that cannot be loaded again.
	if c.Method == http.MethodGet && (run.State == replay.Running || page.Task.State == taskRunning) {
		page.frame = page.live(true)
		if page.Live > 0 {
			page.Live = 2
		}
	}
	return page, nil
}

func (s *Service) showReplay(w http.ResponseWriter, c *call) error {
	page, err := s.replayPage(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "replay.html", page)
}

// runReplay carries a plan out, or goes on with it.
func (s *Service) runReplay(w http.ResponseWriter, c *call) error {
	page, err := s.replayPage(c)
	if err != nil {
		return err
	}
	page.Rate, page.MaxQuotes, page.MaxMails = c.PostForm.Get("rate"), c.PostForm.Get("max_quotes"), c.PostForm.Get("max_mails")
	o := replay.Options{}
	o.Reason, page.Fault = reasonOf(c)
	page.Reason = o.Reason
	for _, field := range []struct {
		text string
		into *int
	}{{page.Rate, &o.Rate}, {page.MaxQuotes, &o.MaxQuotes}, {page.MaxMails, &o.MaxMails}} {
		n, err := strconv.Atoi(strings.TrimSpace(field.text))
		if (err != nil || n < 0) && page.Fault == "" {
			page.Fault = "Events a second, quotes and mails are whole numbers from 0 on."
		}
		*field.into = n
	}
	if page.Fault != "" {
		return s.render(w, http.StatusUnprocessableEntity, "replay.html", page)
	}
	c.result = "replay_run"
	runner := s.runner(c)
	t := task{Title: "Replay " + page.Title, Nav: navReplays, Back: "/replays/" + page.Plan.ID, Reason: o.Reason, Total: page.Plan.Totals.Messages}
	return s.startAt(w, c, t, "/replays/"+page.Plan.ID+"?task=", func(ctx context.Context, _ func(taskRow)) error {
		_, err := runner.Run(ctx, page.Plan, o)
		return err
	})
}

// cancelReplay stops a run where it is.
func (s *Service) cancelReplay(w http.ResponseWriter, c *call) error {
	page, err := s.replayPage(c)
	if err != nil {
		return err
	}
	reason, fault := reasonOf(c)
	if page.Fault = fault; fault != "" {
		return s.render(w, http.StatusUnprocessableEntity, "replay.html", page)
	}
	if _, err := s.runner(c).Cancel(c.Context(), page.Plan, reason); err != nil {
		return err
	}
	c.result = "replay_cancel"
	http.Redirect(w, c.Request, "/replays/"+url.PathEscape(page.Plan.ID), http.StatusSeeOther)
	return nil
}
