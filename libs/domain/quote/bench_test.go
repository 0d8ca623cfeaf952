package quote_test

import (
	"testing"

	"quittance.internal/libs/domain/quote"
)

// paidByCard is what the worker holds of a quote paid by card, and the fragments
// it came from.
func paidByCard(b *testing.B) (whole quote.Facts, fragments []quote.Facts) {
	b.Helper()
	s := newScript()
	bodies := append(s.bought(), s.charge("charge.succeeded", "ch_1", "pi_1", nil), s.charge("charge.updated", "ch_1", "pi_1", nil))
	fragments = []quote.Facts{quote.RevisionFacts(revision(1))}
	for _, m := range events(b, bodies...) {
		fragments = append(fragments, m.change.Facts)
	}
	return fold(fragments...), fragments
}

// One event of a paid quote: Merge, and Derive whether or not it was news.
func BenchmarkMergeAndDerive(b *testing.B) {
	whole, fragments := paidByCard(b)
	b.Run("everything new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var f quote.Facts
			for _, g := range fragments {
				f.Merge(g)
			}
			if quote.Derive(quote.PlatformAccount, f).Status != quote.StatusPaid {
				b.Fatal("not paid")
			}
		}
	})
	b.Run("nothing new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f := whole.Clone()
			f.Merge(fragments[3])
			if quote.Derive(quote.PlatformAccount, f).Status != quote.StatusPaid {
				b.Fatal("not paid")
			}
		}
	})
	b.Run("derive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			quote.Derive(quote.PlatformAccount, whole)
		}
	})
}

func BenchmarkEncodeAndDigest(b *testing.B) {
	whole, _ := paidByCard(b)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = whole.AppendJSON(out[:0])
		if quote.DigestOf(out) == "" {
			b.Fatal("no digest")
		}
	}
	b.SetBytes(int64(len(out)))
}

func BenchmarkDecodeFacts(b *testing.B) {
	whole, _ := paidByCard(b)
	encoded := whole.Encode()
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := quote.DecodeFacts(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
