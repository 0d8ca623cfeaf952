package notifier_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/services/notifier"
)

func (h *house) preview(nc *nats.Conn, request notifier.PreviewRequest) (answer notifier.PreviewAnswer) {
	h.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		h.t.Fatal(err)
	}
	var msg *nats.Msg
	eventually(h.t, func() bool { // until the notifier listens
		msg, err = nc.Request(notifier.SubjectPreview, body, 10*time.Second)
		return err == nil
	}, "somebody answers")
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		h.t.Fatal(err)
	}
	return answer
}

// An operator sees the very mail that went out, byte for byte; nothing is sent for that, nothing written, and no name or
// address gets into the log. R74
func TestAPreviewIsTheMailThatWentOut(t *testing.T) {
	h := newHouse(t, script{})
	cfg := h.config()
	_, stop := h.start(cfg)
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	nc := h.nats.Conn("operator")
	request := notifier.PreviewRequest{Seller: "main", Quote: "q_0", Revision: 2, Kind: "paid"}
	before := h.entry(0)
	a := h.preview(nc, request)
	sent := h.smtp.mails()[0]
	if a.Error != "" || a.Key != "main.q_0.2.paid" || a.State != notifier.StateSent || a.SHA256 != before.SHA256 || a.Recorded != before.SHA256 || a.MessageID != before.MessageID {
		t.Errorf("preview = %+v, want what the ledger has: %+v", a, before)
	}
	if !strings.Contains(a.To, sent.to) || !strings.Contains(a.Text, "Quote 0") || !strings.Contains(a.HTML, "<h1") || !strings.HasPrefix(a.Subject, "Paid: Quote 0") {
		t.Errorf("preview = %+v, want the mail to %s", a, sent.to)
	}

	// What became known since does not change what went out.
	store(t, h.log, refundMessage(t, paidQuote(0), "re_1", 2, false))
	if b := h.preview(nc, request); b.SHA256 != before.SHA256 || strings.Contains(b.Text, "refund is already") {
		t.Errorf("preview after a refund = %+v", b)
	}

	// One more mail would be another one, and there is no entry of it yet.
	request.Number = 1
	if b := h.preview(nc, request); b.Error != "" || b.State != "" || b.Recorded != "" || b.MessageID == a.MessageID || !strings.Contains(b.Text, "refund is already") {
		t.Errorf("preview of a resend = %+v", b)
	}
	for _, bad := range []notifier.PreviewRequest{{}, {Seller: "main", Quote: "q_*", Revision: 2, Kind: "paid"}, {Seller: "main", Quote: "q_0", Revision: 2, Kind: "drafted"}} {
		if b := h.preview(nc, bad); b.Error == "" || b.Missing {
			t.Errorf("preview of %+v = %+v, want it refused", bad, b)
		}
	}
	if b := h.preview(nc, notifier.PreviewRequest{Seller: "main", Quote: "q_none", Revision: 1, Kind: "paid"}); !b.Missing || b.Error == "" {
		t.Errorf("preview of a quote that is not paid = %+v", b)
	}
	if mails := h.smtp.mails(); len(mails) != 1 || h.entry(0) != before {
		t.Errorf("%d mails, entry %+v; want one, and the entry as it was", len(mails), h.entry(0))
	}

	// With other settings it would have other bytes, and the answer shows it.
	stop()
	cfg.PublicURL = "https://elsewhere.example"
	h.start(cfg)
	request.Number = 0
	if b := h.preview(nc, request); b.SHA256 == b.Recorded || b.Recorded != before.SHA256 || b.MessageID != a.MessageID {
		t.Errorf("preview with another PUBLIC_URL = %+v", b)
	}
	h.quiet()
}
