package natsstream_test

import (
	"errors"
	"testing"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

func TestAKeyOfSystemIsWrittenOnlyOverWhatWasRead(t *testing.T) {
	log := natstest.Start(t).Log("test")
	if _, _, err := log.System(t.Context(), "a.key"); !errors.Is(err, natsstream.ErrNotFound) {
		t.Fatalf("System = %v", err)
	}
	first, err := log.SetSystem(t.Context(), "a.key", []byte("1"), 0)
	if err != nil || first == 0 {
		t.Fatalf("SetSystem = %d, %v", first, err)
	}
	if _, err := log.SetSystem(t.Context(), "a.key", []byte("2"), 0); !errors.Is(err, natsstream.ErrConflict) {
		t.Errorf("SetSystem over what is there = %v", err)
	}
	if _, err := log.SetSystem(t.Context(), "other", []byte("x"), 0); err != nil {
		t.Error(err)
	}
	second, err := log.SetSystem(t.Context(), "a.key", []byte("3"), first)
	if err != nil {
		t.Fatal(err)
	}
	if data, revision, err := log.System(t.Context(), "a.key"); string(data) != "3" || revision != second || err != nil {
		t.Errorf("System = %s %d, %v, want 3 %d", data, revision, err, second)
	}
}
