package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/advice"
)

const (
	// apiTimeout bounds one request of ours to one of the services.
	apiTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 16 << 20
)

// api speaks the quote API of architecture.md §7.
type api struct {
	base   string
	token  string
	client *http.Client
}

func newAPI(c Config) *api {
	return &api{base: c.QuotesURL, token: c.APIToken.Reveal(), client: &http.Client{Timeout: apiTimeout}}
}

// apiQuote is a quote as the API shows it: what quotectl reads of it. Lists have Amount and Currency, single quotes Total.
type apiQuote struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Version counts the drafts, Revision the publications, 0 before the first.
	Version   int         `json:"version"`
	Revision  int         `json:"revision"`
	URL       string      `json:"url"`
	Flags     []string    `json:"flags"`
	Amount    int64       `json:"amount"`
	Total     quote.Total `json:"total"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	quote.Document
}

// apiCard is the card on the deal record.
type apiCard struct {
	Text     string    `json:"text"`
	Status   string    `json:"status"`
	PaidAt   time.Time `json:"paid_at,omitzero"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency"`
	Flags    []string  `json:"flags"`
}

// quote reads one quote; raw is the answer as it came.
func (c *api) quote(ctx context.Context, id string) (q apiQuote, raw json.RawMessage, err error) {
	raw, err = c.get(ctx, "/v1/quotes/"+url.PathEscape(id), "quote "+id)
	if err != nil {
		return apiQuote{}, nil, err
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return apiQuote{}, nil, fmt.Errorf("decode quote %s: %w", id, err)
	}
	return q, raw, nil
}

// card reads the card of one quote.
func (c *api) card(ctx context.Context, id string) (card apiCard, raw json.RawMessage, err error) {
	raw, err = c.get(ctx, "/v1/quotes/"+url.PathEscape(id)+"/card", "card of quote "+id)
	if err != nil {
		return apiCard{}, nil, err
	}
	if err := json.Unmarshal(raw, &card); err != nil {
		return apiCard{}, nil, fmt.Errorf("decode card of quote %s: %w", id, err)
	}
	return card, raw, nil
}

// page is one page of a list.
type page struct {
	items []json.RawMessage
	next  string // cursor of the following page, or ""
}

// list reads one page of quotes.
func (c *api) list(ctx context.Context, query url.Values) (page, error) {
	path := "/v1/quotes"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	raw, err := c.get(ctx, path, "list of quotes")
	if err != nil {
		return page{}, err
	}
	var answer struct {
		Data       []json.RawMessage `json:"data"`
		NextCursor string            `json:"next_cursor"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return page{}, fmt.Errorf("decode list of quotes: %w", err)
	}
	return page{items: answer.Data, next: answer.NextCursor}, nil
}

// reply is an answer that was read to its end.
type reply struct {
	code   int
	status string // such as 404 Not Found
	body   []byte
}

// get reads path; what says what it is, for errors.
func (c *api) get(ctx context.Context, path, what string) (json.RawMessage, error) {
	r, err := c.do(ctx, http.MethodGet, path, "read "+what, nil, "")
	if err != nil {
		return nil, err
	}
	return r.body, r.refused(what)
}

// do makes a request and reads the answer, whatever it is; act says what for, in errors. A body is JSON; match, if not
// empty, is the version that the caller has seen.
func (c *api) do(ctx context.Context, method, path, act string, body []byte, match string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", act, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return reply{}, advise("check that the quotes service runs at QUOTES_URL="+c.base, "%s: %w", act, trimURL(err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", act, err)
	}
	return reply{res.StatusCode, res.Status, answer}, nil
}

// refused turns an answer other than 200 into an error that says what, why and what next.
func (r reply) refused(what string) error {
	switch r.code {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		next := "quotectl quotes list"
		if strings.Contains(what, "seller ") {
			next = "look at the seller's id; set API_TOKEN to a token of that seller, or of the role admin"
		}
		return notFound(next, "read %s: there is none of that name, or not for this token", what)
	case http.StatusUnauthorized, http.StatusForbidden:
		return advise("set API_TOKEN to a token of the quotes service's API_TOKENS", "read %s: the API refuses the token: %s", what, problem(r.status, r.body))
	case http.StatusBadRequest:
		return advice.Of(advice.Usage, "quotectl quotes list --help", "read %s: %s", what, problem(r.status, r.body))
	case http.StatusServiceUnavailable:
		return advise("try again in a moment", "read %s: %s", what, problem(r.status, r.body))
	default:
		return fmt.Errorf("read %s: %s", what, problem(r.status, r.body))
	}
}

// problem is the text of an RFC 9457 problem document, or of what there is instead.
func problem(status string, body []byte) string {
	var p struct {
		Title   string `json:"title"`
		Detail  string `json:"detail"`
		Reasons []struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"reasons"`
	}
	text := status
	if json.Unmarshal(body, &p) != nil {
		return text
	}
	for _, s := range []string{p.Title, p.Detail} {
		if s != "" && !strings.HasSuffix(status, s) {
			text += ", " + s
		}
	}
	for _, r := range p.Reasons {
		text += "; " + r.Code + ": " + r.Detail
	}
	return text
}

// trimURL drops the "Get https://…:" that net/http puts before an error: the caller says what was read.
func trimURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// plainID refuses an id that could not be one, before it is put into a path or a subject.
func plainID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}
