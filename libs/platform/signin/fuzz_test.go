package signin_test

import (
	"strings"
	"testing"

	"quittance.internal/libs/platform/signin"
)

// Whatever the file holds, its faults are told without a token, and what is taken opens for its own token alone.
func FuzzParseTokensTellsNoToken(f *testing.F) {
	for _, text := range []string{
		"ada:operator:0123456789abcdef", "ada:seller@main:secret, bob:viewer:other", "ada:operator:a,ada:viewer:b", "a:b", "a:king:secret-0123456789", "a:seller@acct_1:secret-0123456789",
		",,", "a:admin: ", "a:seller:secret-0123456789,b:viewer:secret-0123456789", ":admin:secret-0123456789",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := signin.ParseTokens(text)
		if err == nil && len(list) == 0 {
			t.Fatalf("ParseTokens(%q) is nothing and no error", text)
		}
		door := signin.NewTokens(list)
		for entry := range strings.SplitSeq(text, ",") {
			parts := strings.SplitN(strings.TrimSpace(entry), ":", 3)
			if len(parts) < 3 {
				continue
			}
			name, token := parts[0], parts[2]
			if err != nil && len(token) >= 16 && strings.Count(text, token) == 1 && strings.Contains(err.Error(), token) {
				t.Errorf("ParseTokens(%q) tells a token: %v", text, err)
			}
			if got, ok := door.Find(token); err == nil && (!ok || got.Name != name) {
				t.Errorf("Find(%q) = %q, %v, want %q", token, got.Name, ok, name)
			}
			if _, ok := door.Find(token + "x"); ok && !strings.Contains(text, token+"x") {
				t.Errorf("%qx opens a door", token)
			}
		}
	})
}
