package scratch_test

import (
	"io"
	"strings"
	"testing"

	"quittance.internal/libs/operations/scratch"
)

func TestWhatWasWrittenIsRead(t *testing.T) {
	f, err := scratch.Dir{Path: t.TempDir()}.Create(16)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := strings.Repeat("0123456789", 10)
	if _, err := io.WriteString(f, text); err != nil || f.Size() != 100 {
		t.Fatalf("Write = %v, Size = %d", err, f.Size())
	}
	if err := f.WriteAt([]byte("ab"), 50); err != nil {
		t.Fatal(err)
	}
	r, err := f.Section(45, 55)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "56789ab234" {
		t.Errorf("Section = %q, %v", got, err)
	}
	b := make([]byte, 3)
	if err := f.ReadAt(b, 49); err != nil || string(b) != "9ab" {
		t.Errorf("ReadAt = %q, %v", b, err)
	}
}
