package natsstream

import (
	"context"

	"quittance.internal/libs/domain/event"
)

func systemSubject(key string) string { return "$KV." + event.BucketSystem + "." + key }

// System reads a key of bucket SYSTEM by a direct get, with its revision; ErrNotFound where there is none. On a replicated
// bucket the answer may lag behind the newest write, which SetSystem notices.
func (l *Log) System(ctx context.Context, key string) (data []byte, revision uint64, err error) {
	r, err := l.Read(ctx, systemStream, systemSubject(key))
	return r.Data, r.Sequence, err
}

// SetSystem writes a key of bucket SYSTEM if its revision still is the given one, 0 for a key that does not exist, and
// returns the new revision. It answers ErrConflict if not, and ErrUnavailable for everything that may be repeated.
func (l *Log) SetSystem(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	subject := systemSubject(key)
	stored, err := l.Command(ctx, Message{Subject: subject, Data: data}, subject, revision)
	return stored.Sequence, err
}
