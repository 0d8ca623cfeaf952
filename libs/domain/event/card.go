package event

import "time"

// cardDate is how the card on the deal record writes a day.
const cardDate = "Jan 2, 2006"

// CardText is the line on the deal record's card: "Paid: Nov 20, 2026" with the
// day in the zone. Status is a payment status or the state of a quote nobody
// has paid; at is the time that belongs to it, and statuses without a date pass
// over it; a nil zone is UTC. An unknown status is shown as it is, so that a newer writer never
// yields an empty card.
func CardText(status string, at time.Time, zone *time.Location) string {
	switch status {
	case "paid":
		return dated("Paid", at, zone)
	case "refunded":
		return dated("Refunded", at, zone)
	case "charged_back":
		return dated("Charged back", at, zone)
	case "processing":
		return "Payment processing"
	case "review":
		return "Payment needs review"
	case "pending", "published":
		return "Awaiting payment"
	case "draft":
		return "Draft"
	case "recalled":
		return "Recalled"
	case "expired":
		return "Expired"
	default:
		return status
	}
}

// dated leaves the date out where it is not known: better than a wrong one.
func dated(label string, at time.Time, zone *time.Location) string {
	if at.IsZero() {
		return label
	}
	if zone == nil {
		zone = time.UTC
	}
	return label + ": " + at.In(zone).Format(cardDate)
}
