package event

// Scan is the fast way to read an envelope.
var Scan = scan
