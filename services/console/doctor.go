package console

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// examineEvery is how old an examination may be that is shown: each of them makes the notifier call its relay.
	examineEvery = 30 * time.Second
	// examineTime bounds one. It is less than requestTimeout, so that the page is still written.
	examineTime = 20 * time.Second
	// examined is how many of the last events are looked at for the secrets that verified them.
	examined = 2000
)

// patient is what the console can look at with its own rights. It has no key of Stripe's, and knows no other service's address.
func (s *Service) patient() *doctor.Patient {
	return &doctor.Patient{
		Now: s.cfg.Now, Log: s.stream, Redis: s.redis, Mode: s.cfg.Mode, Events: examined, Narrow: true,
		Connect: func(ctx context.Context) (*nats.Conn, error) {
			return natsstream.Connect(ctx, s.cfg.NATS, zap.NewNop())
		},
	}
}

// surgery examines when somebody looks, one at a time, and keeps what was found for examineEvery.
type surgery struct {
	patient *doctor.Patient
	now     func() time.Time

	mu   sync.Mutex
	last []doctor.Result
	at   time.Time
}

func newSurgery(p *doctor.Patient, now func() time.Time) *surgery {
	return &surgery{patient: p, now: now}
}

// look returns the last examination and its time. Whoever asks for a new one may leave meanwhile: it is the others' as well.
func (s *surgery) look(ctx context.Context) ([]doctor.Result, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || s.now().Sub(s.at) >= examineEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), examineTime)
		defer cancel()
		s.last, s.at = s.patient.Examine(ctx), s.now()
	}
	return s.last, s.at
}

// doctorPage is what was found, the worst first.
type doctorPage struct {
	frame
	Results []doctor.Result
	At      time.Time
	Counts  []figure
}

// severity is the order of the page.
var severity = []doctor.Status{doctor.Fail, doctor.Warn, doctor.OK, doctor.NotChecked}

func (s *Service) showDoctor(w http.ResponseWriter, c *call) error {
	found, at := s.surgery.look(c.Context())
	page := doctorPage{frame: s.frame(c, navDoctor, "Doctor"), Results: slices.Clone(found), At: at}
	slices.SortStableFunc(page.Results, func(a, b doctor.Result) int {
		return slices.Index(severity, a.Status) - slices.Index(severity, b.Status)
	})
	for _, status := range severity {
		n := uint64(0)
		for _, r := range found {
			if r.Status == status {
				n++
			}
		}
		page.Counts = append(page.Counts, figure{string(status), number(n)})
	}
	return s.render(w, http.StatusOK, "doctor.html", page)
}
