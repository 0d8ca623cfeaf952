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

// comparable reports whether this instance can compare the log with Stripe. It is
// done here because this is the one process that may call Stripe and may enter
// events at ingress: another would be one more holder of both secrets.
func (s *Service) comparable() bool { return s.stripe != nil && s.cfg.IngressURL != "" }

// reconciles reports whether it does so from time to time.
func (s *Service) reconciles() bool { return s.comparable() && s.cfg.ReconcileEvery > 0 }

// enterTimeout bounds one event's way through ingress.
const enterTimeout = 15 * time.Second

func (s *Service) reconciler() *reconcile.Reconciler {
	in := s.entrance(event.SourceReconcile, s.cfg.ReconcileSecret)
	in.HTTP = &http.Client{Timeout: enterTimeout} // nobody waits at a page
	return reconcile.New(reconcile.Config{
		Log: s.stream, Reader: s.reader, Stripe: s.stripe, Door: in, Mode: s.cfg.Mode, Grace: s.cfg.ReconcileGrace, Now: s.cfg.Now,
	})
}

func (s *Service) recovered(events int) { s.metrics.recovered.Add(float64(events)) }

// reconcile compares by itself until ctx ends.
func (s *Service) reconcile(ctx context.Context) {
	automatic := reconcile.Automatic{
		Reconciler: s.reconciler(),
		Every:      s.cfg.ReconcileEvery, Holder: "quotes_" + rand.Text(), Log: s.log.With(zap.String("chore", "reconcile")),
		Recovered: s.recovered, Standing: s.metrics.reconciled,
	}
	automatic.Run(ctx)
}

// reconcileOrders compares when operators ask for it, until ctx ends.
func (s *Service) reconcileOrders(ctx context.Context) error {
	desk := reconcile.Desk{
		Make: s.reconciler, Journal: s.journal, Stream: s.stream, NATS: s.nc, Log: s.log, Now: s.cfg.Now, Recovered: s.recovered,
	}
	return desk.Serve(ctx)
}
