package quotes

import (
	"net/http"
	"strconv"
)

// dealPage is the deal record as far as we know it: its quotes with their cards.
type dealPage struct {
	sellerFrame
	Heading, ID string
	NewHref     string
	Cards       []quoteRow
	// More: the deal has more quotes than are shown; they are in the list.
	More string
}

// showDeal shows the quotes of a deal. The deals themselves are the CRM's: one
// without quotes is an empty record and not a mistake.
func (s *Service) showDeal(w http.ResponseWriter, c *call) error {
	id := c.PathValue("deal")
	query, err := parseQuery(map[string][]string{"deal": {id}, "limit": {strconv.Itoa(maxLimit)}})
	if err != nil {
		return err
	}
	query.Seller = c.token.Seller
	found, err := s.list(c.Context(), query)
	if err != nil {
		return err
	}
	page := dealPage{sellerFrame: s.sellerFrame(c, navQuotes), Heading: id, ID: id}
	for _, q := range found.Data {
		page.Cards = append(page.Cards, page.row(q))
		if page.Heading == id && q.Deal.Name != "" {
			page.Heading = q.Deal.Name
		}
	}
	prefill := map[string][]string{"deal": {id}}
	if page.Heading != id {
		prefill["deal_name"] = []string{page.Heading}
	}
	page.NewHref = addressOf(newQuotePath, prefill)
	if found.NextCursor != nil {
		page.More = addressOf(sellerHome, map[string][]string{"deal": {id}})
	}
	page.Title = page.Heading
	return s.render(w, c, http.StatusOK, "seller_deal.html", page)
}
