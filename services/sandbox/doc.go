// Package sandbox is a stateful stand-in for Stripe, for development and tests: the part of Stripe's API that Quittance
// uses, Connect's OAuth, the hosted pay page, and signed webhooks. State is in memory and gone at the end, but for
// the accounts and their connections where Config.AccountsFile names a file.
//
// It is honest: what it cannot do and Stripe can, it answers with status 501, type api_error, code sandbox_unsupported and a
// message that says so. It moves no money, has no sign-in and must not be reachable from outside a development machine.
// Quotes and operator tools are its clients; cmd/sandbox and allinone run it.
//
// To follow a payment read sessions.go, cart.go, pages.go, pay.go, payments.go, billing.go, events.go, deliver.go.
//
// # Worlds
//
// Each account has a world for test and one for live mode; they share nothing but the clock. The platform's keys are
// Config.TestKey and LiveKey; Stripe-Account selects the world of a connected account. An idempotency key belongs to one world.
// GET /v1/events shows events as version 2023-10-16 has them, and does not name the account whose list it is.
//
// # Where it differs knowingly
//
// Retry intervals, minimum amounts of currencies outside its table and the times of failed renewals' retries are not published
// by Stripe; those here are chosen. A first attempt in subscription mode makes customer, subscription and invoice even if the card
// is declined. Idempotency compares parameters as they were sent, apart from their order. There are no stored prices, products,
// promotion codes, trials, taxes, manual capture, setup mode, embedded page, reviews or early fraud warnings.
//
// # Time
//
// The sandbox's clock is the wall clock plus what was added to it. Sessions expire, bank debits end (two minutes), renewals
// fall due and deliveries are tried again by this clock. The time in a webhook's signature is the wall clock's, because receivers
// compare it with theirs.
//
// # Admin API
//
// JSON in and out; errors in Stripe's shape; unknown fields are refused. Durations are written as in Go: "90s", "72h".
//
//	GET    /sandbox/clock                     {now, offset, planned}
//	POST   /sandbox/clock                     {"advance":"72h"} | {"set":"2026-12-01T00:00:00Z"} | {"reset":true}; plays what falls due, in order
//	GET    /sandbox/knobs                     all knobs
//	POST   /sandbox/knobs                     any of {"reorder":bool, "duplicate":bool, "second_event_id":bool, "drop":bool, "before_answer":bool,
//	                                          "late":"72h", "types":["charge.*"], "search_lag":"1m", "debit_after":"2m"}; types narrows
//	                                          duplicate, second_event_id, drop and late
//	DELETE /sandbox/knobs                     back to the defaults
//	GET    /sandbox/faults                    those that have not struck yet
//	POST   /sandbox/faults                    {"kind":"rate_limit|lock_timeout|server_error|unavailable|html_502|reset|slow", "method":"POST",
//	                                          "path":"/v1/checkout/*", "times":1, "after":bool, "delay":"2s"}; after: once the request has had
//	                                          its effect; delay holds the request, whose idempotency key is in use meanwhile
//	DELETE /sandbox/faults                    none; a request that is delayed goes on
//	GET    /sandbox/deliveries                ?state=held|pending|delivered|failed|dropped &event=evt_… &type=charge.*
//	POST   /sandbox/deliveries                {"event":"evt_…", "endpoint":"we_…"}: resend, to all endpoints when none is named
//	POST   /sandbox/sessions/{id}             {"action":"pay|decline|challenge|challenge_pass|challenge_fail|debit|debit_fail", "email":…, "name":…}
//	POST   /sandbox/disputes                  {"charge":"ch_…"} or {"payment_intent":"pi_…"}, "reason":"fraudulent", "inquiry":bool
//	POST   /sandbox/disputes/{id}             {"action":"win|lose|close_inquiry|reinstate|withdraw"}; win after lose is a late reversal
//	POST   /sandbox/refunds/{id}              {"action":"fail"}: the bank sends a refund back
//	POST   /sandbox/subscriptions/{id}        {"renewals":"fail|succeed"}; a failed renewal is tried again after 72 hours
//	GET    /sandbox/accounts                  all accounts and their connections
//	POST   /sandbox/accounts                  {"id":"acct_…", "name":…, "country":"PL", "activated":bool}
//	POST   /sandbox/accounts/{id}             {"activated":bool, "connected":bool, "live":bool}
//	POST   /sandbox/webhook_endpoints/{id}    {"roll":true, "keep":"24h", "thin":bool}; answers with the secret in use
package sandbox
