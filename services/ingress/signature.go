package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Tolerance is how far a signature's time may lie from our clock, in either direction, both ends included. Stripe's
	// libraries use the same 300 s, backwards only.
	Tolerance = 300 * time.Second
	// MaxSignatureHeader is the longest Stripe-Signature header that is looked at, in bytes.
	MaxSignatureHeader = 16 << 10
	// MaxSignatureElements is the largest number of its comma-separated elements. Stripe sends one t, one v1 for each
	// secret of an endpoint being rolled (two) and one v0 with test events.
	MaxSignatureElements = 16
)

// A Verifier tells whether a body was signed with one of our secrets, just now.
//
// It accepts what webhook.ValidatePayload of stripe-go v76.25.0 accepts under any one of the secrets, except for these,
// where ours is the stricter one; each is pinned by TestVerifierAgreesWithTheSDK and by FuzzVerifierAgreesWithTheSDK:
//
//   - A time more than Tolerance ahead of our clock is refused. The SDK bounds the age only: there a signature dated
//     ten years ahead stays good for ten years.
//   - More than MaxSignatureElements elements or MaxSignatureHeader bytes are refused. The SDK has no bound.
//   - The handler refuses a second Stripe-Signature header. The SDK is handed one string and cannot see it.
//   - No secret may be empty. The SDK accepts what was signed with the empty key.
//
// It never accepts what the SDK refuses. Where both refuse they may differ in the reason: the SDK calls an old header too
// old before it looks at the signature; we say Stale only of a genuine signature, since that alone hints at a wrong clock.
//
// Safe for concurrent use. No allocation once its pool is warm.
type Verifier struct {
	now     func() time.Time
	keyring atomic.Pointer[keyring]
}

// Verdict is the answer of a Verifier.
type Verdict struct {
	// Refusal is empty when the body is to be trusted.
	Refusal Reason
	// Secret names the secret that the body was signed with; empty if none. Set with Stale and Future too.
	Secret string
	// Age is how long ago the header says that it was signed; negative means ahead of our clock. At most 292 years.
	Age time.Duration
}

// NewVerifier returns a Verifier. The error names what is wrong with which secret; see CheckSecrets.
func NewVerifier(secrets []Secret, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now}
	if err := v.Replace(secrets); err != nil {
		return nil, err
	}
	return v, nil
}

// Replace changes the secrets for all calls that begin from now on. After an error, as of NewVerifier, the old ones stay.
func (v *Verifier) Replace(secrets []Secret) error {
	if err := CheckSecrets(secrets); err != nil {
		return err
	}
	v.keyring.Store(newKeyring(secrets))
	return nil
}

// Names returns the names of the secrets in use, in the order of their configuration.
func (v *Verifier) Names() []string { return slices.Clone(v.keyring.Load().names) }

// Verify checks a body against the value of its Stripe-Signature header.
func (v *Verifier) Verify(header string, body []byte) Verdict {
	var sig signature
	if refusal := sig.parse(header); refusal != "" {
		return Verdict{Refusal: refusal}
	}
	return v.check(&sig, body)
}

// check decides about a header that was read already. All secrets are tried with all digests whatever the outcome, so
// that its time tells neither which secret matched nor how much of a digest was right.
func (v *Verifier) check(sig *signature, body []byte) Verdict {
	verdict := Verdict{Age: age(v.now(), sig.time)}
	verdict.Secret = v.keyring.Load().match(sig, body)
	switch {
	case verdict.Secret == "":
		verdict.Refusal = NoMatchingSignature
	case verdict.Age > Tolerance:
		verdict.Refusal = Stale
	case verdict.Age < -Tolerance:
		verdict.Refusal = Future
	}
	return verdict
}

// age returns now - seconds, bounded: a header may name a second that no time.Time can hold.
func age(now time.Time, seconds int64) time.Duration {
	const year9999 = 253402300799
	return now.Sub(time.Unix(min(max(seconds, 0), year9999), 0))
}

// signature is a Stripe-Signature header, read.
type signature struct {
	time    int64 // seconds since 1970
	digests [MaxSignatureElements][sha256.Size]byte
	n       int // digests in use
}

// parse reads a header such as "t=1495999758,v1=6ffb…,v1=5257…,v0=…". Elements of other schemes are passed over, as is a
// v1 that cannot be a SHA-256 in hex; of several t the last counts.
func (s *signature) parse(header string) Reason {
	if header == "" {
		return MissingSignature
	}
	if len(header) > MaxSignatureHeader {
		return MalformedSignature
	}
	var timed bool
	for rest, elements, more := header, 0, true; more; elements++ {
		var element string
		element, rest, more = strings.Cut(rest, ",")
		key, value, found := strings.Cut(element, "=")
		if elements == MaxSignatureElements || !found || strings.Contains(value, "=") {
			return MalformedSignature
		}
		switch key {
		case "t":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return MalformedSignature
			}
			s.time, timed = seconds, true
		case "v1":
			if s.digest(value) {
				s.n++
			}
		}
	}
	if !timed {
		return MalformedSignature
	}
	return ""
}

// digest decodes hex digits of either case into the next free place.
func (s *signature) digest(value string) bool {
	if len(value) != hex.EncodedLen(sha256.Size) {
		return false
	}
	_, err := hex.Decode(s.digests[s.n][:], []byte(value))
	return err == nil
}

// keyring is a fixed set of secrets and, for each, HMAC states ready for use. Setting up HMAC-SHA256 costs two blocks of
// hashing and several allocations; the pooled states keep both padded keys hashed already.
type keyring struct {
	names []string
	pool  sync.Pool // of *macs
}

// macs is the working memory of one check.
type macs struct {
	hashes []hash.Hash // in the order of keyring.names
	stamp  []byte      // "<time>."
	sum    []byte
}

func newKeyring(secrets []Secret) *keyring {
	k := &keyring{names: make([]string, len(secrets))}
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		k.names[i], keys[i] = s.Name, []byte(s.Key.Reveal())
	}
	k.pool.New = func() any {
		m := &macs{stamp: make([]byte, 0, 24), sum: make([]byte, 0, sha256.Size)}
		for _, key := range keys {
			m.hashes = append(m.hashes, hmac.New(sha256.New, key))
		}
		return m
	}
	return k
}

// match returns the name of the first secret under which one of the digests is right, or "".
func (k *keyring) match(sig *signature, body []byte) string {
	m, _ := k.pool.Get().(*macs) // the pool holds nothing else
	defer k.pool.Put(m)
	// Stripe signs the time as it wrote it; like the SDK we sign the number that we read, so "+5" or "005" verify as "5".
	m.stamp = append(strconv.AppendInt(m.stamp[:0], sig.time, 10), '.')
	found := -1
	for i, h := range m.hashes {
		h.Reset()
		h.Write(m.stamp)
		h.Write(body)
		m.sum = h.Sum(m.sum[:0])
		right := 0
		for d := range sig.n {
			right |= subtle.ConstantTimeCompare(m.sum, sig.digests[d][:])
		}
		first := right & subtle.ConstantTimeEq(int32(found), -1)
		found = subtle.ConstantTimeSelect(first, i, found)
	}
	if found < 0 {
		return ""
	}
	return k.names[found]
}
