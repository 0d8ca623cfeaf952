package scrape_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/operations/scrape"
)

func TestTheTextFormatIsRead(t *testing.T) {
	got, err := scrape.Parse(strings.NewReader("# HELP a what it is\n# TYPE a counter\na 1\n\nb{x=\"1\", y=\"a\\\"}{b\\n\"} 2.5e3\nb{x=\"2\",} +Inf 1795597923000\nc{} 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := scrape.Samples{
		{Name: "a", Labels: map[string]string{}, Value: 1},
		{Name: "b", Labels: map[string]string{"x": "1", "y": "a\"}{b\n"}, Value: 2500},
		{Name: "c", Labels: map[string]string{}},
	}
	infinite := got[2]
	if rest := slices.Concat(got[:2], got[3:]); !reflect.DeepEqual(rest, want) || infinite.Value <= 1e300 || infinite.Labels["x"] != "2" {
		t.Errorf("Parse = %v and %v, want %v", rest, infinite, want)
	}
	for _, bad := range []string{"a", "a b", "{x=\"1\"} 1", "a{x=1} 1", "a{x=\"1\" 1", "a{x} 1", " ="} {
		if got, err := scrape.Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", bad, got)
		}
	}
}

// Whatever answers at an address that is taken for a service's, it is an error or figures with names.
func FuzzParse(f *testing.F) {
	f.Add("a{b=\"c\",d=\"\\n\"} 1 2\n# x\n")
	f.Add("<html>")
	f.Add("a{=\"\"}1")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := scrape.Parse(strings.NewReader(text))
		for _, s := range got {
			if err != nil || s.Name == "" || strings.ContainsAny(s.Name, "{ \n") {
				t.Errorf("Parse(%q) = %+v, %v", text, s, err)
			}
		}
	})
}
