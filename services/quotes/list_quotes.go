package quotes

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// statuses are what a list can be asked for.
var statuses = []string{
	string(quote.LifecycleDraft), string(quote.LifecyclePublished), string(quote.LifecycleRecalled), string(quote.LifecycleExpired),
	string(quote.StatusProcessing), string(quote.StatusPaid), string(quote.StatusRefunded), string(quote.StatusChargedBack),
	string(quote.StatusReview),
}

// Limits of a page of the list.
const (
	defaultLimit = 25
	maxLimit     = 100
	// maxScans bounds how many index pages one answer looks through for quotes
	// that fit both filters; the cursor goes on from there.
	maxScans = 10
)

// list is one page, the newest first.
type list struct {
	Data []listed `json:"data"`
	// NextCursor asks for the next page; null on the last one.
	NextCursor *string `json:"next_cursor"`
}

// listed is a quote of the list.
type listed struct {
	ID        string     `json:"id"`
	Status    string     `json:"status"`
	Title     string     `json:"title"`
	Deal      quote.Deal `json:"deal"`
	Amount    int64      `json:"amount"` // due at checkout, minor units
	Currency  string     `json:"currency"`
	Version   int        `json:"version"`
	Revision  int        `json:"revision,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	// at is the time that belongs to Status, zone the owner's: for the pages.
	at   time.Time
	zone *time.Location
}

// listQuotes answers from Redis, which may be a moment behind the log.
func (s *Service) listQuotes(w http.ResponseWriter, c *call) error {
	query, err := parseQuery(c.URL.Query())
	if err != nil {
		return err
	}
	query.Seller = c.token.Seller
	page, err := s.list(c.Context(), query)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, mediaJSON, page)
	return nil
}

// list is one page of what fits the query, for API and pages.
func (s *Service) list(ctx context.Context, query redisquote.Query) (list, error) {
	page := list{Data: []listed{}}
	for range maxScans {
		query.Limit -= len(page.Data)
		entries, err := s.reader.List(ctx, query)
		query.Limit += len(page.Data)
		if err != nil {
			return list{}, unavailable(err)
		}
		asked := query.Limit - len(page.Data)
		for _, e := range entries {
			query.Before = redisquote.Cursor{Created: e.Created, ID: e.ID}
			item, err := s.listed(ctx, query, e)
			if err != nil {
				return list{}, err
			}
			if item != nil {
				page.Data = append(page.Data, *item)
			}
		}
		page.NextCursor = nil
		if len(entries) < asked {
			break
		}
		page.NextCursor = encodeCursor(query.Before)
		if len(page.Data) == query.Limit {
			break
		}
	}
	return page, nil
}

// listed reads one quote of the index; nil when it does not fit the query, since
// an index may be a moment behind the quote.
func (s *Service) listed(ctx context.Context, query redisquote.Query, e redisquote.Entry) (*listed, error) {
	q, err := s.reader.Quote(ctx, e.ID)
	if errors.Is(err, redisquote.ErrNotFound) || err == nil && q.Drafted.Version == 0 {
		return nil, nil //nolint:nilnil // nothing to list is no error
	}
	if err != nil {
		return nil, unavailable(err)
	}
	a := q.Aggregate()
	a.ID = e.ID
	st, err := s.standing(ctx, &a)
	if err != nil {
		return nil, err
	}
	d := q.Drafted.Document
	if query.Status != "" && st.Status != query.Status || query.Deal != "" && d.Deal.ID != query.Deal {
		return nil, nil //nolint:nilnil // nothing to list is no error
	}
	due, err := d.DueAtCheckout()
	if err != nil {
		return nil, err
	}
	zone, err := d.Zone()
	if err != nil {
		return nil, err
	}
	return &listed{
		at: st.At, zone: zone,
		ID: e.ID, Status: st.Status, Title: d.Title, Deal: d.Deal, Amount: due.Amount, Currency: due.Currency,
		Version: q.Drafted.Version, Revision: a.Revision(), CreatedAt: time.UnixMilli(e.Created).UTC(), UpdatedAt: q.Drafted.DraftedAt,
	}, nil
}

// parseQuery reads the query string strictly: a filter that is misspelt would
// list everything.
func parseQuery(values url.Values) (redisquote.Query, error) {
	q := redisquote.Query{Limit: defaultLimit}
	var reasons []quote.Reason
	bad := func(code, field, detail string) {
		reasons = append(reasons, quote.Reason{Code: code, Field: field, Detail: detail})
	}
	for name, given := range values {
		value := given[0]
		if len(given) > 1 {
			bad(quote.CodeChoice, name, name+" is given more than once.")
			continue
		}
		switch name {
		case "status":
			if q.Status = value; !slices.Contains(statuses, value) {
				bad(quote.CodeChoice, name, "status must be one of "+strings.Join(statuses, ", ")+".")
			}
		case "deal":
			q.Deal = value
		case "limit":
			n, err := strconv.Atoi(value)
			if q.Limit = n; err != nil || n < 1 || n > maxLimit {
				bad(quote.CodeRange, name, "limit must be 1 to "+strconv.Itoa(maxLimit)+".")
			}
		case "cursor":
			var ok bool
			if q.Before, ok = decodeCursor(value); !ok {
				bad(quote.CodeText, name, "cursor must be a next_cursor of this list.")
			}
		default:
			bad(quote.CodeUnknown, name, "There is no such filter; use status, deal, limit and cursor.")
		}
	}
	if len(reasons) > 0 {
		slices.SortFunc(reasons, func(a, b quote.Reason) int { return strings.Compare(a.Field, b.Field) })
		return redisquote.Query{}, refuse(http.StatusBadRequest, "invalid-query", count(len(reasons), "problem")+" in the query.", reasons...)
	}
	return q, nil
}

func encodeCursor(c redisquote.Cursor) *string {
	s := base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Created, 10) + " " + c.ID))
	return &s
}

func decodeCursor(s string) (redisquote.Cursor, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return redisquote.Cursor{}, false
	}
	created, id, ok := strings.Cut(string(b), " ")
	at, err := strconv.ParseInt(created, 10, 64)
	return redisquote.Cursor{Created: at, ID: id}, ok && err == nil && id != ""
}
