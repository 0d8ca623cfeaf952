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
	"quittance.internal/libs/operations/mail"
)

// troubled are the states of mails that somebody should look at.
var troubled = []string{"rejected", "ambiguous", "parked"}

// wordTroubled stands for them in an address.
const wordTroubled = "troubled"

// mailRow is a mail in a list.
type mailRow struct {
	mail.Mail
	Href, Said string
}

func mailRowOf(m mail.Mail) mailRow {
	var said []string
	if m.Code != 0 {
		said = append(said, strconv.Itoa(m.Code))
	}
	for _, text := range []string{m.Reply, m.Reason} {
		if text != "" {
			said = append(said, text)
		}
	}
	return mailRow{m, "/mail/" + url.PathEscape(m.Key), strings.Join(said, " ")}
}

// mailsPage is the ledger.
type mailsPage struct {
	frame
	Chips  []chip
	Rows   []mailRow
	Faults []string
	// Older goes on with the list, More is how many there are; Limit is how many
	// a page shows.
	Older string
	More  int
}

func (s *Service) listMails(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	page := mailsPage{frame: s.frame(c, navMail, "Mail").live(false)}
	f := mail.Filter{Quote: q.Get("quote"), Kind: q.Get("kind"), Limit: listLength}
	state := q.Get("state")
	for _, word := range append([]string{"", wordTroubled}, mail.States...) {
		page.Chips = append(page.Chips, chip{or(word, "all"), page.With("state", word), state == word})
	}
	switch {
	case state == "":
	case state == wordTroubled:
		f.States = troubled
	case slices.Contains(mail.States, state):
		f.States = []string{state}
	default:
		page.Faults = append(page.Faults, fmt.Sprintf("state: %q is none of %s, %s", state, wordTroubled, strings.Join(mail.States, ", ")))
	}
	var err error
	if f.Since, f.Until, err = s.between(q); err != nil {
		page.Faults = append(page.Faults, faultsOf(err)...)
	}
	if len(page.Faults) > 0 {
		return s.render(w, http.StatusBadRequest, "mails.html", page)
	}
	mails, more, err := s.ledger.List(c.Context(), f)
	if err != nil {
		return err
	}
	for _, m := range mails {
		page.Rows = append(page.Rows, mailRowOf(m))
	}
	if page.More = more; more > 0 {
		page.Older = page.With("until", mails[len(mails)-1].UpdatedAt.UTC().Format(time.RFC3339Nano))
	}
	return s.render(w, http.StatusOK, "mails.html", page)
}

// mailPage is the mails about one thing: one revision of a quote, of one kind.
type mailPage struct {
	frame
	mailRow
	Others []mailRow
}

// mailOf finds a mail by its key.
func (s *Service) mailOf(ctx context.Context, key string) (mail.Mail, []mail.Mail, error) {
	missing := advice.Missing("quotectl mail list", "the ledger has no mail %q", key)
	parts := strings.Split(key, ".")
	if len(parts) < 4 {
		return mail.Mail{}, nil, missing
	}
	all, _, err := s.ledger.List(ctx, mail.Filter{Quote: parts[1]})
	if err != nil {
		return mail.Mail{}, nil, err
	}
	at := slices.IndexFunc(all, func(m mail.Mail) bool { return m.Key == key })
	if at < 0 {
		return mail.Mail{}, nil, missing
	}
	return all[at], slices.Delete(slices.Clone(all), at, at+1), nil
}

func (s *Service) showMail(w http.ResponseWriter, c *call) error {
	m, others, err := s.mailOf(c.Context(), c.PathValue("id"))
	if err != nil {
		return err
	}
	page := mailPage{frame: s.frame(c, navMail, "Mail "+m.Key), mailRow: mailRowOf(m)}
	for _, o := range others {
		page.Others = append(page.Others, mailRowOf(o))
	}
	return s.render(w, http.StatusOK, "mail.html", page)
}

func (s *Service) resendAct(c *call) (actPage, mail.Request, error) {
	m, _, err := s.mailOf(c.Context(), c.PathValue("id"))
	if err != nil {
		return actPage{}, mail.Request{}, err
	}
	request, about, err := s.ledger.Plan(c.Context(), m.Quote, m.Kind, m.Revision, true)
	if err != nil {
		return actPage{}, mail.Request{}, err
	}
	sent := 0
	for _, a := range about {
		if a.State == "sent" {
			sent++
		}
	}
	row := mailRowOf(m)
	return actPage{
		frame: s.frame(c, navMail, "Send the mail about "+m.Quote+" again"), Button: "Send one mail", Danger: sent > 1,
		Text:   "The notifier sends one more mail, with its own entry in the ledger and its own Message-ID. Where the mail is still under way, that one is gone on with.",
		Action: row.Href + "/resend", Back: row.Href,
		Numbers: []figure{
			{"To", or(m.To, "not known")},
			{"Kind", m.Kind + ", revision " + strconv.Itoa(m.Revision)},
			{"Mails about it", number(uint64(len(about)))},
			{"Of these sent", strconv.Itoa(sent)},
			{"This one is resend", strconv.Itoa(request.Number)},
		},
		Set: setOf([]string{m.Key, strconv.Itoa(request.Number), strconv.Itoa(sent)}),
	}, request, nil
}

func (s *Service) planResend(w http.ResponseWriter, c *call) error {
	act, _, err := s.resendAct(c)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "act.html", act)
}

func (s *Service) resend(w http.ResponseWriter, c *call) error {
	act, request, err := s.resendAct(c)
	if err != nil {
		return err
	}
	if request.Reason = act.checked(c); request.Reason == "" {
		return s.render(w, http.StatusUnprocessableEntity, "act.html", act)
	}
	c.result = "mail_resend"
	return s.start(w, c, task{Title: act.Title, Nav: navMail, Back: act.Back, Reason: request.Reason, Total: 1},
		func(ctx context.Context, told func(taskRow)) error {
			ctx, cancel := context.WithTimeout(ctx, resendTimeout)
			defer cancel()
			answer, err := mail.Resend(ctx, s.journal, s.nc, request, c.token.Name)
			if err != nil {
				return err
			}
			row := taskRow{What: answer.Key, Href: "/mail/" + url.PathEscape(answer.Key), Outcome: "asked for"}
			if answer.Entry != nil {
				row.Outcome = answer.Entry.State
			}
			told(row)
			return nil
		})
}

// resendTimeout bounds the wait for the notifier: a relay may take its time.
const resendTimeout = 2 * time.Minute
