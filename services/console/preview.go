package console

import (
	"net/http"
	"net/url"
	"strings"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/mail"
)

// previewPage is a mail with everything in it. It is written as text: nothing of a mail may act on a page of operators.
type previewPage struct {
	frame
	mail.Preview
	Href string
}

// previewAct asks whether the mail that the address names is to be opened; it need not be in the ledger yet.
func (s *Service) previewAct(c *call) (actPage, mail.PreviewRequest, error) {
	key := c.PathValue("id")
	r, ok := mail.RequestOf(key)
	if !ok {
		return actPage{}, r, advice.Missing("quotectl mail list", "%q is no key of a mail", key)
	}
	href := "/mail/" + url.PathEscape(key)
	return actPage{
		frame: s.frame(c, navMail, "Open a mail about "+r.Quote), Button: "Open", Back: href, Action: href + "/preview",
		Text:    "The notifier makes the mail once more and sends nothing. It holds a name and an address. That you open it is recorded in the journal.",
		Numbers: []figure{{"Mail", key}},
	}, r, nil
}

// planPreview asks why somebody wants to see a mail.
func (s *Service) planPreview(w http.ResponseWriter, c *call) error {
	act, _, err := s.previewAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

// showPreview shows a mail, after the journal has it.
func (s *Service) showPreview(w http.ResponseWriter, c *call) error {
	act, r, err := s.previewAct(c)
	if err != nil {
		return err
	}
	reason := act.checked(c)
	if reason == "" {
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	p, err := mail.AskPreview(c.Context(), s.nc, r)
	if err != nil {
		return err
	}
	if err := s.opened(c, "mail_opened", reason, c.PathValue("id")); err != nil {
		return err
	}
	p.Text = strings.TrimRight(p.Text, "\n")
	return s.render(w, http.StatusOK, "preview.html", previewPage{frame: s.frame(c, navMail, "What the mail says"), Preview: p, Href: act.Back})
}

// opened records, before personal data is shown, who opens it and why.
func (s *Service) opened(c *call, action, reason, target string) error {
	if err := s.journal.Ready(c.Context()); err != nil {
		return advice.New("quotectl declare", "the journal cannot be written, so nothing is opened: %w", err)
	}
	c.result = action
	return s.journal.Note(c.Context(), journal.Entry{Action: action, Who: c.token.Name, Reason: reason, Target: target})
}
