package ingress_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/ingress"
)

const (
	mainKey  = "whsec_canary_4eC39HqLyjWDarjtT1zdp7dc"
	otherKey = "whsec_canary_26PHem9AhJZvU623DfE1x4sd"
)

var secrets = []ingress.Secret{
	{Name: "main", Key: env.NewSecret(mainKey)},
	{Name: "rolled", Key: env.NewSecret(otherKey)},
}

// noon is the clock of the tests that need none of the SDK's.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newVerifier(tb testing.TB, now func() time.Time) *ingress.Verifier {
	tb.Helper()
	v, err := ingress.NewVerifier(secrets, now)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// digest is the SDK's own signature, in lower-case hex.
func digest(at time.Time, body []byte, key string) string {
	return hex.EncodeToString(webhook.ComputeSignature(at, body, key))
}

func sign(at time.Time, body []byte, key string) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), digest(at, body, key))
}

// R56
func TestVerifierNamesTheReasonAndTheSecret(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	good := digest(noon, body, mainKey)
	bad := strings.Repeat("0", 64)
	stamp := strconv.FormatInt(noon.Unix(), 10)
	old, older := noon.Add(-300*time.Second), noon.Add(-301*time.Second)
	soon, later := noon.Add(300*time.Second), noon.Add(301*time.Second)
	for _, c := range []struct {
		name, header string
		refusal      ingress.Reason
		secret       string
	}{
		{"as Stripe sends it", sign(noon, body, mainKey), "", "main"},
		{"second secret", sign(noon, body, otherKey), "", "rolled"},
		{"with a v0", sign(noon, body, mainKey) + ",v0=" + bad, "", "main"},
		{"right v1 last of two", "t=" + stamp + ",v1=" + bad + ",v1=" + good, "", "main"},
		{"right v1 first of two", "t=" + stamp + ",v1=" + good + ",v1=" + bad, "", "main"},
		{"both secrets' v1", "t=" + stamp + ",v1=" + digest(noon, body, otherKey) + ",v1=" + good, "", "main"},
		{"time last", "v1=" + good + ",t=" + stamp, "", "main"},
		{"upper case", "t=" + stamp + ",v1=" + strings.ToUpper(good), "", "main"},
		{"last of two times counts", "t=1,t=" + stamp + ",v1=" + good, "", "main"},
		{"first of two times does not", "t=" + stamp + ",t=1,v1=" + good, ingress.NoMatchingSignature, ""},
		{"16 elements", "t=" + stamp + ",v1=" + good + strings.Repeat(",v2=x", 14), "", "main"},
		{"17 elements", "t=" + stamp + ",v1=" + good + strings.Repeat(",v2=x", 15), ingress.MalformedSignature, ""},
		{"empty", "", ingress.MissingSignature, ""},
		{"10 KB of one letter", strings.Repeat("a", 10<<10), ingress.MalformedSignature, ""},
		{"10 KB of another scheme", "t=" + stamp + ",v1=" + good + ",v9=" + strings.Repeat("a", 10<<10), "", "main"},
		{"over 16 KiB", "t=" + stamp + ",v1=" + good + ",v9=" + strings.Repeat("a", 16<<10), ingress.MalformedSignature, ""},
		{"space behind the comma", "t=" + stamp + ", v1=" + good, ingress.NoMatchingSignature, ""},
		{"trailing comma", "t=" + stamp + ",v1=" + good + ",", ingress.MalformedSignature, ""},
		{"two equals signs", "t=" + stamp + ",v1=" + good + ",v0=YQ==", ingress.MalformedSignature, ""},
		{"no time", "v1=" + good, ingress.MalformedSignature, ""},
		{"time is no number", "t=now,v1=" + good, ingress.MalformedSignature, ""},
		{"time overflows", "t=99999999999999999999,v1=" + good, ingress.MalformedSignature, ""},
		{"v0 only", "t=" + stamp + ",v0=" + good, ingress.NoMatchingSignature, ""},
		{"no digest", "t=" + stamp, ingress.NoMatchingSignature, ""},
		{"digest cut short", "t=" + stamp + ",v1=" + good[:62], ingress.NoMatchingSignature, ""},
		{"digest too long", "t=" + stamp + ",v1=" + good + "00", ingress.NoMatchingSignature, ""},
		{"digest is not hex", "t=" + stamp + ",v1=" + strings.Repeat("g", 64), ingress.NoMatchingSignature, ""},
		{"unknown secret", sign(noon, body, "whsec_unknown"), ingress.NoMatchingSignature, ""},
		{"signed with the empty key", sign(noon, body, ""), ingress.NoMatchingSignature, ""},
		{"another body", sign(noon, []byte(`{"id":"evt_2"}`), mainKey), ingress.NoMatchingSignature, ""},
		{"300 s old", sign(old, body, mainKey), "", "main"},
		{"301 s old", sign(older, body, mainKey), ingress.Stale, "main"},
		{"301 s old and forged", sign(older, body, "whsec_unknown"), ingress.NoMatchingSignature, ""},
		{"300 s ahead", sign(soon, body, mainKey), "", "main"},
		{"301 s ahead", sign(later, body, otherKey), ingress.Future, "rolled"},
		{"301 s ahead and forged", sign(later, body, "whsec_unknown"), ingress.NoMatchingSignature, ""},
		{"milliseconds", sign(time.Unix(noon.UnixMilli(), 0), body, mainKey), ingress.Future, "main"},
		{"last possible second", sign(time.Unix(math.MaxInt64, 0), body, mainKey), ingress.Future, "main"},
		{"first possible second", sign(time.Unix(math.MinInt64, 0), body, mainKey), ingress.Stale, "main"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newVerifier(t, at(noon)).Verify(c.header, body)
			if got.Refusal != c.refusal || got.Secret != c.secret {
				t.Errorf("Verify(%q) = %q by secret %q, want %q by %q", c.header, got.Refusal, got.Secret, c.refusal, c.secret)
			}
		})
	}
}

// Row 41 of the fault matrix: whatever the clock does, a genuine delivery is either taken or raises the alarm.
func TestClockFaultsShowAsGenuineSignaturesWithABadTime(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	header := sign(noon, body, mainKey)
	for offset := -10 * time.Minute; offset <= 10*time.Minute; offset += 500 * time.Millisecond {
		got := newVerifier(t, at(noon.Add(offset))).Verify(header, body)
		want := ingress.Reason("")
		if offset > ingress.Tolerance {
			want = ingress.Stale
		}
		if offset < -ingress.Tolerance {
			want = ingress.Future
		}
		if got.Refusal != want || got.Secret != "main" || got.Age != offset {
			t.Fatalf("clock off by %v: Verify = %+v, want refusal %q", offset, got, want)
		}
	}
}

// R56, goal of the security table: no altered delivery passes.
func TestNoMutatedDeliveryIsAccepted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	v := newVerifier(t, at(noon))
	body := []byte(`{"id":"evt_1","type":"checkout.session.completed","data":{"object":{"amount_total":10000}}}`)
	header := sign(noon, body, mainKey)
	for n := range testsize.Of(t, 50_000, 1_000_000, 10_000_000) {
		h, b := []byte(header), bytes.Clone(body)
		target := &h
		if n%2 == 0 {
			target = &b
		}
		i := rng.IntN(len(*target))
		switch rng.IntN(3) {
		case 0:
			(*target)[i] ^= 1 << rng.IntN(8)
		case 1:
			*target = append((*target)[:i], (*target)[i+1:]...)
		case 2:
			*target = append((*target)[:i], append([]byte{byte(rng.IntN(256))}, (*target)[i:]...)...)
		}
		// Hex has two cases, and a sign or leading zeros do not change a number: such headers say the same.
		same := bytes.Equal(b, body) && sameHeader(string(h), header)
		if got := v.Verify(string(h), b); (got.Refusal == "") != same {
			t.Fatalf("Verify(%q, %q) = %+v, says the same as the genuine one: %v", h, b, got, same)
		}
	}
}

func sameHeader(h, genuine string) bool {
	h = strings.Replace(h, "t=+", "t=", 1)
	h = strings.Replace(h, "t=0", "t=", 1)
	return strings.EqualFold(h, genuine) && strings.HasPrefix(h, "t=") && strings.Contains(h, ",v1=")
}

// sdkAccepts asks the SDK with each of our secrets in turn.
func sdkAccepts(header string, body []byte) bool {
	for _, key := range []string{mainKey, otherKey} {
		if webhook.ValidatePayload(body, header, key) == nil {
			return true
		}
	}
	return false
}

// stricter reports whether one of the differences listed at Verifier applies to an otherwise good header.
func stricter(header string, now time.Time) bool {
	if strings.Count(header, ",") >= ingress.MaxSignatureElements || len(header) > ingress.MaxSignatureHeader {
		return true
	}
	var last int64
	for element := range strings.SplitSeq(header, ",") {
		if value, ok := strings.CutPrefix(element, "t="); ok {
			last, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return time.Unix(last, 0).Sub(now) > ingress.Tolerance
}

// agree checks one header against the oracle. Both read the clock of the bubble, so that they read the same instant.
func agree(t *testing.T, header string, body []byte) {
	t.Helper()
	got := newVerifier(t, time.Now).Verify(header, body)
	want := sdkAccepts(header, body) && !stricter(header, time.Now())
	if (got.Refusal == "") != want {
		t.Errorf("Verify(%q, %q) = %+v, the SDK and our own rules say accepted: %v", header, body, got, want)
	}
}

// headerTemplates are headers with {t} for the time, {v1} for the right digest and {V1} for the same in capitals.
var headerTemplates = []string{
	"t={t},v1={v1}", "v1={v1},t={t}", "t={t},v1={V1}", "t={t},v1=00,v1={v1}", "t={t},v1={v1},v1=00", "t={t},v0={v1}",
	"t={t},v1={v1},v0={v1}", "t={t},v1={v1},", ",t={t},v1={v1}", "t={t}, v1={v1}", " t={t},v1={v1}", "t={t},v1={v1} ",
	"t=+{t},v1={v1}", "t=0{t},v1={v1}", "t={t}.0,v1={v1}", "t={t}_0,v1={v1}", "t=0x{t},v1={v1}", "t=,v1={v1}", "v1={v1}", "t={t}", "",
	"t={t},v1", "t={t},v1=", "t={t},v1={v1}=", "t={t},v1={v1}0", "t={t},v1={v1}00", "t=1,t={t},v1={v1}", "t={t},t=1,v1={v1}",
	"T={t},v1={v1}", "t={t},V1={v1}", "t={t},v1=zz,v1={v1}", "t={t},v1={v1},foo", "t={t},v1={v1},foo=bar", "=,t={t},v1={v1}",
	"t={t},v1={v1}" + strings.Repeat(",a=b", 14), "t={t},v1={v1}" + strings.Repeat(",a=b", 15),
	"t={t},v1={v1},a=" + strings.Repeat("b", 16<<10), "t={t};v1={v1}", "t={t},v1=\x00{v1}", "t=\u0661,v1={v1}",
}

func fill(template string, at time.Time, body []byte, key string) string {
	d := digest(at, body, key)
	return strings.NewReplacer("{t}", strconv.FormatInt(at.Unix(), 10), "{v1}", d, "{V1}", strings.ToUpper(d)).Replace(template)
}

// R56: the differences to Stripe's own library are those listed at Verifier and no others.
func TestVerifierAgreesWithTheSDK(t *testing.T) {
	offsets := []time.Duration{
		0, -299 * time.Second, -300 * time.Second, -301 * time.Second, 299 * time.Second, 300 * time.Second, 301 * time.Second,
		-time.Hour, time.Hour, -87600 * time.Hour, 87600 * time.Hour,
	}
	synctest.Test(t, func(t *testing.T) {
		for _, fraction := range []time.Duration{0, 500 * time.Millisecond} {
			time.Sleep(fraction) // the bubble's clock: 300.5 s is too old for both
			for _, template := range headerTemplates {
				for _, offset := range offsets {
					for _, key := range []string{mainKey, otherKey, "whsec_unknown", ""} {
						body := []byte(`{"id":"evt_1"}`)
						agree(t, fill(template, time.Now().Add(offset), body, key), body)
					}
				}
			}
		}
	})
}

func FuzzVerifierAgreesWithTheSDK(f *testing.F) {
	for _, template := range headerTemplates {
		f.Add(template, int64(0), []byte(`{"id":"evt_1"}`))
	}
	for _, seconds := range []int64{300, 301, -300, -301, math.MaxInt64, math.MinInt64} {
		f.Add(headerTemplates[0], seconds, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, template string, seconds int64, body []byte) {
		synctest.Test(t, func(t *testing.T) {
			agree(t, fill(template, time.Unix(time.Now().Unix()+seconds, 0), body, mainKey), body)
		})
	})
}

// R56
func TestUnusableSecretsAreRefusedWithoutShowingThem(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"none", "", "no signing secret is given"},
		{"bare secret", mainKey, "entry 1 is not of the form name=secret"},
		{"empty secret", "main=", "entry 1: the secret main is empty"},
		{"prefix alone", "main=whsec_", "entry 1: the secret main is empty"},
		{"empty name", "=" + mainKey, "entry 1: the name is not 1 to 64 of A-Z a-z 0-9 _ -"},
		{"name with a dot", "a.b=" + mainKey, "entry 1: the name is not 1 to 64 of A-Z a-z 0-9 _ -"},
		{"space before the secret", "main= " + mainKey, "entry 1: the secret main holds a space or an unprintable character"},
		{"space behind the secret", "main=" + mainKey + " ", "entry 1: the secret main holds a space or an unprintable character"},
		{"line break", "main=" + mainKey + "\n", "entry 1: the secret main holds a space or an unprintable character"},
		{"space behind the comma", "main=" + mainKey + ", b=" + otherKey, "entry 2: the name is not 1 to 64 of A-Z a-z 0-9 _ -"},
		{"trailing comma", "main=" + mainKey + ",", "entry 2 is not of the form name=secret"},
		{"same name twice", "main=" + mainKey + ",main=" + otherKey, "entry 2: the name main is given twice"},
		{"same secret twice", "a=" + mainKey + ",b=" + mainKey, "entry 2: the secret b is the same as that of entry 1"},
		{
			"every fault at once", "a=,b=" + mainKey + ",b=" + mainKey + "x," + otherKey,
			"entry 4 is not of the form name=secret\nentry 1: the secret a is empty\nentry 3: the name b is given twice",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ingress.ParseSecrets(c.list)
			if err == nil || err.Error() != c.want {
				t.Fatalf("ParseSecrets = %v, want %s", err, c.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("ParseSecrets shows a secret: %v", err)
			}
		})
	}
	if _, err := ingress.NewVerifier(nil, at(noon)); err == nil {
		t.Error("NewVerifier(nil) = nil error, want a refusal")
	}
}

func TestSecretsAreReadInOrderAndMayHoldAnEqualsSign(t *testing.T) {
	got, err := ingress.ParseSecrets("main=whsec_a=b=,old-2=" + otherKey)
	if err != nil || len(got) != 2 {
		t.Fatalf("ParseSecrets = %v, %v, want two secrets", got, err)
	}
	if got[0].Name != "main" || got[0].Key.Reveal() != "whsec_a=b=" || got[1].Name != "old-2" {
		t.Errorf("ParseSecrets = %v", got)
	}
}

// R56
func TestReplacedSecretsCountFromTheNextCall(t *testing.T) {
	body := []byte("{}")
	v := newVerifier(t, at(noon))
	if err := v.Replace(secrets[1:]); err != nil {
		t.Fatal(err)
	}
	if got := v.Verify(sign(noon, body, mainKey), body); got.Refusal != ingress.NoMatchingSignature {
		t.Errorf("Verify with the removed secret = %+v, want %s", got, ingress.NoMatchingSignature)
	}
	if err := v.Replace(nil); err == nil {
		t.Error("Replace(nil) = nil, want an error")
	}
	if got := v.Verify(sign(noon, body, otherKey), body); got.Refusal != "" {
		t.Errorf("Verify with the kept secret after a refused Replace = %+v, want it accepted", got)
	}
}

func TestVerifyDoesNotAllocate(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 3463)
	v, header := newVerifier(t, at(noon)), sign(noon, body, otherKey)
	verify := func() {
		if v.Verify(header, body).Refusal != "" {
			t.Error("Verify refused a good signature")
		}
	}
	least := math.Inf(1)
	for range 100 { // the race detector empties pools at random
		least = min(least, testing.AllocsPerRun(1, verify))
	}
	if least > 0 {
		t.Errorf("Verify allocates %v times at best, want 0", least)
	}
}

// The sizes of performance.md §3: one event of 3,463 bytes, one secret.
func BenchmarkVerify(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 3463)
	b.Run("ours", func(b *testing.B) {
		v := newVerifier(b, time.Now)
		if err := v.Replace(secrets[:1]); err != nil {
			b.Fatal(err)
		}
		header := sign(time.Now(), body, mainKey)
		b.ReportAllocs()
		for b.Loop() {
			if v.Verify(header, body).Refusal != "" {
				b.Fatal("refused")
			}
		}
	})
	b.Run("stripe-go", func(b *testing.B) {
		header := sign(time.Now(), body, mainKey)
		b.ReportAllocs()
		for b.Loop() {
			if err := webhook.ValidatePayload(body, header, mainKey); err != nil {
				b.Fatal(err)
			}
		}
	})
}
