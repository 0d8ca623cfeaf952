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

// AccountEndpointTypes lists what the webhook endpoint for the deployment's own account must send, sorted: nobody withdraws an
// authorization from himself.
func AccountEndpointTypes() []string { return sorted(append(PaymentTypes(), typeAccountUpdated)) }

// ConnectEndpointTypes lists what the webhook endpoint for connected accounts must send, sorted.
func ConnectEndpointTypes() []string { return sorted(append(PaymentTypes(), AccountTypes()...)) }

func sorted(types []string) []string {
	slices.Sort(types)
	return types
}
