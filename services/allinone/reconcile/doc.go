// Package reconcile holds no code: its tests take webhooks away from a real ingress, payments worker and quotes service, with
// the sandbox as Stripe, and prove that the comparison with Stripe finds and makes good what never came.
package reconcile
