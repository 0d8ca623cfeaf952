package quotes

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/reconcile"
)

// reconciles reports whether this instance compares the log with Stripe from time
// to time. It is done here because this is the one process that may call Stripe and
// may enter events at ingress: another would be one more holder of both secrets.
func (s *Service) reconciles() bool {
	return s.stripe != nil && s.cfg.IngressURL != "" && s.cfg.ReconcileEvery > 0
}

// enterTimeout bounds one event's way through ingress.
const enterTimeout = 15 * time.Second

// reconcile runs until ctx ends.
func (s *Service) reconcile(ctx context.Context) {
	in := s.entrance(event.SourceReconcile, s.cfg.ReconcileSecret)
	in.HTTP = &http.Client{Timeout: enterTimeout} // nobody waits at a page
	automatic := reconcile.Automatic{
		Reconciler: reconcile.New(reconcile.Config{
			Log: s.stream, Reader: s.reader, Stripe: s.stripe, Door: in, Mode: s.cfg.Mode, Grace: s.cfg.ReconcileGrace, Now: s.cfg.Now,
		}),
		Every: s.cfg.ReconcileEvery, Holder: "quotes_" + rand.Text(), Log: s.log.With(zap.String("chore", "reconcile")),
		Recovered: func(events int) { s.metrics.recovered.Add(float64(events)) },
		Standing:  s.metrics.reconciled,
	}
	automatic.Run(ctx)
}
