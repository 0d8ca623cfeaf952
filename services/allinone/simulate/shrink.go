package main

import "slices"

// found is a schedule that breaks an invariant.
type found struct {
	seed           uint64
	invariant, why string
	tape           []byte
	trace          []string
}

// explain makes the schedule of a seed as plain as it can be while it still breaks the same invariant, and returns it with
// its trace.
func (w *world) explain(all []*life, seed uint64) found {
	w.tape.begin(seed)
	w.run(all)
	f := found{seed: seed, invariant: w.broken, why: w.why, tape: slices.Clone(w.tape.taken)}
	f.tape = shrink(f.tape, func(decisions []byte) bool {
		w.tape.replay(decisions)
		w.run(all)
		return w.broken == f.invariant
	})
	w.tracing = true
	w.tape.replay(f.tape)
	w.run(all)
	w.tracing = false
	f.why, f.trace = w.why, slices.Clone(w.trace)
	return f
}

// shrink turns decisions into plain ones, and leaves some out, as long as the schedule still fails: first many at a time,
// then one by one, until nothing more can go.
func shrink(decisions []byte, fails func([]byte) bool) []byte {
	try := func(with []byte) bool {
		if slices.Equal(with, decisions) || !fails(with) {
			return false
		}
		decisions = with
		return true
	}
	for again := true; again; {
		again = false
		for size := max(len(decisions)/2, 1); size > 0; size /= 2 {
			for at := 0; at < len(decisions); {
				end := min(at+size, len(decisions))
				if try(slices.Delete(slices.Clone(decisions), at, end)) {
					again = true
					continue // what followed has moved here
				}
				zeros := slices.Clone(decisions)
				clear(zeros[at:end])
				again = try(zeros) || again
				at = end
			}
		}
	}
	return decisions
}
