// Package check finds what should worry an operator: messages that nobody has decided about (conservation), consumers that
// are behind (lag), facts and mails that should be there and are not (gap), webhooks that do not come (silence).
//
// It reads the log, its consumers, the projection and Stripe's list of events, and changes nothing. quotectl, the console and
// monitoring call it; doctor looks at how things are set up instead.
package check
