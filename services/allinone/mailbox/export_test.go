package mailbox

import "time"

// Parse gives the fuzz test the decoder without a server around it.
func Parse(raw []byte) Message {
	p := parse(raw, envelope{From: "a@example.com", To: []string{"b@example.com"}, Received: time.Unix(0, 0)})
	return p.message("1", envelope{})
}

// Snippet is the summary's text of the same message.
func Snippet(raw []byte) string {
	p := parse(raw, envelope{})
	return p.snippet()
}
