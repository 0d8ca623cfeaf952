package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

func envelopeSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	e, err := event.New(event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: "q_1", N: "1"}, event.SourcePayments, time.Unix(1_700_000_000, 5), event.Paid{Seller: "main", QuoteID: "q_1"})
	if err != nil {
		tb.Fatal(err)
	}
	e.TraceParent = "00-1-2-01"
	whole := e.Encode()
	seeds := [][]byte{whole, append([]byte(" \n"), append(whole, ' ')...), append(whole, '{')}
	for _, s := range []string{
		`{}`, `null`, `[]`, ``, `{"id":null}`, `{"ID":"x"}`, `{"id":"a","id":"b"}`, `{"id":1}`, `{"data":null}`, `{"data":{"a":1},"data":[]}`,
		`{"time":null}`, `{"time":"2023-11-14T22:13:20.5+02:00"}`, `{"time":"yesterday"}`, `{"id":"\u00e9\ud800\n"}`, `{"other":1,"id":"x"}`,
	} {
		seeds = append(seeds, []byte(s))
	}
	return append(seeds, []byte("{\"id\":\"\xff\"}"))
}

// FuzzAnEnvelopeIsReadAsEncodingJSONReadsIt holds the fast way to read an envelope against the general one.
func FuzzAnEnvelopeIsReadAsEncodingJSONReadsIt(f *testing.F) {
	for _, s := range envelopeSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fast, usual := event.Scan(b)
		if !usual {
			return
		}
		var want event.Envelope
		if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(fast, want) {
			t.Errorf("scan(%q) = %+v, want %+v, %v", b, fast, want, err)
		}
	})
}

func TestAnEnvelopeOfOursIsReadFast(t *testing.T) {
	if _, usual := event.Scan(envelopeSeeds(t)[0]); !usual {
		t.Error("what Encode writes is read by encoding/json")
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	whole := envelopeSeeds(b)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(whole); err != nil {
			b.Fatal(err)
		}
	}
}
