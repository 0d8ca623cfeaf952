package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// actPage asks an operator whether he means it, with its numbers, and why.
type actPage struct {
	frame
	// Text says what happens; Numbers what to; Sample shows the first few.
	Text    string
	Numbers []figure
	Sample  []string
	// Action is where the form goes; Back where it came from.
	Action, Back string
	Button       string
	Danger       bool
	// Set names what was shown, so that nothing else is acted on.
	Set string
	// Fault is what is wrong with the last try; Reason what was typed.
	Fault, Reason string
}

// figure is a named figure.
type figure struct{ Name, Value string }

// maxReason bounds a reason, in bytes; the journal takes 4 KiB.
const maxReason = 1000

// reasonOf is why the person acts, and what is wrong with that; one of the two is
// empty.
func reasonOf(c *call) (reason, fault string) {
	reason = strings.Join(strings.Fields(c.PostForm.Get("reason")), " ")
	switch {
	case reason == "":
		return "", "Say why: the reason goes into the journal, beside your name."
	case len(reason) > maxReason:
		return "", fmt.Sprintf("The reason is longer than %d bytes.", maxReason)
	case !utf8.ValidString(reason):
		return "", "The reason is not written in UTF-8."
	}
	return reason, ""
}

// setOf names a set of things by their names: the same only for the same things.
func setOf(names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return hex.EncodeToString(sum[:12])
}

// checked returns the act page again with what is wrong, or the reason.
func (a *actPage) checked(c *call) (reason string) {
	reason, a.Fault = reasonOf(c)
	if a.Fault != "" {
		return ""
	}
	if a.Set != "" && c.PostForm.Get("set") != a.Set {
		a.Fault, a.Reason = "What this is about has changed since you looked. Read the numbers again, then confirm them.", reason
		return ""
	}
	return reason
}
