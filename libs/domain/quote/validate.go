package quote

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// need says whether a field may be left out. A null counts as left out.
type need bool

const (
	needed   need = true
	optional need = false
)

// checker collects every reason against a document while it is read.
type checker struct{ reasons []Reason }

func (c *checker) refuse(field, code, format string, args ...any) {
	c.reasons = append(c.reasons, Reason{Code: code, Detail: fmt.Sprintf(format, args...), Field: field})
}

// object reads the members of one JSON object of the document. Every reader
// method returns the zero value for what it refused. An object that is not
// there, or is none, gives zero values without further reasons.
type object struct {
	*checker
	path    string
	members map[string]any
	read    []string
}

// object takes v as a JSON object; nil for an optional one left out.
func (c *checker) object(path string, v any) *object {
	members, ok := v.(map[string]any)
	if !ok && v != nil || path == "" && v == nil {
		c.wrongType(path, "an object")
	}
	return &object{checker: c, path: path, members: members}
}

func (c *checker) wrongType(path, want string) {
	if path == "" {
		c.refuse("", CodeType, "The body must be %s.", want)
		return
	}
	c.refuse(path, CodeType, "%s must be %s.", path, want)
}

// refuse is checker.refuse with the path before the field's name.
func (o *object) refuse(name, code, format string, args ...any) {
	o.checker.refuse(o.at(name), code, format, args...)
}

func (o *object) at(name string) string {
	switch {
	case o.path == "":
		return name
	case name == "":
		return o.path
	default:
		return o.path + "." + name
	}
}

// there reports whether the object is one at all.
func (o *object) there() bool { return o.members != nil }

// has reports whether the member is there and not null.
func (o *object) has(name string) bool { return o.members[name] != nil }

// value is the member; it refuses a needed one that is missing.
func (o *object) value(name string, n need) any {
	o.read = append(o.read, name)
	v := o.members[name]
	if v == nil && n == needed && o.there() {
		o.refuse(name, CodeMissing, "%s is required.", o.at(name))
	}
	return v
}

// end refuses the members that nobody asked for.
func (o *object) end() {
	unknown := make([]string, 0)
	for name := range o.members {
		if !slices.Contains(o.read, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		name = strings.ToValidUTF8(name[:min(len(name), 100)], "")
		o.refuse(name, CodeUnknown, "%s is not a field of a quote.", o.at(name))
	}
}

func (o *object) member(name string, n need) *object {
	return o.object(o.at(name), o.value(name, n))
}

func (o *object) list(name string, from, to int) []*object {
	v := o.value(name, needed)
	if v == nil {
		return nil
	}
	values, ok := v.([]any)
	if !ok {
		o.wrongType(o.at(name), "a list")
		return nil
	}
	if len(values) < from || len(values) > to {
		o.refuse(name, CodeRange, "%s must have %d to %d entries, it has %d.", o.at(name), from, to, len(values))
		values = values[:min(len(values), to)]
	}
	objects := make([]*object, 0, len(values))
	for i, value := range values {
		path := o.at(name) + "[" + strconv.Itoa(i) + "]"
		if value == nil {
			o.wrongType(path, "an object")
		}
		objects = append(objects, o.object(path, value))
	}
	return objects
}

// str is the member as a string, and whether there is one to look at.
func (o *object) str(name string, n need) (string, bool) {
	v := o.value(name, n)
	if v == nil {
		return "", false
	}
	s, ok := v.(string)
	if !ok {
		o.wrongType(o.at(name), "a string")
		return "", false
	}
	return s, true
}

// text is a single line for people to read. Control characters are refused: the
// texts end up in mail headers. A needed one must not be blank.
func (o *object) text(name string, n need, most int) string {
	s, ok := o.str(name, n)
	if !ok {
		return ""
	}
	switch {
	case n == needed && strings.TrimSpace(s) == "":
		o.refuse(name, CodeMissing, "%s must not be blank.", o.at(name))
	case utf8.RuneCountInString(s) > most:
		o.refuse(name, CodeText, "%s must have at most %d characters.", o.at(name), most)
	case strings.ContainsFunc(s, unprintable):
		o.refuse(name, CodeText, "%s must be one line of printable text.", o.at(name))
	default:
		return s
	}
	return ""
}

// unprintable also takes the line separators that unicode.IsControl leaves out.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

func (o *object) choice(name string, n need, choices ...string) string {
	s, ok := o.str(name, n)
	if !ok {
		return ""
	}
	if !slices.Contains(choices, s) {
		o.refuse(name, CodeChoice, "%s must be one of %s.", o.at(name), strings.Join(choices, ", "))
		return ""
	}
	return s
}

func (o *object) integer(name string, n need, from, to int64) int64 {
	v := o.value(name, n)
	if v == nil {
		return 0
	}
	number, ok := v.(json.Number)
	if !ok {
		o.wrongType(o.at(name), "a whole number")
		return 0
	}
	i, err := strconv.ParseInt(number.String(), 10, 64)
	switch {
	case err != nil && strings.ContainsAny(number.String(), ".eE"):
		o.wrongType(o.at(name), "a whole number")
		return 0
	case err != nil:
		o.refuse(name, CodeRange, "%s does not fit 64 bits.", o.at(name))
		return 0
	case i < from:
		o.refuse(name, CodeRange, "%s must be %d or more.", o.at(name), from)
		return 0
	case i > to:
		o.refuse(name, CodeRange, "%s must be %d or less.", o.at(name), to)
		return 0
	}
	return i
}

// maybe is a boolean that may be left out.
func (o *object) maybe(name string) *bool {
	v := o.value(name, optional)
	if v == nil {
		return nil
	}
	b, ok := v.(bool)
	if !ok {
		o.wrongType(o.at(name), "true or false")
		return nil
	}
	return &b
}

// flag is a boolean that means false where it is left out.
func (o *object) flag(name string) bool {
	b := o.maybe(name)
	return b != nil && *b
}

func (o *object) percent(name string) string {
	s, ok := o.str(name, optional)
	if !ok {
		return ""
	}
	if _, ok := parsePercent(s); !ok {
		o.refuse(name, CodeDiscount, "%s must be a decimal string above 0 and at most 100, such as \"12.5\", with at most %d decimals.",
			o.at(name), percentDecimals)
		return ""
	}
	return s
}

func (o *object) currency(name string) string {
	s, ok := o.str(name, needed)
	if !ok {
		return ""
	}
	if !CurrencyCode(s) {
		o.refuse(name, CodeCurrency, "%s must be a three-letter code in lower case, such as usd.", o.at(name))
		return ""
	}
	return s
}

func (o *object) zone(name string) string {
	s, ok := o.str(name, needed)
	if !ok {
		return ""
	}
	if _, err := (Document{Owner: Owner{TimeZone: s}}).Zone(); err != nil {
		o.refuse(name, CodeTimeZone, "%s must be a time zone of the IANA database, such as Europe/Warsaw.", o.at(name))
		return ""
	}
	return s
}

// expiry keeps the seller's own words; zone is empty when it was refused, and
// then any sound zone will do to look at the words alone.
func (o *object) expiry(name, zone string) string {
	s, ok := o.str(name, optional)
	if !ok {
		return ""
	}
	if zone == "" {
		zone = time.UTC.String()
	}
	if _, err := (Document{ExpiresAt: s, Owner: Owner{TimeZone: zone}}).Expiry(); err != nil || s == "" {
		o.refuse(name, CodeExpiry, "%s must be an RFC 3339 time or a date such as 2026-12-31.", o.at(name))
		return ""
	}
	return s
}

func (o *object) email(name string) string {
	s, ok := o.str(name, needed)
	if !ok {
		return ""
	}
	if !plausibleAddress(s) {
		o.refuse(name, CodeEmail, "%s must be an e-mail address.", o.at(name))
		return ""
	}
	return s
}

// plausibleAddress takes local@domain.tld in ASCII, as SMTP without extensions
// can carry it and no header can be broken with: no quoting, comments or spaces.
// Whether somebody reads mail there only sending shows.
func plausibleAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || len(local) > 64 || !dotted(local, localByte) || !strings.Contains(domain, ".") {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return dotted(domain, domainByte)
}

// dotted reports whether s is a run of non-empty parts joined by single dots.
func dotted(s string, allowed func(byte) bool) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !allowed(part[i]) {
				return false
			}
		}
	}
	return true
}

func domainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// localByte is RFC 5322's atext.
func localByte(c byte) bool { return domainByte(c) || strings.IndexByte("!#$%&'*+/=?^_`{|}~", c) >= 0 }
