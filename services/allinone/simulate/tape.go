package main

import "math/rand/v2"

// tape is where a schedule takes its decisions from: bytes that follow from the seed. Zero is always the plain decision: no
// fault, the next thing in its turn. So a schedule with more zeros is a simpler one, and what is beyond the end of a tape
// that is played again is zero.
type tape struct {
	random rand.PCG
	word   uint64
	left   int // bytes in word

	played   []byte // where it is played again
	replayed bool
	at       int // decisions so far
	taken    []byte
}

// begin makes the tape that of a seed.
func (t *tape) begin(seed uint64) {
	t.random.Seed(seed, 0x9e3779b97f4a7c15)
	t.left, t.at, t.replayed, t.played = 0, 0, false, nil
	t.taken = t.taken[:0]
}

// replay plays the decisions again; what is beyond them is zero.
func (t *tape) replay(decisions []byte) {
	t.replayed, t.played, t.at = true, decisions, 0
	t.taken = t.taken[:0]
}

func (t *tape) byte() byte {
	var b byte
	switch {
	case !t.replayed:
		if t.left == 0 {
			t.word, t.left = t.random.Uint64(), 8
		}
		b = byte(t.word & 0xff)
		t.word >>= 8
		t.left--
	case t.at < len(t.played):
		b = t.played[t.at]
	}
	t.at++
	t.taken = append(t.taken, b)
	return b
}

// pick returns a number below n, at most 256.
func (t *tape) pick(n int) int {
	if n <= 1 {
		return 0
	}
	return int(t.byte()) * n >> 8
}

// chance is true in so many of 256 cases.
func (t *tape) chance(of int) bool { return of > 0 && int(t.byte()) >= 256-of }
