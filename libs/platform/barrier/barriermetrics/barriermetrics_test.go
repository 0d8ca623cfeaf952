package barriermetrics_test

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/barrier"
	"quittance.internal/libs/platform/barrier/barriermetrics"
)

func TestTheMetricsTellSyncsGroupsWaitsAndFailure(t *testing.T) {
	broken := false
	b, err := barrier.Open(barrier.Config{Dir: t.TempDir(), Log: zap.NewNop(), Sync: func() error {
		if broken {
			return errors.New("input/output error")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	barriermetrics.Register(reg, b)
	barriermetrics.Register(reg, nil) // a service without a barrier
	for range 2 {
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	broken = true
	if err := b.Wait(t.Context()); !errors.Is(err, barrier.ErrFailed) {
		t.Errorf("Wait on a broken disk = %v, want ErrFailed", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	for name, want := range map[string]float64{
		"quittance_barrier_syncs_total": 2, "quittance_barrier_group_size": 2, "quittance_barrier_wait_seconds": 3, "quittance_barrier_failed": 1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
}
