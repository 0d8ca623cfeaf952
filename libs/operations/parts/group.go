package parts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/scratch"
)

// labelsAtOnce is of how many messages the labels are in memory.
const labelsAtOnce = 1 << 18

// group gives the messages of every group the same label: the least hash among the names of all of them. Each message begins
// with the least of its own, or with what was found before; then labels go from message to message over the names that they
// share until none changes. A label is itself a name that stands in its group, so a message also looks under its label, where
// whoever found a lesser one has left word. That shortens long ways: the number of rounds grows with the logarithm of the
// longest, not with its length.
func (p *Parts) group(ctx context.Context) (err error) {
	if p.linked == p.messages {
		return nil
	}
	p.cfg.Progress("link", 0, p.messages)
	if err := p.begin(ctx); err != nil {
		return err
	}
	var word *scratch.File
	defer func() { word.Close() }()
	for {
		changed, next, err := p.round(ctx, word)
		word.Close()
		if word = next; err != nil {
			return err
		}
		p.cfg.Progress("link", p.messages-changed, p.messages)
		if changed == 0 {
			p.linked = p.messages
			return nil
		}
	}
}

// begin labels the messages that have none.
func (p *Parts) begin(ctx context.Context) error {
	known := uint64(p.labels.Size()) / 8 //nolint:gosec // a size
	return p.walk(ctx, func(message uint64, ties []uint64) error {
		if message < known {
			return nil
		}
		least := ties[0]
		for _, tie := range ties {
			least = min(least, tie)
		}
		var row [8]byte
		binary.LittleEndian.PutUint64(row[:], least)
		_, err := p.labels.Write(row[:])
		return err
	})
}

// walk tells f of every message and its names.
func (p *Parts) walk(ctx context.Context, f func(message uint64, ties []uint64) error) error {
	r, err := p.ties.Reader()
	if err != nil {
		return err
	}
	var ties []uint64
	for message := range p.messages {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		ties = ties[:0]
		for range n {
			tie, err := readUint64(r)
			if err != nil {
				return err
			}
			ties = append(ties, tie)
		}
		if err := f(message, ties); err != nil {
			return err
		}
		if message%lookEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// each is walk with the labels.
func (p *Parts) each(ctx context.Context, f func(message, label uint64, ties []uint64) error) error {
	labels, err := p.labels.Reader()
	if err != nil {
		return err
	}
	return p.walk(ctx, func(message uint64, ties []uint64) error {
		label, err := readUint64(labels)
		if err != nil {
			return err
		}
		return f(message, label, ties)
	})
}

// nobody stands for the message in a row that only leaves word of a label.
const nobody = math.MaxUint64

// round gives every message the least label among those of the messages with which it shares a name. It returns how many
// labels changed, and the word to be left under the ones that did.
func (p *Parts) round(ctx context.Context, word *scratch.File) (changed uint64, next *scratch.File, err error) {
	byName, err := p.byName(ctx, word)
	if err != nil {
		return 0, nil, err
	}
	defer byName.Close()
	byMessage, err := p.cfg.Dir.CreateAll(int(p.messages/labelsAtOnce)+1, buffer) //nolint:gosec // far below 2^31
	if err != nil {
		return 0, nil, err
	}
	defer byMessage.Close()
	if next, err = p.cfg.Dir.Create(buffer); err != nil {
		return 0, nil, err
	}
	for _, f := range byName {
		if err := leastOf(ctx, f, byMessage, next); err != nil {
			return 0, next, err
		}
		f.Close()
	}
	for i, f := range byMessage {
		n, err := p.relabel(uint64(i)*labelsAtOnce, f)
		if err != nil {
			return 0, next, err
		}
		changed += n
	}
	return changed, next, nil
}

// byName writes every label under each name of its message and under itself, and the word that was left.
func (p *Parts) byName(ctx context.Context, word *scratch.File) (scratch.Files, error) {
	byName, err := p.cfg.Dir.CreateAll(files(p.names+p.messages, p.cfg.TieRows), buffer)
	if err != nil {
		return nil, err
	}
	write := func(tie, message, label uint64) error {
		return writeUint64s(byName[tie%uint64(len(byName))], tie, message, label)
	}
	err = p.each(ctx, func(message, label uint64, ties []uint64) error {
		for _, tie := range ties {
			if err := write(tie, message, label); err != nil {
				return err
			}
		}
		return write(label, message, label)
	})
	if err == nil && word != nil {
		err = rows(ctx, word, write)
	}
	if err != nil {
		byName.Close()
		return nil, err
	}
	return byName, nil
}

// files is how many files hold so many rows.
func files(rows uint64, each int) int {
	return int(min(rows/uint64(each)+1, maxFiles)) //nolint:gosec // at most maxFiles
}

// leastOf finds the least label under each name of a file, tells it to every message there that has a greater one, and leaves
// word under that greater one.
func leastOf(ctx context.Context, f *scratch.File, byMessage scratch.Files, word *scratch.File) error {
	least := map[uint64]uint64{}
	err := rows(ctx, f, func(tie, _, label uint64) error {
		if known, ok := least[tie]; !ok || label < known {
			least[tie] = label
		}
		return nil
	})
	if err != nil {
		return err
	}
	return rows(ctx, f, func(tie, message, label uint64) error {
		to := least[tie]
		if to == label {
			return nil
		}
		if message != nobody {
			if err := writeUint64s(byMessage[message/labelsAtOnce], message, to); err != nil {
				return err
			}
		}
		return writeUint64s(word, label, nobody, to)
	})
}

// rows reads what was written three at a time.
func rows(ctx context.Context, f *scratch.File, each func(tie, message, label uint64) error) error {
	r, err := f.Reader()
	if err != nil {
		return err
	}
	for n := int64(0); n < f.Size(); n += 24 {
		tie, err1 := readUint64(r)
		message, err2 := readUint64(r)
		label, err3 := readUint64(r)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if err := each(tie, message, label); err != nil {
			return err
		}
		if n%(24*lookEvery) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// relabel takes the least of the labels told for the messages from first on.
func (p *Parts) relabel(first uint64, told *scratch.File) (changed uint64, err error) {
	if told.Size() == 0 {
		return 0, nil
	}
	r, err := told.Reader()
	if err != nil {
		return 0, err
	}
	labels := make([]byte, 8*min(p.messages-first, labelsAtOnce))
	if err := p.labels.ReadAt(labels, int64(8*first)); err != nil { //nolint:gosec // an offset
		return 0, err
	}
	before := slices.Clone(labels)
	for n := int64(0); n < told.Size(); n += 16 {
		message, err1 := readUint64(r)
		label, err2 := readUint64(r)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		at := labels[8*(message-first):]
		if label < binary.LittleEndian.Uint64(at) {
			binary.LittleEndian.PutUint64(at, label)
		}
	}
	for at := 0; at < len(labels); at += 8 {
		if !bytes.Equal(labels[at:at+8], before[at:at+8]) {
			changed++
		}
	}
	return changed, p.labels.WriteAt(labels, int64(8*first)) //nolint:gosec // an offset
}

// labelsOf are the groups of quotes; nil for nil.
func (p *Parts) labelsOf(ctx context.Context, quotes []string) (map[uint64]struct{}, error) {
	if quotes == nil {
		return nil, nil
	}
	names := make(map[uint64]struct{}, len(quotes))
	for _, id := range quotes {
		names[p.hash(projection.QuoteTie(id))] = struct{}{}
	}
	labels := map[uint64]struct{}{}
	err := p.each(ctx, func(_, label uint64, ties []uint64) error {
		for _, tie := range ties {
			if _, ok := names[tie]; ok {
				labels[label] = struct{}{}
			}
		}
		return nil
	})
	return labels, err
}

func writeUint64s(f *scratch.File, all ...uint64) error {
	var row [24]byte
	b := row[:0]
	for _, n := range all {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	_, err := f.Write(b)
	return err
}

func readUint64(r *bufio.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("read a temporary file: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
