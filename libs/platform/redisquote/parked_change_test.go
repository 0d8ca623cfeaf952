package redisquote_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/redisquote"
)

// parkedChange is what a charge without our metadata leaves under the objects that it names.
func parkedChange() redisquote.ParkedChange {
	facts := quote.Facts{Charges: []quote.ChargeFact{{ID: "ch_1", Intents: quote.Set{"pi_1"}, Refunded: []quote.Returned{{Payment: "pi_1"}}}}}
	return redisquote.NewParkedChange(projection.StripeEvent{Change: stripeevent.Change{
		EventID: "evt_1", Type: "charge.succeeded", Object: "ch_1", Facts: facts, Names: []string{"ch_1", "pi_1"},
	}}, 17, time.Date(2026, 11, 25, 13, 0, 0, 120, time.UTC))
}

func TestAParkedChangeIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	change := func(edit func(*redisquote.ParkedChange)) redisquote.ParkedChange {
		p := parkedChange()
		edit(&p)
		return p
	}
	for name, c := range map[string]struct {
		p     redisquote.ParkedChange
		plain bool
	}{
		"plain":            {parkedChange(), true},
		"one name":         {change(func(p *redisquote.ParkedChange) { p.Names = []string{"ch_1"} }), true},
		"empty names":      {change(func(p *redisquote.ParkedChange) { p.Names = []string{} }), true},
		"no names":         {change(func(p *redisquote.ParkedChange) { p.Names = nil }), false},
		"no facts":         {change(func(p *redisquote.ParkedChange) { p.Facts = nil }), false},
		"an escape":        {change(func(p *redisquote.ParkedChange) { p.Type = `a"<b` }), false},
		"an escape inside": {change(func(p *redisquote.ParkedChange) { p.Names = []string{"é"} }), false},
		"greatest place":   {change(func(p *redisquote.ParkedChange) { p.Sequence = 1<<64 - 1 }), true},
		"local time":       {change(func(p *redisquote.ParkedChange) { p.At = p.At.In(time.FixedZone("", 3600)) }), true},
	} {
		want, err := json.Marshal(c.p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.p.Encode()
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: Encode = %s, %v, want %s", name, got, err, want)
		}
		fast, plain := c.p.AppendJSON(nil)
		if plain != c.plain || plain && string(fast) != string(want) {
			t.Errorf("%s: AppendJSON = %s, %t, want %s, %t", name, fast, plain, want, c.plain)
		}
		wantReadAsEncodingJSON(t, string(want))
	}
}

// wantReadAsEncodingJSON compares both readers.
func wantReadAsEncodingJSON(t *testing.T, value string) {
	t.Helper()
	var want redisquote.ParkedChange
	wantErr := json.Unmarshal([]byte(value), &want)
	got, err := redisquote.DecodeParkedChange(value)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("DecodeParkedChange(%q) = %v, encoding/json says %v", value, err, wantErr)
	}
	if err == nil && (!reflect.DeepEqual(got.Names, want.Names) || string(got.Facts) != string(want.Facts) || !got.At.Equal(want.At) ||
		got.Sequence != want.Sequence || got.EventID != want.EventID || got.Type != want.Type || got.Object != want.Object) {
		t.Fatalf("DecodeParkedChange(%q) = %+v, want %+v", value, got, want)
	}
}

func FuzzAParkedChangeIsReadAsEncodingJSONReadsIt(f *testing.F) {
	usual, err := parkedChange().Encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(usual), `{}`, ` {"seq":-0}`, `{"seq":18446744073709551615}`, `{"seq":1e0}`, `{"SEQ":3}`, `{"s\u0065q":3}`, `{"seq":null}`,
		`{"names":null}`, `{"names":["a","b"],"names":["c"]}`, `{"names":[1]}`, `{"names":[]}`, `{"facts":{"a": [1, 2]}}`, `{"facts":null}`,
		`{"at":null}`, `{"at":"x"}`, `{"at":"2026-11-25T13:00:00.5+01:00"}`, `{"type":"\ud800\u00e9` + "\xff" + `"}`, `{"more":1,"object":"x"}`, `{"seq":1}x`, `[]`, `null`, ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(wantReadAsEncodingJSON)
}
