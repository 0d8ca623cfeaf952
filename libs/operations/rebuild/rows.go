package rebuild

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/scratch"
)

// row is what is noted of a quote: that the log knows it, or that Redis has it, and the hashes of what they show, as far as
// they were compared. Empty means nothing.
type row struct {
	key        projection.Key
	known      bool
	log, redis string
}

// rows are noted in sorted runs, so that they can be read in the order of their keys without being in memory together.
type rows struct {
	file *scratch.File
	runs [][2]int64 // where each begins and ends
}

// add notes a run. It sorts it.
func (r *rows) add(run []row) error {
	if len(run) == 0 {
		return nil
	}
	slices.SortFunc(run, func(a, b row) int { return a.key.Compare(b.key) })
	from := r.file.Size()
	var b []byte
	for _, one := range run {
		b = append(b[:0], 0)
		if one.known {
			b[0] = 1
		}
		for _, text := range []string{one.key.Account, one.key.Quote, one.log, one.redis} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		if _, err := r.file.Write(b); err != nil {
			return err
		}
	}
	r.runs = append(r.runs, [2]int64{from, r.file.Size()})
	return nil
}

// each tells f of all rows of a quote together, quote by quote in the order of the keys.
func (r *rows) each(f func([]row) error) error {
	var sources heads
	for _, run := range r.runs {
		in, err := r.file.Section(run[0], run[1])
		if err != nil {
			return err
		}
		h := &head{in: in}
		if err := h.read(); err != nil {
			return err
		}
		sources = append(sources, h)
	}
	heap.Init(&sources)
	var same []row
	for len(sources) > 0 {
		h := sources[0]
		if len(same) > 0 && same[0].key != h.row.key {
			if err := f(same); err != nil {
				return err
			}
			same = same[:0]
		}
		same = append(same, h.row)
		switch err := h.read(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&sources)
		case err != nil:
			return err
		default:
			heap.Fix(&sources, 0)
		}
	}
	if len(same) == 0 {
		return nil
	}
	return f(same)
}

// head is the next row of a run.
type head struct {
	row row
	in  *bufio.Reader
}

// read reads the next row; io.EOF where the run has ended.
func (h *head) read() error {
	known, err := h.in.ReadByte()
	if err != nil {
		return err
	}
	h.row = row{known: known == 1}
	for _, text := range []*string{&h.row.key.Account, &h.row.key.Quote, &h.row.log, &h.row.redis} {
		n, err := binary.ReadUvarint(h.in)
		if err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(h.in, b); err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		*text = string(b)
	}
	return nil
}

// heads is a heap of runs by their next key.
type heads []*head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].row.key.Compare(h[j].row.key) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *heads) Push(x any) {
	if one, ok := x.(*head); ok {
		*h = append(*h, one)
	}
}

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
