package stripeevent

import (
	"maps"
	"slices"
)

// PaymentTypes lists the types of events about payments, sorted: what a webhook endpoint must be subscribed to, for the deployment's
// own account and, on an endpoint of its own, for connected accounts.
func PaymentTypes() []string { return slices.Sorted(maps.Keys(wanted)) }

// AccountTypes lists the types of events about a Stripe account and its connection, sorted. Those of connected accounts come by the Connect
// endpoint alone.
func AccountTypes() []string { return []string{typeAccountDeauthorized, typeAccountUpdated} }
