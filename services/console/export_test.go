package console

import (
	"context"
	"time"

	"quittance.internal/libs/operations/check"
)

// Routes are the routes of the table, each as "GET /events/{id}".
func (s *Service) Routes() (list []string) {
	for _, r := range s.table() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// CountInBackground counts as a running service does, each time that look is
// called, until ctx ends.
func CountInBackground(ctx context.Context, count func(context.Context) ([]*check.Account, error), now func() time.Time, every time.Duration) (look func()) {
	b := newBooks(count, now, every)
	go b.run(ctx)
	return func() { b.read(ctx) }
}
