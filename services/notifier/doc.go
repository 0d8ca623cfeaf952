// Package notifier tells the owner of a quote, once, that it was paid, and before that, once, that it is about to expire.
//
// Its one job: read quote.paid and quote.expiring from the log and bring one mail for each to an SMTP server. It writes no quote
// state and knows no Stripe; trouble with mail never reaches the payment path, since nothing waits for it. It never
// writes to the customer. cmd/notifier runs it, and so does allinone.
//
// The way of a message: consume.go takes it, news.go and paid.go read what it names, send_receipt.go leads it through the protocol
// (render, "sending", send, "sent"), ledger.go and entry.go are the once-only memory in the bucket MAIL, render.go
// and mail.go make the bytes, pool.go keeps the connections, classify.go says what an SMTP conversation came to.
// resend.go and preview.go answer operators.
//
// # What is promised
//
// SMTP cannot say whether a mail was accepted when the connection is lost after the data. Per receipt, mails accepted are
// exactly one where no attempt ended that way; with MAIL_AMBIGUOUS=resend at least one and at most two, of the same bytes
// and Message-ID; with MAIL_AMBIGUOUS=park at most one. None only where the server refused it for good or an operator has
// it on the list. A replay, a redelivery, a loss of Redis or a second notifier changes none of that.
package notifier
