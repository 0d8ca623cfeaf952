package natsstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errBrokeOff means that an answer of several messages ended before its end. If that stays so, the server holds a message
// whose bytes no longer fit their checksum: nats-server 2.15.2 passes it over, but counts it.
var errBrokeOff = errors.New("the answer broke off (if it does again, the server cannot read a message there)")

// leaderTimeout bounds one question to a stream's leader: a user without the right to it is never answered.
const leaderTimeout = 5 * time.Second

// Page is a part of a stream.
type Page struct {
	// Records ascend.
	Records []Record
	// Damaged are the sequences of messages that were not erased and that neither the server asked nor the stream's leader
	// can read. They ascend.
	Damaged []uint64
	// Next is the sequence after the page; Last says that the stream ends there for now.
	Next uint64
	Last bool
}

// ScanWhole is Scan for who must not miss a message: it accounts for every sequence of the page, which is in Records, in
// Damaged, or erased, and it lets the stream's leader say where the stream ends. What is missing from Scan's answer is read
// one by one, at the leader too. It needs the rights to the stream's STREAM.INFO and STREAM.MSG.GET.
func (l *Log) ScanWhole(ctx context.Context, stream string, from uint64, limit int) (Page, error) {
	from, limit = max(from, 1), max(limit, 1)
	records, err := l.Scan(ctx, stream, from, limit)
	if err != nil && !errors.Is(err, errBrokeOff) {
		return Page{}, err
	}
	if n := len(records); n == limit && records[n-1].Sequence == from+uint64(n)-1 {
		return Page{Records: records, Next: from + uint64(n)}, nil
	}
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return Page{}, fmt.Errorf("look at the end of %s: %w: %w", stream, ErrUnavailable, err)
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return Page{}, fmt.Errorf("look at the end of %s: %w: %w", stream, ErrUnavailable, err)
	}
	p := Page{Records: records, Next: max(from, min(max(from, info.State.FirstSeq)+uint64(limit), info.State.LastSeq+1))}
	if n := len(records); n > 0 {
		p.Next = max(p.Next, records[n-1].Sequence+1)
	}
	p.Last = p.Next > info.State.LastSeq
	return p, l.fill(ctx, stream, from, info.State, &p)
}

// fill reads what a page lacks.
func (l *Log) fill(ctx context.Context, stream string, from uint64, state jetstream.StreamState, p *Page) error {
	settled := make(map[uint64]bool, len(state.Deleted)+len(p.Records))
	for _, sequence := range state.Deleted {
		settled[sequence] = true
	}
	for _, r := range p.Records {
		settled[r.Sequence] = true
	}
	for sequence := max(from, state.FirstSeq); sequence < p.Next; sequence++ {
		if settled[sequence] {
			continue
		}
		r, err := l.ReadSequence(ctx, stream, sequence)
		if errors.Is(err, ErrNotFound) {
			r, err = l.atLeader(ctx, stream, map[string]any{"seq": sequence})
		}
		switch {
		case errors.Is(err, ErrNotFound):
			p.Damaged = append(p.Damaged, sequence)
		case err != nil:
			return fmt.Errorf("read message %d of %s: %w", sequence, stream, err)
		default:
			p.Records = append(p.Records, r)
		}
	}
	slices.SortFunc(p.Records, func(a, b Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return nil
}

// atLeader reads a message as the stream's leader has it, without a replica's lag. request is that of STREAM.MSG.GET.
func (l *Log) atLeader(ctx context.Context, stream string, request map[string]any) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	encoded, err := json.Marshal(request)
	if err != nil {
		return Record{}, fmt.Errorf("encode request: %w", err)
	}
	msg, err := l.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, encoded)
	if err != nil {
		return Record{}, fmt.Errorf("ask the leader of %s: %w: %w", stream, ErrUnavailable, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Record{}, fmt.Errorf("decode answer of the leader of %s: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Record{}, fmt.Errorf("ask the leader of %s: %w", stream, ErrNotFound)
	case answer.Error != nil:
		return Record{}, fmt.Errorf("ask the leader of %s: %w: %w", stream, ErrUnavailable, answer.Error)
	}
	m := answer.Message
	r := Record{Stream: stream, Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Header: nats.Header{}, Data: m.Data}
	if len(m.Header) > 0 {
		if r.Header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return Record{}, fmt.Errorf("decode headers of message %d of %s: %w", m.Sequence, stream, err)
		}
	}
	return r, nil
}
