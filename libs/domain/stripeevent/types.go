package stripeevent

// kind is what data.object is.
type kind int

const (
	kindSession kind = iota
	kindIntent
	kindCharge
	kindRefund
	kindDispute
	kindInvoice
	kindInvoicePayment
	kindSubscription
	kindCoupon
	kindWarning
	kindReview
)

// object is what data.object.object says.
func (k kind) object() string {
	return [...]string{
		"checkout.session", "payment_intent", "charge", "refund", "dispute", "invoice", "invoice_payment",
		"subscription", "coupon", "radar.early_fraud_warning", "review",
	}[k]
}

// mayClaim reports whether our checkout's metadata can stand on an object of
// the kind. Stripe copies none to the others, and what a merchant writes there
// himself is not ours.
func (k kind) mayClaim() bool { return k.needsClaim() || k == kindIntent || k == kindCharge }

// needsClaim reports whether an object of the kind is not ours unless its own
// metadata says so: our checkout sees to it that they always do. The metadata of
// intents and charges are empty for subscriptions.
func (k kind) needsClaim() bool {
	return k == kindSession || k == kindInvoice || k == kindSubscription || k == kindCoupon
}

// want is a type of events that can add facts.
type want struct {
	name string
	kind kind
}

// wanted holds the events of stripe.md §2.2 that are about payments.
var wanted = wantedTypes(map[kind][]string{
	kindSession: {
		typeSessionCompleted, typeSessionSucceeded, typeSessionFailed, typeSessionExpired,
	},
	kindIntent: {
		"payment_intent.succeeded", "payment_intent.processing", typeIntentFailed, "payment_intent.canceled",
		"payment_intent.requires_action",
	},
	kindCharge: {
		typeChargeSucceeded, "charge.updated", "charge.captured", "charge.failed", "charge.pending", typeChargeExpired,
		"charge.refunded",
	},
	kindRefund: {"refund.created", "refund.updated", typeRefundFailed, "charge.refund.updated"},
	kindDispute: {
		"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
		"charge.dispute.funds_reinstated",
	},
	kindInvoice: {
		typeInvoicePaid, typeInvoiceSucceeded, typeInvoiceFailed, "invoice.payment_action_required",
		"invoice.finalization_failed", "invoice.voided", "invoice.marked_uncollectible",
	},
	kindInvoicePayment: {"invoice_payment.paid"},
	kindSubscription: {
		"customer.subscription.created", "customer.subscription.updated", typeSubscriptionDeleted,
		"customer.subscription.paused", "customer.subscription.resumed",
	},
	kindCoupon:  {typeCouponUpdated, typeCouponDeleted},
	kindWarning: {"radar.early_fraud_warning.created"},
	kindReview:  {"review.opened", typeReviewClosed},
})

// Types whose name is itself a fact.
const (
	typeSessionCompleted    = "checkout.session.completed"
	typeSessionSucceeded    = "checkout.session.async_payment_succeeded"
	typeSessionFailed       = "checkout.session.async_payment_failed"
	typeSessionExpired      = "checkout.session.expired"
	typeIntentFailed        = "payment_intent.payment_failed"
	typeChargeSucceeded     = "charge.succeeded"
	typeChargeExpired       = "charge.expired"
	typeRefundFailed        = "refund.failed"
	typeInvoicePaid         = "invoice.paid"
	typeInvoiceSucceeded    = "invoice.payment_succeeded"
	typeInvoiceFailed       = "invoice.payment_failed"
	typeSubscriptionDeleted = "customer.subscription.deleted"
	typeCouponUpdated       = "coupon.updated"
	typeCouponDeleted       = "coupon.deleted"
	typeReviewClosed        = "review.closed"
)

func wantedTypes(byKind map[kind][]string) map[string]want {
	all := map[string]want{}
	for k, names := range byKind {
		for _, name := range names {
			all[name] = want{name, k}
		}
	}
	return all
}
