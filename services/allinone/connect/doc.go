// Package connect holds the tests of connecting Stripe accounts: quotes, payments and ingress on real servers, with the sandbox in
// Stripe's place and a browser that goes from one to the other. It has no code of its own.
package connect
