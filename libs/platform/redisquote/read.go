package redisquote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// Payment is what Redis holds of a quote's payments on one account. Facts is the canonical JSON that
// quote.DecodeFacts reads; empty means that nothing was folded yet.
type Payment struct {
	Facts  []byte
	Digest string
	Status string
	Flags  []string
	// Marks are the emissions that the log has stored, by "<event>.<n>".
	Marks map[string]Mark
}

// Mark says that an emission is stored. At is the time it carries: for paid, the payment's.
type Mark struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Sequence uint64    `json:"seq"`
}

// Quote is what Redis holds of a quote's own events: enough for lists and for finding its accounts.
type Quote struct {
	Drafted event.Drafted // the newest version; zero when only a later event has arrived yet
	// Revisions are the publications by number; of their documents only the deal is kept.
	Revisions map[int]event.Published
	Recalled  map[int]bool
	Expired   map[int]bool
}

// Aggregate folds what Redis holds into the quote's aggregate, of which Lifecycle, StateAt and the numbers can be used.
func (q Quote) Aggregate() quote.Aggregate {
	var a quote.Aggregate
	last := 0
	for _, n := range slices.Sorted(maps.Keys(q.Revisions)) {
		a.Published(q.Revisions[n])
		last = q.Revisions[n].Version
		if q.Recalled[n] {
			a.Recalled(event.Recalled{Revision: n})
		}
		if q.Expired[n] {
			a.Expired(event.Expired{Revision: n})
		}
	}
	if q.Drafted.Version > last {
		a.Drafted(q.Drafted)
	}
	return a
}

// Accounts returns the Stripe accounts of all revisions, sorted.
func (q Quote) Accounts() []string {
	set := map[string]bool{}
	for _, r := range q.Revisions {
		set[r.Account] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// Outcome is what became of one message of a stream.
type Outcome struct {
	// Outcome is applied, corroborated, duplicate, ignored, parked, refused or dead.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Account and Quote name the facts it was folded into.
	Account string `json:"account,omitempty"`
	Quote   string `json:"quote,omitempty"`
	EventID string `json:"event_id,omitempty"`
	Type    string `json:"type,omitempty"`
	// Before and After are the quote's payment status around it.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// At is when it was decided, Handler the version of the worker that did.
	At      time.Time `json:"at"`
	Handler string    `json:"handler,omitempty"`
}

// AppendJSON appends what encoding/json makes of o, several times faster; false where a text holds what must be escaped.
func (o Outcome) AppendJSON(out []byte) ([]byte, bool) {
	w := memberWriter{out: append(slices.Grow(out, 256), '{'), plain: true}
	w.member("outcome", o.Outcome)
	w.optional("reason", o.Reason)
	w.optional("account", o.Account)
	w.optional("quote", o.Quote)
	w.optional("event_id", o.EventID)
	w.optional("type", o.Type)
	w.optional("before", o.Before)
	w.optional("after", o.After)
	w.out = append(w.out, `"at":"`...)
	w.out = append(o.At.AppendFormat(w.out, time.RFC3339Nano), '"', ',')
	w.optional("handler", o.Handler)
	w.out[len(w.out)-1] = '}'
	return w.out, w.plain
}

// Touch is one message that touched a quote's payment facts.
type Touch struct {
	Type, Object, EventID string
	Sequence              uint64
}

// Reader reads the projection. It is safe for concurrent use.
type Reader struct {
	client redis.UniversalClient
	source Source
}

// NewReader returns a Reader of what source says: Keys for one generation, *Active for the one in use.
func NewReader(client redis.UniversalClient, source Source) *Reader { return &Reader{client, source} }

// Complete reports whether this Redis holds the whole projection: not so after a loss, until payments has folded the log
// again. It makes of "not found" an answer.
func (r *Reader) Complete(ctx context.Context) (bool, error) {
	pipe := r.client.Pipeline()
	keys := r.source.Keys()
	for _, shard := range Shards(r.client) {
		pipe.Get(ctx, keys.Marker(shard))
	}
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for markers: %w", err)
	}
	return true, nil
}

// ErrNotFound means that Redis holds nothing under that name. The log may hold it all the same.
var ErrNotFound = errors.New("not in redis")

// Payment returns a quote's payments on one account; ErrNotFound when there are none.
func (r *Reader) Payment(ctx context.Context, account, quoteID string) (Payment, error) {
	all, err := r.client.HGetAll(ctx, r.source.Keys().Pay(account, quoteID)).Result()
	if err != nil {
		return Payment{}, fmt.Errorf("read payments of %s on %s: %w", quoteID, account, err)
	}
	if len(all) == 0 {
		return Payment{}, fmt.Errorf("read payments of %s on %s: %w", quoteID, account, ErrNotFound)
	}
	return DecodePayment(all)
}

// DecodePayment reads the fields of a Pay hash.
func DecodePayment(fields map[string]string) (Payment, error) {
	p := Payment{
		Facts: []byte(fields[FieldFacts]), Digest: fields[FieldDigest], Status: fields[FieldStatus], Marks: map[string]Mark{},
	}
	if f := fields[FieldFlags]; f != "" {
		p.Flags = strings.Split(f, ",")
	}
	for name, value := range fields {
		key, ok := strings.CutPrefix(name, FieldMark)
		if !ok {
			continue
		}
		var m Mark
		if err := json.Unmarshal([]byte(value), &m); err != nil {
			return Payment{}, fmt.Errorf("decode mark %s: %w", key, err)
		}
		p.Marks[key] = m
	}
	return p, nil
}

// Quote returns a quote's own record; ErrNotFound when there is none.
func (r *Reader) Quote(ctx context.Context, quoteID string) (Quote, error) {
	all, err := r.client.HGetAll(ctx, r.source.Keys().Quote(quoteID)).Result()
	if err != nil {
		return Quote{}, fmt.Errorf("read quote %s: %w", quoteID, err)
	}
	if len(all) == 0 {
		return Quote{}, fmt.Errorf("read quote %s: %w", quoteID, ErrNotFound)
	}
	return DecodeQuote(all)
}

// DecodeQuote reads the fields of a Quote hash.
func DecodeQuote(fields map[string]string) (Quote, error) {
	q := Quote{Revisions: map[int]event.Published{}, Recalled: map[int]bool{}, Expired: map[int]bool{}}
	if doc := fields[FieldDocument]; doc != "" {
		if err := json.Unmarshal([]byte(doc), &q.Drafted); err != nil {
			return Quote{}, fmt.Errorf("decode document: %w", err)
		}
	}
	for name, value := range fields {
		n, ok := strings.CutPrefix(name, FieldRevision)
		if !ok {
			continue
		}
		var p event.Published
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			return Quote{}, fmt.Errorf("decode revision %s: %w", n, err)
		}
		_, q.Recalled[p.Revision] = fields[FieldRecalled+n]
		_, q.Expired[p.Revision] = fields[FieldExpired+n]
		q.Revisions[p.Revision] = p
	}
	return q, nil
}

// Token returns the quote and revision that a page's token leads to; ErrNotFound when it leads nowhere.
func (r *Reader) Token(ctx context.Context, token string) (quoteID string, revision int, err error) {
	v, err := r.client.Get(ctx, r.source.Keys().Token(token)).Result()
	if errors.Is(err, redis.Nil) {
		return "", 0, fmt.Errorf("read page token: %w", ErrNotFound)
	}
	if err != nil {
		return "", 0, fmt.Errorf("read page token: %w", err)
	}
	if _, err := fmt.Sscanf(v, "%s %d", &quoteID, &revision); err != nil {
		return "", 0, fmt.Errorf("decode page token: %w", err)
	}
	return quoteID, revision, nil
}

// Query selects quotes of one seller; Status and Deal may be empty. The newest come first.
type Query struct {
	Seller, Status, Deal string
	// Before is the cursor: only quotes created before it, in Unix milliseconds with the id that broke the tie; zero
	// means from the newest on.
	Before Cursor
	Limit  int
}

// Cursor is a place in a list.
type Cursor struct {
	Created int64
	ID      string
}

// Entry is one quote of a list.
type Entry struct {
	ID      string
	Created int64
}

// List returns up to q.Limit quotes, the newest first. The index of statuses may be a moment behind: the caller compares
// with the quote.
func (r *Reader) List(ctx context.Context, q Query) ([]Entry, error) {
	keys := r.source.Keys()
	key := keys.IndexSeller(q.Seller)
	switch {
	case q.Deal != "":
		key = keys.IndexDeal(q.Seller, q.Deal)
	case q.Status != "":
		key = keys.IndexStatus(q.Seller, q.Status)
	}
	high := "+inf"
	if q.Before.ID != "" {
		high = strconv.FormatInt(q.Before.Created, 10)
	}
	// Quotes of the cursor's own millisecond come again and are passed over, so a few more than asked for are read.
	const sameMillisecond = 64
	found, err := r.client.ZRevRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{
		Min: "-inf", Max: high, Count: int64(q.Limit + sameMillisecond),
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("list quotes of %s: %w", q.Seller, err)
	}
	var entries []Entry
	for _, z := range found {
		id, ok := z.Member.(string)
		at := int64(z.Score)
		passed := q.Before.ID != "" && at == q.Before.Created && id >= q.Before.ID
		if ok && !passed && len(entries) < q.Limit {
			entries = append(entries, Entry{ID: id, Created: at})
		}
	}
	return entries, nil
}

// Outcome returns what became of a message; ErrNotFound while nothing did.
func (r *Reader) Outcome(ctx context.Context, stream string, sequence uint64) (Outcome, error) {
	v, err := r.client.HGet(ctx, r.source.Keys().Outcomes(stream, sequence), strconv.FormatUint(sequence, 10)).Result()
	if errors.Is(err, redis.Nil) {
		return Outcome{}, fmt.Errorf("read outcome of %s %d: %w", stream, sequence, ErrNotFound)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("read outcome of %s %d: %w", stream, sequence, err)
	}
	var o Outcome
	if err := json.Unmarshal([]byte(v), &o); err != nil {
		return Outcome{}, fmt.Errorf("decode outcome of %s %d: %w", stream, sequence, err)
	}
	return o, nil
}

// Touches returns the Stripe messages that touched a quote's payments, by sequence.
func (r *Reader) Touches(ctx context.Context, account, quoteID string) ([]Touch, error) {
	all, err := r.client.HGetAll(ctx, r.source.Keys().PayEvents(account, quoteID)).Result()
	if err != nil {
		return nil, fmt.Errorf("read events of %s on %s: %w", quoteID, account, err)
	}
	var touches []Touch
	for field, value := range all {
		parts := strings.SplitN(field, "|", 3)
		var t Touch
		if len(parts) == 2 {
			continue // stands under its event id too
		}
		if _, err := fmt.Sscanf(value, "%d %s", &t.Sequence, &t.EventID); err != nil || len(parts) != 3 {
			return nil, fmt.Errorf("decode event %q of %s: %w", field, quoteID, err)
		}
		t.Type, t.Object = parts[0], parts[1]
		touches = append(touches, t)
	}
	slices.SortFunc(touches, func(a, b Touch) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return touches, nil
}

// LinkedQuotes returns the quotes that a Stripe object of an account belongs to, sorted.
func (r *Reader) LinkedQuotes(ctx context.Context, account, object string) ([]string, error) {
	all, err := r.client.HGetAll(ctx, r.source.Keys().Link(account, object)).Result()
	if err != nil {
		return nil, fmt.Errorf("read link of %s on %s: %w", object, account, err)
	}
	var quotes []string
	for field := range all {
		if q, ok := strings.CutPrefix(field, LinkQuote); ok && q != "" {
			quotes = append(quotes, q)
		}
	}
	slices.Sort(quotes)
	return quotes, nil
}
