package parts

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/scratch"
)

const (
	// partBytes is how much of the kept messages makes a part, by default; folded it takes about twice as much memory.
	partBytes = 16 << 20
	// maxFiles is how many files of one kind are open at once.
	maxFiles = 256
	buffer   = 32 << 10
	// renewalsFor is how long before the newest message renewals are remembered; payments does as long (PARKED_FOR).
	renewalsFor = 72 * time.Hour
	// lookEvery is after how many messages it is asked whether to go on.
	lookEvery = 4096
)

// Config says how to fold, and where.
type Config struct {
	Rules projection.Rules
	Dir   scratch.Dir
	// PartBytes and TieRows bound what is in memory at a time: bytes of kept messages, and names by which messages are tied.
	// 0 means 16 MiB and a quarter of a million. They change no result.
	PartBytes int64
	TieRows   int
	// Progress is told how far a step, "link" or "compare", has come, and may be nil.
	Progress func(step string, done, of uint64)
}

// Parts is a log to be folded. Close it. It is used by one goroutine.
type Parts struct {
	cfg  Config
	seed maphash.Seed
	// ties are the names of each kept message, as hashes; records what each says; labels which group each is of, as far
	// as that was found.
	ties, records, labels *scratch.File
	messages, names       uint64
	linked                uint64 // of how many messages the labels are final
	// clock is the greatest full hour of STRIPE's messages so far.
	clock time.Time
	row   []byte
}

// New makes the files.
func New(cfg Config) (*Parts, error) {
	if cfg.PartBytes == 0 {
		cfg.PartBytes = partBytes
	}
	if cfg.TieRows == 0 {
		cfg.TieRows = 1 << 18
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, uint64, uint64) {}
	}
	p := &Parts{cfg: cfg, seed: maphash.MakeSeed()}
	for _, f := range []**scratch.File{&p.ties, &p.records, &p.labels} {
		made, err := cfg.Dir.Create(buffer)
		if err != nil {
			p.Close()
			return nil, err
		}
		*f = made
	}
	return p, nil
}

// Close gives the space back.
func (p *Parts) Close() {
	p.ties.Close()
	p.records.Close()
	p.labels.Close()
}

// Add takes a message of QUOTES or STRIPE in. Messages are folded in the order in which they were added. What changes
// nothing is not kept.
func (p *Parts) Add(m projection.Message) error {
	r := record{at: m}
	var ties []string
	if strings.HasPrefix(m.Subject, "quote.") {
		r.quote = projection.ReadQuote(m.Subject, m.Body)
		ties = r.quote.Ties()
	} else {
		if hour := m.Time.Truncate(time.Hour); hour.After(p.clock) {
			p.clock = hour
		}
		r.isStripe, r.stripe = true, p.cfg.Rules.ReadStripe(m.Subject, m.Body)
		ties = r.stripe.Ties()
	}
	if len(ties) == 0 {
		return nil
	}
	r.clock = p.clock
	row, err := r.append(p.row[:0])
	if err != nil {
		return fmt.Errorf("keep message %d of %s: %w", m.Sequence, m.Subject, err)
	}
	if p.row, err = row, writeRow(p.records, row); err != nil {
		return err
	}
	p.row = binary.AppendUvarint(p.row[:0], uint64(len(ties)))
	for _, tie := range ties {
		p.row = binary.LittleEndian.AppendUint64(p.row, p.hash(tie))
	}
	if _, err := p.ties.Write(p.row); err != nil {
		return err
	}
	p.messages++
	p.names += uint64(len(ties))
	return nil
}

// hash names a tie by 64 bits. Two ties with one hash would only make a group of two.
func (p *Parts) hash(tie string) uint64 { return maphash.String(p.seed, tie) }

// Fold folds all parts, one after another, and shows each to visit, which must not keep it. With quotes given it folds only
// what is tied to those. It may be called again, also after more was added.
func (p *Parts) Fold(ctx context.Context, quotes []string, visit func(*projection.Projection) error) error {
	if err := p.group(ctx); err != nil {
		return err
	}
	files, count, err := p.spread(ctx, quotes)
	if err != nil {
		return err
	}
	defer files.Close()
	done := uint64(0)
	p.cfg.Progress("compare", 0, count)
	for _, f := range files {
		part := projection.New(projection.Config{Rules: p.cfg.Rules})
		n, err := foldFile(ctx, part, f)
		if err != nil {
			return err
		}
		if err := visit(part); err != nil {
			return err
		}
		f.Close()
		done += n
		p.cfg.Progress("compare", done, count)
	}
	return nil
}

// spread writes the kept messages to a file for each part, each group into one of them.
func (p *Parts) spread(ctx context.Context, quotes []string) (files scratch.Files, count uint64, err error) {
	wanted, err := p.labelsOf(ctx, quotes)
	if err != nil {
		return nil, 0, err
	}
	n := uint64(min(max(1, (p.records.Size()+p.cfg.PartBytes-1)/p.cfg.PartBytes), maxFiles))
	files, err = p.cfg.Dir.CreateAll(int(n), buffer)
	if err != nil {
		return nil, 0, err
	}
	records, err := p.records.Reader()
	if err == nil {
		err = p.each(ctx, func(_, label uint64, _ []uint64) error {
			if p.row, err = readRow(records, p.row); err != nil {
				return err
			}
			if _, ok := wanted[label]; quotes != nil && !ok {
				return nil
			}
			count++
			return writeRow(files[label%n], p.row)
		})
	}
	if err != nil {
		files.Close()
		return nil, 0, err
	}
	return files, count, nil
}

// foldFile folds one part.
func foldFile(ctx context.Context, part *projection.Projection, f *scratch.File) (n uint64, err error) {
	rows, err := f.Reader()
	if err != nil {
		return 0, err
	}
	var row []byte
	var clock time.Time
	for {
		if row, err = readRow(rows, row); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		r, err := parse(row)
		if err != nil {
			return n, err
		}
		if r.clock.After(clock) {
			clock = r.clock
			part.Trim(clock.Add(-renewalsFor))
		}
		if r.isStripe {
			part.FoldStripe(r.at, r.stripe)
		} else {
			part.FoldQuote(r.at, r.quote)
		}
		if n++; n%lookEvery == 0 && ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
}

// writeRow writes bytes with their length before them.
func writeRow(f *scratch.File, row []byte) error {
	var length [binary.MaxVarintLen64]byte
	if _, err := f.Write(length[:binary.PutUvarint(length[:], uint64(len(row)))]); err != nil {
		return err
	}
	_, err := f.Write(row)
	return err
}

// readRow reads what writeRow wrote, into a buffer that it may use again. It returns io.EOF at the end.
func readRow(r *bufio.Reader, into []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return into, err
	}
	if uint64(cap(into)) < n {
		into = make([]byte, n, 2*n)
	}
	into = into[:n]
	if _, err := io.ReadFull(r, into); err != nil {
		return into, fmt.Errorf("read a temporary file: %w", err)
	}
	return into, nil
}
