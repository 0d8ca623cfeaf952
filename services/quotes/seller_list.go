package quotes

import (
	"errors"
	"net/http"
	"net/url"

	"quittance.internal/libs/domain/quote"
)

// quotesPage lists the seller's quotes.
type quotesPage struct {
	sellerFrame
	Status, Deal string
	Statuses     []option
	Rows         []quoteRow
	// Filtered: a filter is set. Older leads to the next page, Newest to the first;
	// empty where there is none.
	Filtered      bool
	Older, Newest string
	// Faults are what is wrong with the filters.
	Faults []told
}

// quoteRow is a quote of the list.
type quoteRow struct {
	Href, Title      string
	DealName, DealID string
	DealHref         string
	Amount           string
	Card, Tone       string
	Changed          string
	Revision         int
}

// showQuotes lists the seller's quotes, the newest first. The filters are those
// of the API's list and stand in the address.
func (s *Service) showQuotes(w http.ResponseWriter, c *call) error {
	asked := url.Values{}
	for name, values := range c.URL.Query() {
		if name != "lang" && (len(values) != 1 || values[0] != "") {
			asked[name] = values
		}
	}
	page := quotesPage{sellerFrame: s.sellerFrame(c, navQuotes), Status: asked.Get("status"), Deal: asked.Get("deal")}
	page.Title = page.T("Quotes")
	page.Filtered = page.Status != "" || page.Deal != ""
	page.Statuses = []option{{Name: page.T("All"), Chosen: page.Status == ""}}
	for _, status := range statuses {
		page.Statuses = append(page.Statuses, option{status, page.T(statusTexts[status]), status == page.Status})
	}
	query, err := parseQuery(asked)
	if p, ok := errors.AsType[*problem](err); ok {
		page.Faults = page.tell(p)
		return s.render(w, c, p.Status, "seller_quotes.html", page)
	}
	if err != nil {
		return err
	}
	query.Seller = c.token.Seller
	found, err := s.list(c.Context(), query)
	if err != nil {
		return err
	}
	for _, q := range found.Data {
		page.Rows = append(page.Rows, page.row(q))
	}
	filters := url.Values{}
	for _, name := range []string{"status", "deal", "limit"} {
		if value := asked.Get(name); value != "" {
			filters.Set(name, value)
		}
	}
	if asked.Has("cursor") {
		page.Newest = addressOf(sellerHome, filters)
	}
	if found.NextCursor != nil {
		filters.Set("cursor", *found.NextCursor)
		page.Older = addressOf(sellerHome, filters)
	}
	return s.render(w, c, http.StatusOK, "seller_quotes.html", page)
}

func addressOf(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// row writes a quote of the list down.
func (v sellerFrame) row(q listed) quoteRow {
	return quoteRow{
		Href: quotePath(q.ID), Title: q.Title, DealName: q.Deal.Name, DealID: q.Deal.ID, DealHref: dealPath(q.Deal.ID),
		Amount: quote.Money{Amount: q.Amount, Currency: q.Currency}.String(), Card: v.card(q.Status, q.at, q.zone), Tone: tone(q.Status),
		Changed: v.Date(q.UpdatedAt.In(q.zone)), Revision: q.Revision,
	}
}

// Deal is the deal's name, or its id where it has none.
func (r quoteRow) Deal() string {
	if r.DealName != "" {
		return r.DealName
	}
	return r.DealID
}

func quotePath(id string) string { return "/seller/quotes/" + id }

func dealPath(id string) string { return "/seller/deals/" + url.PathEscape(id) }

// option is one choice of a list.
type option struct {
	Value, Name string
	Chosen      bool
}
