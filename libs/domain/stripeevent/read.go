package stripeevent

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// head reads the event around the object.
func (d *decoder) head() (Change, error) {
	c := Change{Account: quote.PlatformAccount}
	id, ok := jsonscan.String(d.event[eventID])
	if !ok || !token(id) {
		return Change{}, &MalformedError{"no usable event id"}
	}
	c.EventID = id
	typ, ok := jsonscan.Text(d.event[eventType])
	if !ok || len(typ) == 0 {
		return Change{}, &MalformedError{"no event type"}
	}
	if w, ok := wanted[string(typ)]; ok {
		c.Type = w.name // without a copy
	} else {
		c.Type = string(typ)
	}
	if account := d.event[eventAccount]; account != nil && !jsonscan.IsNull(account) {
		c.Account, ok = jsonscan.String(account)
		// An event must never talk its way onto the deployment's own account.
		if !ok || !token(c.Account) || c.Account == quote.PlatformAccount {
			return Change{}, &MalformedError{"no usable account"}
		}
	}
	c.APIVersion, _ = jsonscan.String(d.event[eventVersion])
	if live, ok := jsonscan.Bool(d.event[eventLivemode]); ok {
		c.Livemode = live
	} else {
		c.Livemode, _ = jsonscan.Bool(d.object[fieldLivemode])
	}
	d.origin = quote.Origin{Live: c.Livemode, Test: !c.Livemode}
	d.created = seconds(d.event[eventCreated])
	d.since = quote.Moment(max(d.created, 1)) // 1: it happened, nobody knows when
	if d.created == 0 {
		d.since = quote.Moment(max(seconds(d.object[fieldCreated]), 1))
	}
	if d.created != 0 {
		c.Created = time.Unix(d.created, 0).UTC()
	}
	if object, ok := jsonscan.String(d.object[fieldID]); ok && token(object) {
		c.Object = object
	}
	return c, nil
}

// text is a string field, empty if it is anything else.
func (d *decoder) text(f field) string { return text(d.object[f]) }

func text(value []byte) string {
	s, _ := jsonscan.String(value)
	return s
}

// is reports whether a string field has a value, without copying it.
func (d *decoder) is(f field, want string) bool {
	have, ok := jsonscan.Text(d.object[f])
	return ok && string(have) == want
}

// truth is a boolean field.
func (d *decoder) truth(f field) bool {
	truth, _ := jsonscan.Bool(d.object[f])
	return truth
}

// id is the id that a field holds: a string, or an expanded object. Empty when
// the field names nothing.
func (d *decoder) id(f field) string { return d.idIn(d.object[f]) }

func (d *decoder) idIn(value []byte) string {
	if jsonscan.IsObject(value) {
		expanded := in(value)
		value = expanded[fieldID]
	}
	id := text(value)
	if id != "" && !token(id) {
		d.refuse("malformed id of an object")
		return ""
	}
	return id
}

// ids is id as a set.
func (d *decoder) ids(f field) quote.Set { return add(nil, d.id(f)) }

// add puts an id into a set.
func add(set quote.Set, id string) quote.Set {
	if id == "" {
		return set
	}
	at := 0
	for at < len(set) && set[at] < id {
		at++
	}
	if at < len(set) && set[at] == id {
		return set
	}
	set = append(set, "")
	copy(set[at+1:], set[at:])
	set[at] = id
	return set
}

// token reports whether an id can stand in a subject and in a key:
// ^[A-Za-z0-9_]{1,128}$.
func token(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}

// amount is an amount of money; false when the value is none. A negative one,
// and one beyond MaxAmount, refuse the event.
func (d *decoder) amount(value []byte) (int64, bool) {
	n, ok := d.signed(value)
	if ok && n < 0 {
		d.refuse("negative amount")
		return 0, false
	}
	return n, ok
}

// signed is amount where money may also go the other way.
func (d *decoder) signed(value []byte) (int64, bool) {
	if len(value) == 0 || (value[0] != '-' && (value[0] < '0' || value[0] > '9')) {
		return 0, false
	}
	n, ok := jsonscan.Int(value)
	switch {
	case ok && n >= -MaxAmount && n <= MaxAmount:
		return n, true
	case ok || !bytes.ContainsAny(value, ".eE"):
		d.refuse("amount out of range")
	}
	return 0, false // a fraction: Stripe counts in whole minor units, so this is no amount
}

// currency is a currency in lower case, empty if the value is none.
func currency(value []byte) string {
	code := text(value)
	if !quote.CurrencyCode(code) {
		if code = strings.ToLower(code); !quote.CurrencyCode(code) {
			return ""
		}
	}
	return code
}

// money is an amount with the object's currency, zero if either is missing.
func (d *decoder) money(f field) quote.Money {
	n, ok := d.amount(d.object[f])
	code := currency(d.object[fieldCurrency])
	if !ok || code == "" {
		return quote.Money{}
	}
	return quote.Money{Amount: n, Currency: code}
}

// seconds is a time in Unix seconds, 0 if the value is none.
func seconds(value []byte) int64 {
	if n, ok := jsonscan.Int(value); ok && n > 0 && n <= maxTime {
		return n
	}
	return 0
}

// settled is the evidence that an amount was settled, at the time if there is
// one, else when the event was made. An amount that cannot be read is evidence
// too, of money that somebody must look at.
func (d *decoder) settled(m quote.Money, rank int, at int64) []quote.Settlement {
	s := quote.Settlement{Amount: m.Amount, Currency: m.Currency, Event: d.change.EventID}
	switch {
	case at != 0:
		s.Rank, s.At = rank, at
	case d.created != 0:
		s.Rank, s.At = quote.RankEvent, d.created
	default:
		s.Rank = quote.RankUnknown
	}
	return []quote.Settlement{s}
}

// claim is what the metadata name. An invoice carries those of its subscription
// apart from its own, in two places depending on the version.
func (d *decoder) claim() Claim {
	if c := d.claimIn(d.object[fieldMetadata]); c != (Claim{}) || d.refused != "" {
		return c
	}
	details := in(d.object[fieldSubscriptionDetails])
	if c := d.claimIn(details[fieldMetadata]); c != (Claim{}) || d.refused != "" {
		return c
	}
	parent := in(d.object[fieldParent])
	details = in(parent[fieldSubscriptionDetails])
	return d.claimIn(details[fieldMetadata])
}

// claimBefore is what the metadata named before the change that the event tells
// of: an edit that takes our metadata away is an edit of our coupon (R25). Stripe
// gives the keys that were changed or taken away, with the values that they had.
func (d *decoder) claimBefore() Claim {
	before := in(d.before)
	was, now := in(before[fieldMetadata]), in(d.object[fieldMetadata])
	for _, f := range []field{fieldSeller, fieldQuoteID, fieldQuoteRevision} {
		if was[f] == nil || jsonscan.IsNull(was[f]) {
			was[f] = now[f]
		}
	}
	return d.claimOf(&was)
}

func (d *decoder) claimIn(metadata []byte) Claim {
	if len(metadata) <= len("{}") || !jsonscan.IsObject(metadata) {
		return Claim{}
	}
	m := in(metadata)
	return d.claimOf(&m)
}

func (d *decoder) claimOf(m *members) Claim {
	seller, id, number := text(m[fieldSeller]), text(m[fieldQuoteID]), text(m[fieldQuoteRevision])
	if seller == "" || id == "" || number == "" {
		return Claim{}
	}
	revision, err := strconv.Atoi(number)
	if !token(seller) || !token(id) || err != nil || revision < 1 || revision > 1<<31-1 || number != strconv.Itoa(revision) {
		d.refuse("malformed quote in metadata")
		return Claim{}
	}
	return Claim{Seller: seller, Quote: id, Revision: revision}
}
