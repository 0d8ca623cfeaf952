package jsonscan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unescape decodes the inside of a string that skipString has passed. Lone
// surrogates and invalid UTF-8 become U+FFFD, as in encoding/json. It allocates
// only when something has to be rewritten.
func unescape(in []byte) []byte {
	if indexSlash(in) < 0 && utf8.Valid(in) {
		return in
	}
	out := make([]byte, 0, len(in)+2*utf8.UTFMax)
	for i := 0; i < len(in); {
		switch c := in[i]; {
		case c == '\\' && in[i+1] == 'u':
			r, n := unescapeRune(in[i:])
			out = utf8.AppendRune(out, r)
			i += n
		case c == '\\':
			out = append(out, unescapeByte(in[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(in[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return out
}

func indexSlash(in []byte) int {
	for i, c := range in {
		if c == '\\' {
			return i
		}
	}
	return -1
}

// unescapeByte returns what a one-letter escape stands for.
func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // quote, backslash, slash
}

// unescapeRune decodes the \uXXXX at the start of in, together with a second
// one where the two are a surrogate pair, and returns the bytes it took.
func unescapeRune(in []byte) (r rune, n int) {
	r, _ = hex4(in[2:6])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(in) >= 12 && in[6] == '\\' && in[7] == 'u' {
		low, _ := hex4(in[8:12])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads four hexadecimal digits.
func hex4(in []byte) (rune, bool) {
	var r rune
	for _, c := range in {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
