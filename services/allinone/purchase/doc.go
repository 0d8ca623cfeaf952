// Package purchase proves what happens between a customer's click on Check out
// and the card that reads Paid: quotes, payments and ingress on real NATS and
// Redis servers, against the sandbox in Stripe's place. It holds tests alone:
// races, faults of Stripe's API, amounts in every currency, and what Stripe is
// asked for.
//
// Rules are tested where they live, in libs/domain; crashes in package proof.
package purchase
