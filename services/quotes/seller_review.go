package quotes

import (
	"errors"
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// reviewed is what a publication now would be judged by.
func (s *Service) reviewed(payee quote.Payee) quote.Publication {
	return quote.Publication{Account: payee.Account, Mode: s.cfg.Mode, Now: s.cfg.Now(), Policy: s.cfg.Policy, Payee: payee}
}

// reviewPage is the last step: all that keeps the quote from being published, all
// that is advised, and the quote as its customer will see it.
type reviewPage struct {
	stepPage
	Refusals, Warnings []fault
	Preview            quotePage
	// Pays: the page will have Check out (R16). Revision is what publishing makes.
	Pays     bool
	Revision int
}

// showReview shows the last step.
func (s *Service) showReview(w http.ResponseWriter, c *call) error {
	a, err := s.find(c)
	if err != nil {
		return err
	}
	if locked := s.locked(a); locked != nil {
		return s.showLocked(w, c, http.StatusOK, a, locked)
	}
	return s.renderReview(w, c, http.StatusOK, a, false)
}

func (s *Service) renderReview(w http.ResponseWriter, c *call, status int, a *quote.Aggregate, stale bool) error {
	key, err := s.randomText()
	if err != nil {
		return err
	}
	owner, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	verdict := a.Review(s.reviewed(owner.Payee(s.cfg.Account)))
	page := reviewPage{stepPage: s.stepPage(c, stepReview, a), Pays: a.Document.Payment.Stripe, Revision: a.Revision() + 1}
	page.Stale, page.Key = stale, key
	page.Refusals, page.Warnings = page.faults(verdict.Refusals), page.faults(verdict.Warnings)
	if page.Preview, err = s.preview(c, a); err != nil {
		return err
	}
	return s.render(w, c, status, "seller_review.html", page)
}

// preview is the customer's page of the document as it stands.
func (s *Service) preview(c *call, a *quote.Aggregate) (quotePage, error) {
	end, err := a.Document.Expiry()
	if err != nil {
		return quotePage{}, err
	}
	at := situation{name: atOff}
	if a.Document.Payment.Stripe {
		at.name = atPayable
	}
	return s.quotePage(c, event.Published{Document: a.Document, ExpiresAt: end}, at)
}

// publishFromPage publishes the version that was reviewed.
func (s *Service) publishFromPage(w http.ResponseWriter, c *call) error {
	_, _, err := s.publish(c, seen(c.PostForm), "page "+c.PostForm.Get("key"))
	if err == nil {
		http.Redirect(w, c.Request, quotePath(c.quoteID)+"?done=published", http.StatusSeeOther)
		return nil
	}
	refusal, refused := errors.AsType[*quote.Refusal](err)
	if !refused && !errors.Is(err, errStale) {
		return err
	}
	a, findErr := s.find(c)
	switch {
	case findErr != nil:
		return findErr
	case refused && refusal.Kind == quote.KindConflict:
		return s.showLocked(w, c, http.StatusConflict, a, refusal)
	case refused:
		return s.renderReview(w, c, http.StatusUnprocessableEntity, a, false)
	}
	if locked := s.locked(a); locked != nil {
		return s.showLocked(w, c, http.StatusConflict, a, locked)
	}
	return s.renderReview(w, c, http.StatusConflict, a, true)
}

// lockedPage says why a quote stays as it is, and what there is to do (R26).
type lockedPage struct {
	sellerFrame
	Heading, ID string
	Lines       []told
	// Recall: taking the quote back opens it for changes.
	Recall bool
}

// showLocked answers to whoever wants to edit a quote that cannot be edited now.
func (s *Service) showLocked(w http.ResponseWriter, c *call, status int, a *quote.Aggregate, refusal *quote.Refusal) error {
	page := lockedPage{sellerFrame: s.sellerFrame(c, navQuotes), Heading: a.Document.Title, ID: a.ID}
	page.Title = page.T("This quote cannot be edited now") + " · " + page.Heading
	for _, r := range refusal.Reasons {
		page.Lines = append(page.Lines, page.reason(r))
		page.Recall = page.Recall || r.Code == quote.CodePublished
	}
	return s.render(w, c, status, "seller_locked.html", page)
}

// recallPage asks once more before a quote is taken back.
type recallPage struct {
	sellerFrame
	Heading, ID, Key string
	Revision         int
}

// showRecall asks whether the published revision is to be taken back.
func (s *Service) showRecall(w http.ResponseWriter, c *call) error {
	a, err := s.find(c)
	if err != nil {
		return err
	}
	_, fresh, err := a.Recall("", s.cfg.Now())
	if refusal, ok := errors.AsType[*quote.Refusal](err); ok {
		return s.showLocked(w, c, http.StatusOK, a, refusal)
	}
	if err != nil {
		return err
	}
	if !fresh { // recalled already
		http.Redirect(w, c.Request, quotePath(a.ID), http.StatusSeeOther)
		return nil
	}
	page := recallPage{sellerFrame: s.sellerFrame(c, navQuotes), Heading: a.Document.Title, ID: a.ID, Revision: a.Revision()}
	page.Title = page.T("Recall") + " · " + page.Heading
	if page.Key, err = s.randomText(); err != nil {
		return err
	}
	return s.render(w, c, http.StatusOK, "seller_recall.html", page)
}

// recallFromPage takes the published revision back.
func (s *Service) recallFromPage(w http.ResponseWriter, c *call) error {
	_, err := s.recall(c, "page "+c.PostForm.Get("key"))
	if refusal, ok := errors.AsType[*quote.Refusal](err); ok {
		a, err := s.find(c)
		if err != nil {
			return err
		}
		return s.showLocked(w, c, http.StatusConflict, a, refusal)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, c.Request, quotePath(c.quoteID)+"?done=recalled", http.StatusSeeOther)
	return nil
}
