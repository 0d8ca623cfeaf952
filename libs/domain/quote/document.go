package quote

import (
	"fmt"
	"time"
)

// Document is a quote as its seller writes it, in the JSON of the API. It is
// stored whole in every quote.drafted and quote.published, so its field names
// are a wire format: they may be added to, never changed.
//
// A Document that Decode returned without reasons is structurally sound;
// whether it may be published is for the policy to say.
type Document struct {
	Title     string     `json:"title"`
	Deal      Deal       `json:"deal"`
	Currency  string     `json:"currency"` // ISO 4217 in lower case
	LineItems []LineItem `json:"line_items"`
	Discount  *Discount  `json:"discount,omitempty"`
	Tax       *Tax       `json:"tax,omitempty"`
	// ExpiresAt is as the seller wrote it: RFC 3339, or a date that means the
	// end of that day in the owner's zone, or empty. Use Expiry.
	ExpiresAt string         `json:"expires_at,omitempty"`
	Owner     Owner          `json:"owner"`
	Contact   Contact        `json:"contact"`
	Payment   PaymentOptions `json:"payment"`
}

// Deal names the record of the CRM that the quote belongs to.
type Deal struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// LineItem is one line; without Recurring it is charged once.
type LineItem struct {
	Name       string `json:"name"`
	Quantity   int64  `json:"quantity"`    // above zero
	UnitAmount int64  `json:"unit_amount"` // minor units, zero or more
	// DiscountAmount is taken off the whole line, in minor units; it is at most
	// quantity times unit amount.
	DiscountAmount int64      `json:"discount_amount,omitempty"`
	Recurring      *Recurring `json:"recurring,omitempty"`
}

// Recurring is the billing frequency of a line.
type Recurring struct {
	Interval      string `json:"interval"`       // day, week, month or year
	IntervalCount int64  `json:"interval_count"` // every so many intervals, from 1
	// Term is a contract term in the seller's words. A quote that states one
	// cannot be paid by Stripe, where subscriptions have no end.
	Term string `json:"term,omitempty"`
}

// Discount is the quote's own discount. It never touches the tax. Exactly one
// of Amount and Percent is set.
type Discount struct {
	Amount  int64  `json:"amount,omitempty"`  // minor units, above zero
	Percent string `json:"percent,omitempty"` // decimal string above 0, at most 100, at most 6 decimals
	// Duration is once (the first charge; also what empty means) or forever.
	Duration string `json:"duration,omitempty"`
}

// Durations of a quote's discount.
const (
	DurationOnce    = "once"
	DurationForever = "forever"
)

// Tax is charged once, with the first charge, and is never discounted.
type Tax struct {
	Name   string `json:"name"`
	Amount int64  `json:"amount"` // minor units, zero or more
}

// Owner is the seller's person in charge of the quote, who gets the mail.
type Owner struct {
	Name     string `json:"name,omitempty"`
	Email    string `json:"email"`
	TimeZone string `json:"time_zone"` // IANA name
}

// Contact is the customer.
type Contact struct {
	Email     string `json:"email"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Company   string `json:"company,omitempty"`
}

// PaymentOptions says how the quote may be paid.
type PaymentOptions struct {
	// Stripe is the switch "use connected Stripe account"; off until it is on.
	Stripe bool `json:"stripe"`
	// ThreeDSecure is nil where the seller did not say.
	ThreeDSecure *bool `json:"three_d_secure,omitempty"`
}

// Zone is the owner's time zone, in which all dates of the quote are shown. It
// returns an error when the name is in no time zone database.
func (d Document) Zone() (*time.Location, error) {
	if d.Owner.TimeZone == "" || d.Owner.TimeZone == "Local" {
		return nil, fmt.Errorf("time zone %q: not an IANA name", d.Owner.TimeZone)
	}
	zone, err := time.LoadLocation(d.Owner.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", d.Owner.TimeZone, err)
	}
	return zone, nil
}

// Expiry is the last second at which the quote can be paid, in UTC; zero when
// it does not expire.
func (d Document) Expiry() (time.Time, error) {
	if d.ExpiresAt == "" {
		return time.Time{}, nil
	}
	zone, err := d.Zone()
	if err != nil {
		return time.Time{}, err
	}
	return ParseExpiry(d.ExpiresAt, zone)
}

// ParseExpiry reads an RFC 3339 time, or a date (2006-01-02) that means the
// last second of that day in the zone. The answer is in UTC, whole seconds:
// Stripe counts no finer.
func ParseExpiry(s string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return inRange(at.UTC().Truncate(time.Second))
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("expiry %q: neither RFC 3339 nor a date", s)
	}
	end := time.Date(day.Year(), day.Month(), day.Day(), 23, 59, 59, 0, zone)
	// Where clocks go back at midnight (Havana, Beirut) the last hour of a day
	// happens twice: the customer gets the second one too.
	if again := end.Add(time.Hour); again.Day() == end.Day() {
		end = again
	}
	return inRange(end.UTC())
}

// inRange keeps a year within what RFC 3339 can write again, whatever offset it
// came with.
func inRange(at time.Time) (time.Time, error) {
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, fmt.Errorf("expiry in the year %d", at.Year())
	}
	return at, nil
}
