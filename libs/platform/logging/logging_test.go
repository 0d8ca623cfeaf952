package logging_test

import (
	"bytes"
	"strings"
	"testing"

	"quittance.internal/libs/platform/logging"
)

func TestMaskHidesTheLocalPart(t *testing.T) {
	for in, want := range map[string]string{
		"maria@example.com": "m***@example.com", "ż@example.com": "ż***@example.com", "": "***", "nobody": "***",
		"@example.com": "***", "a@": "***", "a@b c": "***", "a@b@c": "***",
	} {
		if got := logging.Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLevelIsHonoured(t *testing.T) {
	var out bytes.Buffer
	log, err := logging.New(&out, "warn", "x")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"service":"x"`) {
		t.Errorf("log = %s, want only the warning, with its service", got)
	}
	if _, err := logging.New(&out, "shout", "x"); err == nil {
		t.Error("New(shout) = nil error, want one")
	}
}
