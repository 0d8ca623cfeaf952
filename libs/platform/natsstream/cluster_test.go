package natsstream_test

import (
	"strings"
	"testing"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// Of a cluster every server counts that may be the next leader, and one that is away does not keep a service from starting.
func TestOfAClusterEveryServerMustSync(t *testing.T) {
	synced, lazy := natstest.StartSynced(t), natstest.StartEmpty(t)
	away := natstest.StartSynced(t)
	away.Stop()
	for _, c := range []struct {
		what string
		urls []string
		says string // "" for no error
	}{
		{"all sync, one is away", []string{synced.MonitorURL, away.MonitorURL, synced.MonitorURL}, ""},
		{"one does not sync", []string{synced.MonitorURL, lazy.MonitorURL, synced.MonitorURL}, "sync_interval: always"},
		{"most are away", []string{away.MonitorURL, synced.MonitorURL, away.MonitorURL}, "connection refused"},
		{"half are away", []string{away.MonitorURL, synced.MonitorURL}, "connection refused"},
	} {
		err := natsstream.CheckDurability(t.Context(), natsstream.DurabilityServer, strings.Join(c.urls, ","))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: CheckDurability = %v, want an error that says %q", c.what, err, c.says)
		}
	}
}
