package event

import (
	"strconv"
	"strings"
)

// The kinds of timers.
const (
	TimerExpiry   = "expiry"   // the last second of a revision is over
	TimerReminder = "reminder" // a revision is about to expire
)

// What is done with a timer: the second token of its subjects on the stream
// TIMERS. The server publishes the second when the time of the first has come.
const (
	timerAt  = "at"
	timerDue = "due"
)

// SubjectsTimersDue are the timers whose time has come.
const SubjectsTimersDue = "timer.due.>"

// Timer names one timer of a published revision. There is one for each value, so
// that planning it again plans nothing twice. It carries no data: what it is
// about is read from the log when it fires.
type Timer struct {
	Kind     string // one of the Timer constants; a newer version may write others
	Seller   string
	Quote    string
	Revision int
}

// At is the subject of the schedule, timer.at.<kind>.<seller>.<quote>.<revision>,
// and Due that of the message that the server makes of it. Both are empty, which
// no server takes, when a part is not a valid token.
func (t Timer) At() string { return t.subject(timerAt) }

// Due is where the timer is delivered; see At.
func (t Timer) Due() string { return t.subject(timerDue) }

func (t Timer) subject(step string) string {
	return join("timer", step, t.Kind, t.Seller, t.Quote, strconv.Itoa(t.Revision))
}

// ParseTimerDue is the inverse of Due; false for everything else.
func ParseTimerDue(subject string) (Timer, bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 6 {
		return Timer{}, false
	}
	n, err := strconv.Atoi(parts[5])
	t := Timer{Kind: parts[2], Seller: parts[3], Quote: parts[4], Revision: n}
	return t, err == nil && n > 0 && t.Due() == subject
}
