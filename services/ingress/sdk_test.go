package ingress_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quittance.internal/services/ingress"
)

type toSign struct {
	Payload   string `json:"payload"`
	Secret    string `json:"secret"`
	Timestamp int64  `json:"timestamp"`
}

type toCheck struct {
	Payload string `json:"payload"`
	Header  string `json:"header"`
	Secret  string `json:"secret"`
	Now     int64  `json:"now"`
}

// stripeNode runs testdata/stripe-node/sign.mjs: Stripe's official library for Node.
func stripeNode(t *testing.T, sign []toSign, check []toCheck) (headers []string, accepted []bool) {
	t.Helper()
	dir := filepath.Join("testdata", "stripe-node")
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("this test needs Node 20 or later, and npm (on Debian: apt-get install nodejs npm): %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "stripe")); err != nil {
		t.Fatalf("Stripe's library for Node is not installed; run at the root: npm ci --prefix services/ingress/%s", filepath.ToSlash(dir))
	}
	input, err := json.Marshal(map[string]any{"sign": append([]toSign{}, sign...), "check": append([]toCheck{}, check...)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "sign.mjs")
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("node sign.mjs: %v\n%s", err, &stderr)
	}
	var answer struct {
		Headers  []string `json:"headers"`
		Accepted []bool   `json:"accepted"`
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatalf("node sign.mjs answered %q: %v", output, err)
	}
	if len(answer.Headers) != len(sign) || len(answer.Accepted) != len(check) {
		t.Fatalf("node sign.mjs answered %d headers and %d verdicts, want %d and %d",
			len(answer.Headers), len(answer.Accepted), len(sign), len(check))
	}
	return answer.Headers, answer.Accepted
}

// R54
func TestEventsSignedByStripesOwnLibraryAreStored(t *testing.T) {
	r := start(t)
	var sign []toSign
	for n, body := range []string{
		string(eventBody("evt_0", "charge.succeeded")),
		strings.ReplaceAll(string(eventBody("evt_1", "charge.succeeded")), ",", ",\n  "), // as Stripe formats it
		strings.Replace(string(eventBody("evt_2", "charge.succeeded")), "cs_1", "Zażółć gęślą jaźń ✓ 𝄞", 1),
		strings.Replace(string(eventBody("evt_3", "charge.succeeded")), "cs_1", `\u005a \"x\" \\ \ud834\udd1e`, 1),
	} {
		sign = append(sign, toSign{Payload: body, Secret: secrets[n%2].Key.Reveal(), Timestamp: time.Now().Unix()})
	}
	sign = append(sign, toSign{Payload: sign[0].Payload, Secret: "whsec_unknown", Timestamp: time.Now().Unix()})
	headers, _ := stripeNode(t, sign, nil)
	for n, s := range sign {
		req := r.request([]byte(s.Payload))
		req.Header.Set("Stripe-Signature", headers[n])
		got := r.do(req)
		if s.Secret == "whsec_unknown" {
			if got.status != http.StatusBadRequest || got.code != string(ingress.NoMatchingSignature) {
				t.Errorf("signed with an unknown secret: %+v, want 400 %s", got, ingress.NoMatchingSignature)
			}
			continue
		}
		if got.status != http.StatusOK || got.code != string(ingress.Stored) {
			t.Errorf("POST %s with %s = %+v, want 200 stored", s.Payload, headers[n], got)
		}
		r.wantStored(fmt.Sprintf("stripe.test.platform.evt_%d.charge.succeeded", n), []byte(s.Payload))
	}
}

// R56: Stripe's second library. It reads headers more loosely than ours, bounds the past alone and floors it to seconds, and
// takes no capitals; so the claim is one-sided.
func TestWhatTheVerifierAcceptsStripesNodeLibraryAcceptsToo(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	var check []toCheck
	var ours []bool
	v := newVerifier(t, at(noon))
	for _, template := range headerTemplates {
		for _, seconds := range []int64{0, -300, -301, 300, 301, -86400} {
			header := fill(template, time.Unix(noon.Unix()+seconds, 0), body, mainKey)
			check = append(check, toCheck{Payload: string(body), Header: header, Secret: mainKey, Now: noon.Unix()})
			ours = append(ours, v.Verify(header, body).Refusal == "")
		}
	}
	_, theirs := stripeNode(t, nil, check)
	both := 0
	for n, c := range check {
		capitals := strings.ContainsAny(c.Header, "ABCDEF")
		if ours[n] && !theirs[n] && !capitals {
			t.Errorf("we accept %q and Stripe's library for Node does not", c.Header)
		}
		if ours[n] && theirs[n] {
			both++
		}
	}
	if both < 20 {
		t.Errorf("both accept %d headers of %d, want at least 20: the comparison is empty", both, len(check))
	}
}
