package notifier_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quittance.internal/services/notifier"
)

// The protocol's decisions, one by one (reliability.md §3.2, steps 1 and 5).
func TestWhatMayBeDoneWithAnEntry(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	soon, past := now.Add(10*time.Minute), now.Add(-time.Second)
	for _, tt := range []struct {
		name   string
		policy notifier.Policy
		entry  notifier.Entry
		want   string
		wait   time.Duration
	}{
		{"sent", notifier.PolicyResend, notifier.Entry{State: notifier.StateSent}, "done", 0},
		{"rejected", notifier.PolicyResend, notifier.Entry{State: notifier.StateRejected}, "done", 0},
		{"parked", notifier.PolicyResend, notifier.Entry{State: notifier.StateParked}, "done", 0},
		{"claimed by a living owner", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, LeaseUntil: soon}, "wait", 10 * time.Minute},
		{"claimed by a dead owner", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, LeaseUntil: past}, "claim", 0},
		{"lease ends this very moment", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, LeaseUntil: now}, "claim", 0},
		{"given back", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed}, "claim", 0},
		{"put off", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, NotBefore: soon}, "wait", 10 * time.Minute},
		{"put off until now", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, NotBefore: now}, "claim", 0},
		{"being sent", notifier.PolicyResend, notifier.Entry{State: notifier.StateSending, LeaseUntil: soon}, "wait", 10 * time.Minute},
		{"cut off while sending", notifier.PolicyResend, notifier.Entry{State: notifier.StateSending, LeaseUntil: past}, "unknown", 0},
		{"cut off while sending, park", notifier.PolicyPark, notifier.Entry{State: notifier.StateSending, LeaseUntil: past}, "unknown", 0},
		{"unanswered, early", notifier.PolicyResend, notifier.Entry{State: notifier.StateAmbiguous, Ambiguous: 1, NotBefore: soon}, "wait", 10 * time.Minute},
		{"unanswered, due", notifier.PolicyResend, notifier.Entry{State: notifier.StateAmbiguous, Ambiguous: 1, NotBefore: past}, "claim", 0},
		{"unanswered, policy changed to park", notifier.PolicyPark, notifier.Entry{State: notifier.StateAmbiguous, Ambiguous: 1, NotBefore: soon}, "park", 0},
		{"unanswered, resent already", notifier.PolicyResend, notifier.Entry{State: notifier.StateAmbiguous, Ambiguous: 2, Resends: 1}, "park", 0},
		{"the resend, claimed by a dead owner", notifier.PolicyResend, notifier.Entry{State: notifier.StateClaimed, Ambiguous: 1, Resends: 1, LeaseUntil: past}, "claim", 0},
	} {
		got, wait := notifier.Decide(notifier.Config{Ambiguous: tt.policy}, tt.entry, now)
		if got != tt.want || wait != tt.wait {
			t.Errorf("%s: %s, %v, want %s, %v", tt.name, got, wait, tt.want, tt.wait)
		}
	}
}

// The ledger is read by operators' tools and by older and newer notifiers: its JSON is a wire format.
func TestTheLedgersWireFormat(t *testing.T) {
	path := filepath.Join("testdata", "entry.json")
	e := notifier.Entry{
		State: notifier.StateParked, Attempts: 2, Ambiguous: 2, Resends: 1, Owner: "o", LeaseUntil: time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC),
		NotBefore: time.Date(2026, 11, 20, 10, 20, 0, 0, time.UTC), FirstAt: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		UpdatedAt: time.Date(2026, 11, 20, 10, 1, 0, 0, time.UTC), AcceptedAt: time.Date(2026, 11, 20, 10, 2, 0, 0, time.UTC),
		DeferredSince: time.Date(2026, 11, 20, 10, 3, 0, 0, time.UTC), Template: 1, Refund: "full", MessageID: "id@seller.example", SHA256: "00ff",
		Code: 451, Reply: "later", Reason: "twice", Sequence: 42,
	}
	b, err := notifier.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var gotFields, wantFields map[string]any
	if err := json.Unmarshal(b, &gotFields); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &wantFields); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantFields, gotFields); diff != "" {
		t.Errorf("fields differ (-want +got):\n%s", diff)
	}
	back, err := notifier.DecodeEntry(want)
	if err != nil || back != e {
		t.Errorf("DecodeEntry = %+v, %v, want %+v", back, err, e)
	}
	if e, err := notifier.DecodeEntry([]byte(`{"state":"sent","later":{"field":1},"template":9}`)); err != nil || e.State != notifier.StateSent {
		t.Errorf("an entry with a newer field = %+v, %v, want it read", e, err)
	}
	for _, bad := range []string{``, `null`, `{}`, `{"state":"teleported"}`, `[`} {
		if e, err := notifier.DecodeEntry([]byte(bad)); err == nil {
			t.Errorf("DecodeEntry(%q) = %+v, want an error: an unknown state must not be acted on", bad, e)
		}
	}
}

func TestKeysNameTheReceipt(t *testing.T) {
	if got, want := notifier.MailKey("main", "q_1", 3, 0), "main.q_1.3.paid"; got != want {
		t.Errorf("MailKey = %s, want %s", got, want)
	}
	if got, want := notifier.MailKey("main", "q_1", 3, 2), "main.q_1.3.paid.2"; got != want {
		t.Errorf("MailKey of a resend = %s, want %s", got, want)
	}
}
