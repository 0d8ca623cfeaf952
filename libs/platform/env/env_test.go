package env_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/platform/env"
)

func from(m map[string]string) env.Lookup {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestEveryFaultIsReportedTogether(t *testing.T) {
	r := env.NewReader(from(map[string]string{
		"D": "soon", "N": "11", "A": "8080", "E": "purple", "B": "maybe", "S": "x", "S_FILE": "y", "F_FILE": "/does/not/exist",
	}))
	r.Duration("D", time.Second)
	r.Int("N", 1, 0, 10)
	r.Addr("A", "127.0.0.1:1")
	r.Enum("E", "red", "red", "green")
	r.Bool("B", false)
	r.Secret("S")
	r.Secret("F")
	r.Required("MISSING")
	err := r.Err()
	if err == nil {
		t.Fatal("Err() = nil, want eight faults")
	}
	for _, name := range []string{"D:", "N:", "A:", "E:", "B:", "S:", "F_FILE:", "MISSING:"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("Err() = %q does not name %s", err, name)
		}
	}
}

func TestDefaultsHoldWhereNothingIsSet(t *testing.T) {
	r := env.NewReader(from(map[string]string{"EMPTY": "  "}))
	if got := r.String("EMPTY", "x"); got != "x" {
		t.Errorf("String(EMPTY) = %q, want x", got)
	}
	if got := r.Duration("D", time.Minute); got != time.Minute {
		t.Errorf("Duration = %v, want 1m", got)
	}
	if got := r.Addr("A", ":8080"); got != ":8080" {
		t.Errorf("Addr = %q, want :8080", got)
	}
	if !r.Secret("S").IsZero() || r.Err() != nil {
		t.Errorf("unset secret = %v, Err() = %v, want empty and nil", r.Secret("S"), r.Err())
	}
}

func TestSecretNeverPrintsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("whsec_canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := env.NewReader(from(map[string]string{"S_FILE": path})).Secret("S")
	if s.Reveal() != "whsec_canary" {
		t.Fatalf("Reveal() = %q, want whsec_canary", s.Reveal())
	}
	j, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %s", s, s, s, s, s, j)
	if strings.Contains(printed, "canary") {
		t.Errorf("a secret printed itself: %s", printed)
	}
}

// Compose gives quotes the sandbox's address this way: one file more, and no other compose file.
func TestASettingMayComeFromAFile(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"base": " http://sandbox:8083\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := env.NewReader(from(map[string]string{
		"BASE_FILE": filepath.Join(dir, "base"), "EMPTY_FILE": filepath.Join(dir, "empty"), "INLINE": "x", "INLINE_FILE": "",
	}))
	for name, want := range map[string]string{"BASE": "http://sandbox:8083", "EMPTY": "fallback", "INLINE": "x"} {
		if got := r.String(name, "fallback"); got != want {
			t.Errorf("String(%s) = %q, want %q", name, got, want)
		}
	}
	if err := r.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
	r = env.NewReader(from(map[string]string{"BOTH": "x", "BOTH_FILE": filepath.Join(dir, "base"), "GONE_FILE": filepath.Join(dir, "gone")}))
	r.String("BOTH", "")
	r.String("GONE", "")
	for _, want := range []string{"BOTH: is set twice", "GONE_FILE:"} {
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Err() = %v, want %q in it", err, want)
		}
	}
}
