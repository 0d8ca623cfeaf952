package natsstream

// Unfit is unfit.
var Unfit = unfit

// LimitPending lets fewer publications be under way at one time. Call it before the first.
func LimitPending(l *Log, n int) { l.pub.places = make(chan struct{}, n) }

// Pending counts the publications under way, and the places that they hold.
func Pending(l *Log) (waiting, places int) {
	l.pub.mu.Lock()
	defer l.pub.mu.Unlock()
	return len(l.pub.waiting), len(l.pub.places)
}

// ReadAck is readAck.
var ReadAck = readAck
