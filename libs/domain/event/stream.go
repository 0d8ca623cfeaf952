package event

// The streams. Declared by natsstream; all on file storage.
const (
	StreamStripe  = "STRIPE"  // every verified Stripe event, raw
	StreamQuotes  = "QUOTES"  // commands and facts of quotes
	StreamSellers = "SELLERS" // sellers and their Stripe connection
	StreamDead    = "DEAD"    // messages set aside
	StreamJournal = "JOURNAL" // operator actions
	StreamTimers  = "TIMERS"  // message schedules: expiry, reminders
)

// The key-value buckets.
const (
	BucketMail    = "MAIL"    // the mail ledger
	BucketSystem  = "SYSTEM"  // current Redis generation, last seen Redis identities
	BucketReplays = "REPLAYS" // replay plans, and how far each was carried out
)

// FirstGeneration is the generation of Redis keys that is in use where SYSTEM
// names none.
const FirstGeneration = "g1"

// The subjects that each stream takes.
const (
	SubjectsStripe  = "stripe.>"
	SubjectsQuotes  = "quote.*.*.*.*"
	SubjectsSellers = "seller.*.*.*"
	SubjectsDead    = "dead.*.*.*.*"
	// SubjectsDeadState are of the stream DEAD too: what was decided about a letter.
	SubjectsDeadState = "deadstate.*.*.*.*"
	SubjectsJournal   = "journal.*"
	SubjectsTimers    = "timer.>"
)

// Headers of messages on the log, beside NATS's own.
const (
	HeaderReceivedAt  = "Received-At"  // RFC 3339 with nanoseconds, UTC
	HeaderSecretName  = "Secret-Name"  // which signing secret matched
	HeaderSource      = "Source"       // one of the Source constants
	HeaderAPIVersion  = "Api-Version"  // Stripe's, as in the body
	HeaderBodySHA256  = "Body-Sha256"  // hex
	HeaderTraceParent = "traceparent"  // W3C trace context
	HeaderContentType = "Content-Type" // ContentType on every quote event
)

// ContentType is the media type of a structured CloudEvent; with it a reader of
// the CloudEvents NATS binding knows that the data is in the body.
const ContentType = "application/cloudevents+json"

// Where a message on the STRIPE stream came from (HeaderSource).
const (
	SourceWebhook   = "webhook"
	SourceReconcile = "reconcile"
	SourceReturn    = "return"
	SourceSimulate  = "simulate"
)

// Platform is the account of an event that carries none: the deployment's own.
const Platform = "platform"

// Stripe's two modes. One deployment is in one of them.
const (
	ModeTest = "test"
	ModeLive = "live"
)

// Mode is ModeLive when livemode is true, else ModeTest.
func Mode(livemode bool) string {
	if livemode {
		return ModeLive
	}
	return ModeTest
}
