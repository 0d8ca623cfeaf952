package selection

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
)

// OutcomePending is what a message has that nothing was decided about yet, OutcomeFailed stands for dead, refused and parked.
const (
	OutcomePending = "pending"
	OutcomeFailed  = "failed"
)

// failed are the outcomes behind OutcomeFailed.
var failed = []string{projection.Dead, projection.Refused, projection.Parked}

// Outcomes are the words that an outcome may be selected by.
var Outcomes = []string{
	projection.Applied, projection.Corroborated, projection.Duplicate, projection.Ignored,
	projection.Parked, projection.Refused, projection.Dead, OutcomePending, OutcomeFailed,
}

// Selection says which messages of one stream are meant. Members that are empty select all; of several values of one member
// one must fit, of several members all. The zero value with a stream selects the whole stream.
type Selection struct {
	// Stream is STRIPE or QUOTES.
	Stream string
	// IDs are Stripe event ids, which messages of STRIPE alone have. Quotes are quote ids.
	IDs, Quotes []string
	// Types, Accounts and Sources may hold * and ?: checkout.session.*, acct_*, reconcile.
	Types, Accounts, Sources []string
	// Outcomes are of the list Outcomes, OutcomeFailed already replaced by what it stands for.
	Outcomes []string
	// Since and Until bound the time at which the message was stored: not before Since, before Until.
	Since, Until time.Time
	// From and To bound the sequence, both included; 0 means no bound.
	From, To uint64
	// Limit is how many are meant at most; 0 means all.
	Limit int
}

// Term is one word of the language: the name of a flag and of a parameter in a URL.
type Term struct {
	Name, Usage string
	// Many says that it may be given several times, or once with commas.
	Many bool
}

// Terms are all words of the language, in the order in which help shows them.
var Terms = []Term{
	{"stream", "the stream: STRIPE (what Stripe sent) or QUOTES (the quotes' own events); default STRIPE", false},
	{"id", "only these Stripe events", true},
	{"quote", "only what bears on these quotes", true},
	{"type", "only types that fit, such as 'checkout.session.*' or quote.paid", true},
	{"outcome", "only what came to this: " + strings.Join(Outcomes, ", ") + " (failed is dead, refused or parked; pending is not decided yet)", true},
	{"account", "only of these Stripe accounts, such as platform or 'acct_*'", true},
	{"source", "only what came in this way: webhook, reconcile, return, simulate", true},
	{"since", "not stored before: a span such as 2h or 7d, a date, or RFC 3339", false},
	{"until", "stored before: a span, a date, or RFC 3339", false},
	{"seq", "only these places of the stream: 88120, 88120..88200, 88120.. or ..88200", false},
	{"limit", "at most so many; 0 for all", false},
}

// Parse reads a selection from the parameters of a URL or from flags; spans count back from now, and times without a zone
// are in that of now. Parameters of other names are passed over. It reports all faults together.
func Parse(values url.Values, now time.Time) (Selection, error) {
	p := parser{values: values, now: now}
	s := Selection{
		Stream: strings.ToUpper(p.one("stream", event.StreamStripe)),
		IDs:    p.many("id"), Quotes: p.many("quote"), Types: p.many("type"), Accounts: p.many("account"), Sources: p.many("source"),
		Since: p.time("since"), Until: p.time("until"), Limit: p.limit(),
	}
	s.Outcomes = p.outcomes()
	s.From, s.To = p.sequences()
	if s.Stream != event.StreamStripe && s.Stream != event.StreamQuotes {
		p.fault("stream", "%q is neither %s nor %s", s.Stream, event.StreamStripe, event.StreamQuotes)
	}
	if len(s.IDs) > 0 && s.Stream == event.StreamQuotes {
		p.fault("id", "only messages of %s have one; name those of %s by quote or seq", event.StreamStripe, s.Stream)
	}
	for name, ids := range map[string][]string{"id": s.IDs, "quote": s.Quotes} {
		for _, id := range ids {
			if !event.ValidToken(id) {
				p.fault(name, "%q is no id", id)
			}
		}
	}
	for name, patterns := range map[string][]string{"type": s.Types, "account": s.Accounts, "source": s.Sources} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil {
				p.fault(name, "%q is no pattern", pattern)
			}
		}
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		p.fault("until", "%s is not after since, %s", s.Until.Format(time.RFC3339), s.Since.Format(time.RFC3339))
	}
	return s, errors.Join(p.faults...)
}

// Values is the selection as parameters, such that Parse reads the same from them at any time: spans have become times.
func (s Selection) Values() url.Values {
	v := url.Values{}
	set := func(name string, texts ...string) {
		if len(texts) > 0 && texts[0] != "" {
			v[name] = slices.Clone(texts)
		}
	}
	set("stream", s.Stream)
	set("id", s.IDs...)
	set("quote", s.Quotes...)
	set("type", s.Types...)
	set("outcome", s.Outcomes...)
	set("account", s.Accounts...)
	set("source", s.Sources...)
	for name, at := range map[string]time.Time{"since": s.Since, "until": s.Until} {
		if !at.IsZero() {
			set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if s.From > 0 || s.To > 0 {
		set("seq", bound(s.From)+".."+bound(s.To))
	}
	if s.Limit > 0 {
		set("limit", strconv.Itoa(s.Limit))
	}
	return v
}

func bound(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// String is the selection for people and for the journal, as flags.
func (s Selection) String() string {
	var parts []string
	values := s.Values()
	for _, t := range Terms {
		for _, value := range values[t.Name] {
			parts = append(parts, "--"+t.Name+" "+value)
		}
	}
	return strings.Join(parts, " ")
}

// Unbounded reports whether nothing narrows the selection but its stream and limit.
func (s Selection) Unbounded() bool {
	v := s.Values()
	maps.DeleteFunc(v, func(name string, _ []string) bool { return name == "stream" || name == "limit" })
	return len(v) == 0
}

// parser collects faults.
type parser struct {
	values url.Values
	now    time.Time
	faults []error
}

func (p *parser) fault(name, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(name+": "+format, args...))
}

func (p *parser) one(name, fallback string) string {
	all := p.values[name]
	if len(all) > 1 {
		p.fault(name, "is given %d times", len(all))
	}
	if len(all) == 0 || all[0] == "" {
		return fallback
	}
	return strings.TrimSpace(all[0])
}

func (p *parser) many(name string) []string {
	var all []string
	for _, value := range p.values[name] {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}

func (p *parser) time(name string) time.Time {
	text := p.one(name, "")
	if text == "" {
		return time.Time{}
	}
	at, err := ParseTime(text, p.now)
	if err != nil {
		p.fault(name, "%w", err)
	}
	return at
}

func (p *parser) limit() int {
	n, err := strconv.Atoi(p.one("limit", "0"))
	if err != nil || n < 0 {
		p.fault("limit", "%q is no number from 0 on", p.one("limit", ""))
	}
	return n
}

func (p *parser) outcomes() []string {
	var all []string
	for _, word := range p.many("outcome") {
		switch {
		case !slices.Contains(Outcomes, word):
			p.fault("outcome", "%q is none of %s", word, strings.Join(Outcomes, ", "))
		case word == OutcomeFailed:
			all = append(all, failed...)
		default:
			all = append(all, word)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *parser) sequences() (from, to uint64) {
	text := p.one("seq", "")
	if text == "" {
		return 0, 0
	}
	low, high, span := strings.Cut(text, "..")
	read := func(text string) uint64 {
		if text == "" && span {
			return 0
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			p.fault("seq", "%q is no sequence: give 88120, 88120..88200, 88120.. or ..88200", text)
		}
		return n
	}
	from = read(low)
	if !span {
		return from, from
	}
	if to = read(high); to > 0 && from > to {
		p.fault("seq", "%d is after %d", from, to)
	}
	return from, to
}
