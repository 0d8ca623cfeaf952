package replay

import (
	"time"

	"quittance.internal/libs/operations/rebuild"
)

// tellEvery is how often progress is told.
const tellEvery = time.Second

// meter tells the progress of one step.
type meter struct {
	step        string
	of, done    int
	first       int // where this step began
	began, told time.Time
	s           System
}

func (s System) meter(step string, of int) *meter {
	now := s.Now()
	return &meter{step: step, of: of, began: now, told: now, s: s}
}

// add counts n more, and tells at the end and now and then.
func (m *meter) add(n int) {
	m.done += n
	if m.s.Progress == nil {
		return
	}
	if m.done < m.of && m.done%64 != 0 && n == 1 {
		return // asking for the time costs more than a fold
	}
	now := m.s.Now()
	if now.Sub(m.told) < tellEvery && (m.done < m.of || m.told.Equal(m.began)) {
		return // what took less than that is not told at all
	}
	m.told = now
	p := rebuild.Progress{Step: m.step, Done: uint64(m.done), Of: uint64(m.of)} //nolint:gosec // counts
	if took := now.Sub(m.began).Seconds(); took > 0 {
		p.PerSecond = float64(m.done-m.first) / took
	}
	if p.PerSecond > 0 {
		p.Left = time.Duration(float64(m.of-m.done) / p.PerSecond * float64(time.Second))
	}
	m.s.Progress(p)
}
