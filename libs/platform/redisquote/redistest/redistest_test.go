package redistest

import (
	"strings"
	"testing"
	"time"
)

// Two tests at a time may choose the same free port: the second must not work on the first one's server.
func TestAnotherServerOnThePortIsNotTakenForOurs(t *testing.T) {
	first := Start(t)
	second := &Server{tb: t, port: first.port, args: first.args}
	err := second.launch(first.cmd.Path, time.Now().Add(time.Minute))
	if err == nil || !strings.Contains(err.Error(), "is the port taken?") {
		t.Errorf("launch on a taken port = %v, want it refused", err)
	}
}
