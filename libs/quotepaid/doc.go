// Package quotepaid is the typed client of the event quote.paid, for services of
// other teams: Subscribe calls a handler for every quote that was paid, Decode
// reads one event.
//
// It depends on nats.go alone, writes nothing but its own consumer, and knows no
// other event. The wire format is the JSON Schema that Schema returns; fields
// may be added to it, and a change of meaning would come as another schema
// beside it, never in its place.
//
// # What you are promised
//
//   - At least once. Every quote.paid reaches your handler until it has returned
//     nil once. Expect some of them again: after a crash of yours, of the server,
//     or of the network between.
//   - The same fact always has the same id. There is one quote.paid per seller,
//     quote and revision; Paid.ID is the hash of the three. It is the same in
//     every delivery, in every environment's copy, and after every replay.
//   - So make your effect conditional on Paid.ID: a unique key in the table you
//     insert into, the idempotency key of the call you make. Remembering ids in
//     memory is not enough: the second delivery may come to another instance.
//   - Order is per quote only, and only with Config.Concurrency 1 and one
//     instance. Between quotes there is none: Paid.PaidAt may go backwards.
//   - It says that it was paid, for ever. A refund or a dispute later does not
//     take it back; those are events of their own.
//   - No personal data. Who needs the owner or the contact reads the
//     quote.published of that seller, quote and revision.
//
// # What you see when something breaks
//
//	your handler returns an error     the event comes again, after 1 s, 2 s, 4 s … 5 min
//	it returns Permanent(err)         the event is set aside: never again, Config.Observe is told
//	the event cannot be decoded       as Permanent
//	your process dies in the handler  the event comes again after Config.AckWait, maybe elsewhere
//	… after your effect, before nil   the same: this is why the effect hangs on Paid.ID
//	the handler is slow               heartbeats hold the event; no limit
//	the NATS server restarts          some handled events may come again, also long ones past
//
// # One consumer per service
//
// Config.Name names a durable consumer on the stream QUOTES: your cursor, which
// outlives your processes. All instances of a service use one name and share the
// work; two services use two names and see every event each. The first instance
// to start creates it, and Config.Start says where it begins; later it has no
// effect. To see old events again use a new name, or ask an operator to reset
// the consumer: no other service is disturbed by either.
package quotepaid
