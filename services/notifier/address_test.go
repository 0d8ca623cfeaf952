package notifier_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"quittance.internal/services/notifier"
)

func TestAddressPolicyTakesOneOrdinaryAddressAndNothingElse(t *testing.T) {
	long := strings.Repeat("a", 63) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 3) + "example"
	for _, good := range []string{
		"a@b.co", "owner@seller.example", "first.last+tag@sub.seller.example", "o'neil@seller.example", "UPPER@Seller.Example",
		"x@xn--bcher-kva.example", "a!#$%&'*+-/=?^_`{|}~b@seller.example", long, "1@2.example",
	} {
		if err := notifier.CheckAddress(good); err != nil {
			t.Errorf("CheckAddress(%q) = %v, want it taken", good, err)
		}
	}
	for _, bad := range []string{
		"", "@", "a", "a@", "@b.co", "a@b", "a b@c.example", "a@b@c.example", `"a b"@c.example`, `"a"@c.example`, "a@[127.0.0.1]", "a@[IPv6:::1]",
		"a@127.0.0.1", "a@1.2", "a.@c.example", ".a@c.example", "a..b@c.example", "a@c..example", "a@.c.example", "a@c.example.", "a@-c.example", "a@c-.example",
		"a@c_d.example", "a@c.example,b@c.example", "a@c.example b@c.example", "<a@c.example>", "A <a@c.example>", "a@c.example>", "a@c.example\r\nBcc: x@y.example",
		"a\r\nRCPT TO:<x@y.example>@c.example", "a@c.example\x00", "a(comment)@c.example", "ä@c.example", "a@ä.example", "a\u202eb@c.example", "a@c.example\n",
		strings.Repeat("a", 65) + "@c.example", "a@" + strings.Repeat("b", 64) + ".example", strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 4) + "example",
	} {
		err := notifier.CheckAddress(bad)
		if !errors.Is(err, notifier.ErrAddress) {
			t.Errorf("CheckAddress(%q) = %v, want it refused", bad, err)
		}
		if err != nil && len(bad) > 8 && strings.Contains(err.Error(), bad) {
			t.Errorf("the refusal %q quotes the address", err)
		}
	}
}

// Whatever the policy takes is one address for the standard library too, and goes into a command line unchanged.
func FuzzAddressPolicy(f *testing.F) {
	for _, s := range []string{"a@b.co", `"x"@b.co`, "a@[::1]", "a@b.co,c@d.co", "a@b.co\r\nX: y", "=?utf-8?q?a=40b?=@c.co"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if notifier.CheckAddress(s) != nil {
			return
		}
		list, err := mail.ParseAddressList(s)
		if err != nil || len(list) != 1 || list[0].Address != s || list[0].Name != "" {
			t.Errorf("%q is taken, but reads as %v, %v", s, list, err)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(s, `<>()[]\,;:"`) {
			t.Errorf("%q is taken with a character that does not belong into a command", s)
		}
	})
}

func TestMaskingLeavesNoAddressInText(t *testing.T) { // R74
	for in, want := range map[string]string{
		"550 <bob@example.com> unknown":       "550 <b***@example.com> unknown",
		"for bob@example.com, al@x.example.":  "for b***@example.com, a***@x.example.",
		"no address":                          "no address",
		"a\r\nb\x00c":                         "a b c",
		"ü@example.com":                       "ü***@example.com",
		strings.Repeat("x", 400):              strings.Repeat("x", 299) + "…",
		`"quoted local"@example.com: refused`: `"quoted local"@example.com: refused`,
	} {
		if got := notifier.MaskAddresses(in); got != want {
			t.Errorf("MaskAddresses(%q) = %q, want %q", in, got, want)
		}
	}
}

// No title, name or customer can add a header, a recipient, or end the headers early.
func FuzzHeadersCannotBeInjected(f *testing.F) {
	for _, s := range []string{
		"Website", "a\r\nBcc: x@evil.example", "a\nSubject: b\n\nbody", "a\r\n\r\n<script>", strings.Repeat(" ", 200) + "x", strings.Repeat("\u00a0 ", 100),
		"=?utf-8?q?a=0D=0ABcc:_x@evil.example?=", "\u2028\u2029\u0085x", strings.Repeat("long", 500), "\xff\xfe", "a\x00b", `"><x@evil.example>, <y@evil.example`,
		"--quittance-", "\u202egnp.exe", "👩‍👩‍👧", ".\r\n.\r\nQUIT\r\n", "日本語の見積書" + strings.Repeat("語", 100), strings.Repeat("\t", 90) + "\r\n" + strings.Repeat(" ", 90),
	} {
		f.Add(s, s, s)
	}
	from := mail.Address{Name: "Quittance", Address: "quittance@seller.example"}
	want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
	f.Fuzz(func(t *testing.T, title, name, company string) {
		r := sample()
		r.Published.Document.Title, r.Published.Document.Owner.Name, r.Published.Document.Contact.Company = title, name, company
		r.Published.Document.Deal.Name, r.Published.Document.Contact.FirstName = company, name
		c, err := notifier.Compose(from, r)
		if err != nil {
			t.Fatalf("Compose = %v", err)
		}
		head, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(c.Bytes))).ReadMIMEHeader()
		if err != nil {
			t.Fatalf("the header does not parse: %v\n%q", err, c.Bytes)
		}
		var names []string
		for name, values := range head {
			names = append(names, name)
			if len(values) != 1 {
				t.Errorf("header %s occurs %d times", name, len(values))
			}
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("headers are %v, want %v", names, want)
		}
		to, err := mail.ParseAddressList(head.Get("To"))
		if err != nil || len(to) != 1 || to[0].Address != "owner@seller.example" {
			t.Errorf("To = %v, %v, want one recipient", to, err)
		}
		for line := range bytes.SplitSeq(c.Bytes, []byte("\r\n")) {
			if bytes.ContainsAny(line, "\r\n") || len(line) > 998 {
				t.Errorf("line %q is too long or has a bare line break", line)
			}
		}
		header, _, _ := bytes.Cut(c.Bytes, []byte("\r\n\r\n"))
		for line := range bytes.SplitSeq(header, []byte("\r\n")) {
			if len(bytes.TrimSpace(line)) == 0 {
				t.Errorf("the header has an empty line: %q", header)
			}
		}
		checkParts(t, c)
	})
}

// checkParts makes sure that a reader finds exactly the two parts that were written.
func checkParts(t *testing.T, c notifier.Composed) {
	t.Helper()
	text, html := partsOf(t, c.Bytes)
	if norm(text) != norm(c.Text) || norm(html) != norm(c.HTML) {
		t.Errorf("the parts of the mail are not the rendered ones:\n%q\n%q", text, c.Text)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(c.Subject, unicode.IsControl) {
		t.Errorf("invalid text, or control characters in the subject %q", c.Subject)
	}
}

func norm(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
