package notifier

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"quittance.internal/libs/platform/logging"
)

// Limits of RFC 5321 §4.5.3.1.
const (
	maxAddress = 254 // a path of 256 without its angle brackets
	maxLocal   = 64
	maxLabel   = 63
)

// errAddress is the root of all refusals of checkAddress.
var errAddress = errors.New("address refused")

// checkAddress is our own address policy, stricter than RFC 5322 and than go-mail: one address in ASCII, a dot-atom
// before the @ and a domain name of at least two labels after it. No quoted local part, no address literal, no comment,
// no display name, no list. The refusal never quotes the address.
func checkAddress(address string) error {
	if len(address) > maxAddress {
		return fmt.Errorf("%w: longer than %d bytes", errAddress, maxAddress)
	}
	local, domain, found := strings.Cut(address, "@")
	if !found || strings.Contains(domain, "@") {
		return fmt.Errorf("%w: not one local part and one domain", errAddress)
	}
	if len(local) > maxLocal {
		return fmt.Errorf("%w: local part longer than %d bytes", errAddress, maxLocal)
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, notAtomText) {
			return fmt.Errorf("%w: local part is not a dot-atom", errAddress)
		}
	}
	return checkDomain(domain)
}

func checkDomain(domain string) error {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return fmt.Errorf("%w: domain has no dot", errAddress)
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notLabelText) {
			return fmt.Errorf("%w: domain is not a host name", errAddress)
		}
	}
	if !strings.ContainsFunc(labels[len(labels)-1], unicode.IsLetter) {
		return fmt.Errorf("%w: domain is a number", errAddress)
	}
	return nil
}

// notAtomText reports what RFC 5322 does not list as atext.
func notAtomText(r rune) bool {
	return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func notLabelText(r rune) bool { return !isAlphanumeric(r) && r != '-' }

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// oneLine makes s safe for a header and for one line of text: line breaks, control characters and the invisible ones
// that turn the direction of writing become spaces, runs of space one space, and what is longer than limit runes is cut
// with an ellipsis. Invalid UTF-8 becomes the replacement character. The joiners that Persian, Indic scripts and emoji
// need stay. Runs of space matter: go-mail folds headers at each space, and a long run would leave an empty line.
func oneLine(s string, limit int) string {
	const nonJoiner, joiner = '\u200c', '\u200d'
	s = strings.Map(func(r rune) rune {
		if r == nonJoiner || r == joiner {
			return r
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > limit {
		return strings.TrimSpace(string(runes[:limit-1])) + "…"
	}
	return s
}

var anyAddress = regexp.MustCompile(`[^\s<>@,;:"()]+@[^\s<>@,;:"()]+`)

// maskAddresses masks every e-mail address in text from outside, such as a server's reply, and makes it one line of at
// most 300 characters.
func maskAddresses(text string) string {
	return oneLine(anyAddress.ReplaceAllStringFunc(text, logging.Mask), 300)
}
