package why

import (
	"fmt"
	"time"

	"quittance.internal/libs/operations/signatures"
)

// webhooks looks whether ingress refuses what Stripe signs. A refused event is in no log, so that it cannot be said whose it
// was: what is told is that signatures failed since the quote could be paid, and either none was right since or more than
// one in twenty was wrong. A forgery among right ones explains nothing.
func (s *Situation) webhooks(w *walk) {
	const link = "ingress takes Stripe's webhooks"
	f := s.Signatures
	if f == nil {
		w.unknown(link, "not known: "+s.NoSignatures)
		return
	}
	all := f.Failures() + f.Good
	since := "since ingress started"
	if !f.Since.IsZero() {
		since += " at " + stamp(f.Since)
	}
	last := f.LastFailure()
	switch {
	case f.Failures() == 0 && f.Since.After(s.OfferedAt):
		w.unknown(link, "no signature has failed "+since+"; what it refused before that is not known")
		return
	case f.Failures() == 0:
		w.holds(true, link, "no signature has failed "+since, "", "")
		return
	}
	told := fmt.Sprintf("%.0f of %.0f signatures have failed %s: %s", f.Failures(), all, since, f.Reasons())
	if !last.IsZero() {
		told += "; the last at " + stamp(last)
	}
	earlier := !last.IsZero() && last.Before(s.OfferedAt)
	dry := !last.IsZero() && f.LastGood.Before(last)
	switch {
	case earlier:
		w.holds(true, link, told+", before this could be paid", "", "")
	case dry || f.Failures() >= signatures.Enough && f.Share() >= signatures.Worrying:
		after := "none was right since"
		if !dry {
			after = "others are right: it is one endpoint's secret, or was put right"
		}
		w.holds(false, link, "", told+"; "+after+". Stripe sends what is refused again, for three days; quotectl reconcile repair fetches it at once",
			"quotectl doctor")
	default:
		w.holds(true, link, told+", fewer than one in twenty", "", "")
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
