package quotes

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/signin"
)

// sellerView is the seller as the API shows him.
type sellerView struct {
	ID      string `json:"id"`
	Version int    `json:"version"` // the ETag says the same
	// Payee is what the policy judges: the plan, and the account that is paid.
	quote.Payee
	Mode string `json:"mode"` // of this deployment
	// Connection is the account that he connected; null while he is paid on the
	// deployment's own.
	Connection *seller.Connection `json:"connection"`
	// Seats are those of whom it was said; while there are none, everybody has one.
	Seats []seller.Seat `json:"seats"`
}

func (s *Service) viewSeller(id string, a *seller.Aggregate) sellerView {
	return sellerView{
		ID: id, Version: a.Version, Payee: a.Payee(s.cfg.Account), Mode: s.cfg.Mode, Connection: a.Connection(), Seats: a.Seats(),
	}
}

func (s *Service) answerSeller(w http.ResponseWriter, id string, a *seller.Aggregate) {
	w.Header().Set("ETag", etag(a.Version))
	writeJSON(w, http.StatusOK, mediaJSON, s.viewSeller(id, a))
}

// showOwnSeller answers with the caller's own seller.
func (s *Service) showOwnSeller(w http.ResponseWriter, c *call) error {
	a, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	s.answerSeller(w, c.token.Seller, a)
	return nil
}

// showSeller answers with the seller that the path names: the caller's own, or
// any for those who look after the system.
func (s *Service) showSeller(w http.ResponseWriter, c *call) error {
	id, err := c.seller()
	if err != nil {
		return err
	}
	a, err := s.loadSeller(c.Context(), id)
	if err != nil {
		return err
	}
	s.answerSeller(w, id, a)
	return nil
}

// seller is the seller that the path names, if the caller may see him.
func (c *call) seller() (string, error) {
	id := c.PathValue("seller")
	oversees := c.token.Role == signin.RoleAdmin || c.token.Role == signin.RoleOperator
	if !oversees && id != c.token.Seller {
		return "", refuse(http.StatusForbidden, "forbidden", "A token of the role "+c.token.Role+" sees its own seller only.")
	}
	if !event.ValidSeller(id) {
		return "", refuse(http.StatusNotFound, "not-found", "No seller can have this id.")
	}
	return id, nil
}

// administered is the seller that the path names, if the caller may say what he
// paid us for.
func (c *call) administered() (string, error) {
	if c.token.Role != signin.RoleAdmin {
		return "", refuse(http.StatusForbidden, "forbidden", "Plans and seats are given by a token of the role admin; this one is of the role "+c.token.Role+".")
	}
	return c.seller()
}

// setPlan puts a seller on a plan (R3). It may be repeated.
func (s *Service) setPlan(w http.ResponseWriter, c *call) error {
	id, err := c.administered()
	if err != nil {
		return err
	}
	var body struct {
		Plan *string `json:"plan"`
	}
	if err := c.fields(&body); err != nil {
		return err
	}
	if body.Plan == nil {
		return invalid([]quote.Reason{{Code: quote.CodeMissing, Field: "plan", Detail: "Say which plan: one of " + strings.Join(seller.Plans, ", ") + "."}})
	}
	a, err := s.sellerCommand(c, id, "plan_set", func(a *seller.Aggregate) (*sellerEntry, error) {
		if err := c.precondition(a.Version, optional); err != nil {
			return nil, err
		}
		now := s.cfg.Now().UTC()
		set, fresh, err := a.SetPlan(seller.PlanSet{Seller: id, Plan: *body.Plan, At: now, By: c.token.Name})
		if err != nil || !fresh {
			return nil, err
		}
		return &sellerEntry{event.NamePlanSet, set, now}, nil
	})
	if err != nil {
		return err
	}
	s.answerSeller(w, id, a)
	return nil
}

// maxUser bounds the name of a user, in bytes, as that of a token.
const maxUser = 64

// setSeat gives a user a paid sales seat or takes it (R7). It may be repeated.
func (s *Service) setSeat(w http.ResponseWriter, c *call) error {
	id, err := c.administered()
	if err != nil {
		return err
	}
	var body struct {
		Paid *bool `json:"paid"`
	}
	if err := c.fields(&body); err != nil {
		return err
	}
	user := c.PathValue("user")
	if len(user) > maxUser || strings.ContainsFunc(user, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return invalid([]quote.Reason{{Code: quote.CodeText, Field: "user", Detail: "A user is named like his API token, with 64 bytes at most."}})
	}
	if body.Paid == nil {
		return invalid([]quote.Reason{{Code: quote.CodeMissing, Field: "paid", Detail: "Say whether the seat is paid: true or false."}})
	}
	a, err := s.sellerCommand(c, id, "seat_set", func(a *seller.Aggregate) (*sellerEntry, error) {
		if err := c.precondition(a.Version, optional); err != nil {
			return nil, err
		}
		now := s.cfg.Now().UTC()
		set, fresh := a.SetSeat(seller.SeatSet{Seller: id, User: user, Paid: *body.Paid, At: now, By: c.token.Name})
		if !fresh {
			return nil, nil
		}
		return &sellerEntry{event.NameSeatSet, set, now}, nil
	})
	if err != nil {
		return err
	}
	s.answerSeller(w, id, a)
	return nil
}

// fields reads a JSON object of a few known fields.
func (c *call) fields(into any) error {
	b, err := c.body(mediaJSON)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err = d.Decode(into)
	switch {
	case err == nil && !d.More():
		return nil
	case err == nil || !json.Valid(b):
		return invalid([]quote.Reason{{Code: quote.CodeInvalidJSON, Detail: "The body is not one JSON object."}})
	default: // of this decoder; it names the field and quotes no value
		return invalid([]quote.Reason{{Code: quote.CodeUnknown, Detail: "The body does not fit: " + strings.TrimPrefix(err.Error(), "json: ") + "."}})
	}
}

// historyEntry is one event of a seller, or of the account that he is paid on.
type historyEntry struct {
	Sequence uint64          `json:"sequence"`
	Event    string          `json:"event"`
	At       time.Time       `json:"at"`
	Data     json.RawMessage `json:"data"`
}

// showHistory answers with what happened to a seller, the newest first: plans,
// seats, connections, and what Stripe said of his accounts. Who was refused to
// connect one stands in the journal.
func (s *Service) showHistory(w http.ResponseWriter, c *call) error {
	id, err := c.seller()
	if err != nil {
		return err
	}
	limit, before, err := historyPage(c)
	if err != nil {
		return err
	}
	records, err := s.history(c.Context(), id)
	if err != nil {
		return err
	}
	page := struct {
		Data []historyEntry `json:"data"`
		// NextCursor asks for the next page; null on the last one.
		NextCursor *string `json:"next_cursor"`
	}{Data: []historyEntry{}}
	for _, r := range slices.Backward(records) {
		if before > 0 && r.Sequence >= before {
			continue
		}
		if len(page.Data) == limit {
			next := strconv.FormatUint(page.Data[limit-1].Sequence, 10)
			page.NextCursor = &next
			break
		}
		env, err := event.DecodeSeller(r.Data)
		if err != nil {
			return err
		}
		page.Data = append(page.Data, historyEntry{r.Sequence, strings.TrimPrefix(env.Type, "seller."), env.Time, env.Data})
	}
	writeJSON(w, http.StatusOK, mediaJSON, page)
	return nil
}

// history is every event of a seller and of the accounts that he ever connected,
// in the order of the log.
func (s *Service) history(ctx context.Context, id string) ([]natsstream.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := s.readEvents(ctx, event.StreamSellers, event.SellerFilter(id))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range slices.Clone(records) {
		env, err := event.DecodeSeller(r.Data)
		if err != nil || env.Type != "seller."+event.NameConnected {
			continue
		}
		connected, err := event.Data[seller.Connected](env)
		if err != nil || seen[connected.Account] {
			continue
		}
		seen[connected.Account] = true
		facts, err := s.readEvents(ctx, event.StreamSellers, event.AccountFilter(connected.Account))
		if err != nil {
			return nil, err
		}
		records = append(records, facts...)
	}
	slices.SortFunc(records, func(x, y natsstream.Record) int { return int(x.Sequence) - int(y.Sequence) }) //nolint:gosec // far below 2^63
	return records, nil
}

// historyPage reads ?limit= and ?cursor=.
func historyPage(c *call) (limit int, before uint64, err error) {
	limit = 100
	if v := c.URL.Query().Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 1000 {
			return 0, 0, invalid([]quote.Reason{{Code: quote.CodeRange, Field: "limit", Detail: "limit is 1 to 1000."}})
		}
	}
	if v := c.URL.Query().Get("cursor"); v != "" {
		if before, err = strconv.ParseUint(v, 10, 64); err != nil || before == 0 {
			return 0, 0, invalid([]quote.Reason{{Code: quote.CodeRange, Field: "cursor", Detail: "cursor is the next_cursor of an earlier page."}})
		}
	}
	return limit, before, nil
}
