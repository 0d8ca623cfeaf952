package notifier_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/services/notifier"
)

// An operator asks whether the relay can be reached; no mail goes out, and the password stays with the notifier.
func TestTheRelayIsTriedWithoutAMail(t *testing.T) {
	h := newHouse(t, script{})
	cfg := h.config()
	h.start(cfg)
	nc := h.nats.Conn("operator")
	probe := func() (answer notifier.RelayAnswer) {
		t.Helper()
		var msg *nats.Msg
		var err error
		eventually(t, func() bool { // until the notifier listens
			msg, err = nc.Request(notifier.SubjectRelay, nil, 10*time.Second)
			return err == nil
		}, "somebody answers")
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if a := probe(); a.Error != "" || !strings.Contains(a.Relay, "127.0.0.1") {
		t.Errorf("probe = %+v, want a relay that is reached", a)
	}
	h.smtp.set(script{reply: map[string]string{"banner": "554 not today, postmaster@seller.example"}})
	a := probe()
	if !strings.Contains(a.Error, "554") || strings.Contains(a.Error, "postmaster@") {
		t.Errorf("probe = %+v, want the refusal with the address masked", a)
	}
	if mails := h.smtp.mails(); len(mails) != 0 {
		t.Errorf("%d mails were sent", len(mails))
	}
}
