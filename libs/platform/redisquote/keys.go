package redisquote

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
)

// Generation is the generation of the key names that a deployment begins with. Which one is in use now is told by the
// bucket SYSTEM: see Active and natsstream.FollowGeneration.
const Generation = event.FirstGeneration

// OutcomeBlock is how many consecutive sequences share one outcome hash.
const OutcomeBlock = 1000

// Keys makes every key name. All names begin with the generation, so that a rebuild can fill another one beside it. The
// part in braces is the hash tag: keys that one script touches together share it. Use NewKeys.
type Keys struct{ prefix string }

// NewKeys returns the names of one generation, for example "g1".
func NewKeys(generation string) Keys { return Keys{generation + ":"} }

// Generation is the generation that the names are of.
func (k Keys) Generation() string { return strings.TrimSuffix(k.prefix, ":") }

// Pattern matches every key of the generation, for SCAN.
func (k Keys) Pattern() string { return k.prefix + "*" }

// PayPattern matches every Pay and PayEvents.
func (k Keys) PayPattern() string { return k.prefix + "pay:{*" }

// ParsePay is Pay's inverse; false for every other key, PayEvents among them.
func (k Keys) ParsePay(key string) (account, quote string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.prefix+"pay:{")
	if rest, ok2 := strings.CutSuffix(rest, "}"); ok && ok2 {
		return strings.Cut(rest, ":")
	}
	return "", "", false
}

// Keys makes one generation a Source that never changes.
func (k Keys) Keys() Keys { return k }

// Source says which generation is to be read.
type Source interface{ Keys() Keys }

// Active is a Source that a rebuild switches. The zero value is of the first generation. It is safe for concurrent use.
type Active struct{ generation atomic.Pointer[string] }

// Keys returns the names of the generation in use.
func (a *Active) Keys() Keys {
	if g := a.generation.Load(); g != nil {
		return NewKeys(*g)
	}
	return NewKeys(Generation)
}

// Set changes the generation.
func (a *Active) Set(generation string) { a.generation.Store(&generation) }

// Pay is the hash of a quote's payment facts on one account. See the Field constants.
func (k Keys) Pay(account, quote string) string {
	return k.prefix + "pay:{" + account + ":" + quote + "}"
}

// PayEvents is the hash of the Stripe messages that touched Pay: "<type>|<object>|<event id>" → "<sequence> <event id>" for
// each, and "<type>|<object>" → the same for the first of that type and object, by which a duplicate is told.
func (k Keys) PayEvents(account, quote string) string { return k.Pay(account, quote) + ":events" }

// Link is the hash that says which quotes a Stripe object belongs to (fields LinkQuote+quote), whether it belongs to a
// renewal (field LinkRenewal), which changes wait for that answer (fields LinkParked+sequence), and which have waited in vain
// (fields LinkGivenUp+sequence): of those the log alone holds the facts.
func (k Keys) Link(account, object string) string {
	return k.prefix + "link:{" + account + ":" + object + "}"
}

// Outcomes is the hash sequence → Outcome of one block of a stream.
func (k Keys) Outcomes(stream string, sequence uint64) string {
	return k.prefix + "out:{" + stream + ":" + strconv.FormatUint(sequence/OutcomeBlock, 10) + "}"
}

// Quote is the hash of a quote's current document and of its published revisions. See the Field constants.
func (k Keys) Quote(quote string) string { return k.prefix + "quote:{" + quote + "}" }

// Token is the key that leads from a quote page's token to "<quote> <revision>".
func (k Keys) Token(token string) string { return k.prefix + "token:{" + token + "}" }

// IndexSeller is the sorted set of a seller's quotes by the time of their creation (Unix milliseconds).
func (k Keys) IndexSeller(seller string) string { return k.prefix + "idx:seller:" + seller }

// IndexStatus is the part of IndexSeller that stands in a status. It may hold a quote that has moved on; a reader compares
// with the quote.
func (k Keys) IndexStatus(seller, status string) string {
	return k.prefix + "idx:status:" + seller + ":" + status
}

// IndexDeal is the part of IndexSeller that belongs to a deal.
func (k Keys) IndexDeal(seller, deal string) string {
	return k.prefix + "idx:deal:" + seller + ":" + deal
}

// IndexParked is the sorted set of changes that wait for a link, by the time of parking (Unix milliseconds): members
// are ParkedMember.
func (k Keys) IndexParked() string { return k.prefix + "idx:parked" }

// IndexUnknown is the sorted set of payment facts without a published revision, by the time they were first seen:
// members are "<account>|<quote>".
func (k Keys) IndexUnknown() string { return k.prefix + "idx:unknown" }

// Marker is the key whose absence means that this server holds no complete projection. Shard is one of Shards.
func (k Keys) Marker(shard string) string { return k.prefix + "sys:marker:{" + shard + "}" }

// clusterMarkers is how many markers are spread over a cluster's slots, so that every master holds some: with 16
// masters, one stays without any in 2 of 100 clusters.
const clusterMarkers = 64

// Shards tells the masters of a cluster apart; a single server has shard "0".
func Shards(client redis.UniversalClient) []string {
	if _, cluster := client.(*redis.ClusterClient); !cluster {
		return []string{"0"}
	}
	shards := make([]string, clusterMarkers)
	for i := range shards {
		shards[i] = strconv.Itoa(i)
	}
	return shards
}

// ParkedMember names one parked change in IndexParked.
func ParkedMember(account, object string, sequence uint64) string {
	return account + "|" + object + "|" + strconv.FormatUint(sequence, 10)
}

// ParseParkedMember is ParkedMember's inverse.
func ParseParkedMember(member string) (account, object string, sequence uint64, ok bool) {
	parts := strings.Split(member, "|")
	if len(parts) != 3 {
		return "", "", 0, false
	}
	sequence, err := strconv.ParseUint(parts[2], 10, 64)
	return parts[0], parts[1], sequence, err == nil
}

// Fields of Pay.
const (
	FieldFacts  = "facts"  // canonical JSON of quote.Facts
	FieldDigest = "digest" // its SHA-256 in hex
	FieldStatus = "status"
	FieldFlags  = "flags" // comma-separated, sorted
	// FieldMark + "<event>.<n>" holds the Mark of an emission that the log has stored.
	FieldMark = "m:"
)

// Fields of Quote.
const (
	FieldDocument = "doc"     // JSON of event.Drafted, the newest version
	FieldVersion  = "version" // its version
	// FieldRevision + n holds the JSON of event.Published without its document; FieldRecalled + n and FieldExpired + n the time it happened.
	FieldRevision = "rev:"
	FieldRecalled = "recalled:"
	FieldExpired  = "expired:"
	FieldCreated  = "created" // of the first version, Unix milliseconds
	FieldDeal     = "deal"    // the deal under which the quote stands in IndexDeal
	FieldIndexed  = "indexed" // the status under which the quote stands in IndexStatus
)

// Fields of Link.
const (
	LinkQuote   = "q"
	LinkRenewal = "r"
	LinkParked  = "p"
	LinkGivenUp = "g"
)
