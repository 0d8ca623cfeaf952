package mailbox

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/htmlindex"
)

// Bounds on what one message may make us do.
const (
	maxDepth     = 10
	maxParts     = 200
	snippetRunes = 250
)

// part is one leaf of a message's tree.
type part struct {
	id          string
	contentType string
	contentID   string
	fileName    string
	inline      bool
	data        []byte
}

// parsed is a message taken apart. A message that is not valid MIME yields what can be had: nothing here returns an error,
// because a catcher that hides a broken mail helps nobody.
type parsed struct {
	header      mail.Header
	date        time.Time
	text, html  string
	attachments []part
	bcc         []Address
	size        int
	parts       int
}

// parse takes the message apart. Recipients of the envelope that no header names are its blind copies.
func parse(raw []byte, env envelope) parsed {
	p := parsed{header: mail.Header{}, size: len(raw), date: env.Received}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		p.text = printable(raw)
		return p
	}
	p.header = msg.Header
	if d, err := msg.Header.Date(); err == nil {
		p.date = d
	}
	p.walk(textproto.MIMEHeader(msg.Header), msg.Body, "", 0)
	p.bcc = p.addresses("Bcc")
	named := slices.Concat(p.bcc, p.addresses("To"), p.addresses("Cc"))
	for _, to := range env.To {
		if !slices.ContainsFunc(named, func(a Address) bool { return strings.EqualFold(a.Address, to) }) {
			p.bcc = append(p.bcc, Address{Address: to})
		}
	}
	return p
}

// walk descends into one entity of the MIME tree.
func (p *parsed) walk(h textproto.MIMEHeader, body io.Reader, id string, depth int) {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType == "" {
		mediaType = "text/plain"
	}
	if strings.HasPrefix(mediaType, "multipart/") && params["boundary"] != "" && depth < maxDepth {
		r := multipart.NewReader(body, params["boundary"])
		for n := 1; p.parts < maxParts; n++ {
			sub, err := r.NextRawPart()
			if err != nil {
				return // the end, or a broken rest that nothing can be read from
			}
			p.walk(sub.Header, sub, strings.TrimPrefix(id+"."+strconv.Itoa(n), "."), depth+1)
		}
		return
	}
	p.parts++
	data, _ := io.ReadAll(decoded(body, h.Get("Content-Transfer-Encoding"))) // a broken tail leaves the readable head
	p.leaf(h, part{id: orDefault(id, "1"), contentType: mediaType, data: data}, params)
}

// leaf files one leaf: the first text and the first HTML are the body, everything else is attached.
func (p *parsed) leaf(h textproto.MIMEHeader, leaf part, params map[string]string) {
	disposition, dparams, _ := mime.ParseMediaType(h.Get("Content-Disposition")) // none or broken: not an attachment by word
	leaf.fileName = decodeWords(orDefault(dparams["filename"], params["name"]))
	leaf.contentID = strings.Trim(h.Get("Content-Id"), "<> ")
	leaf.inline = disposition == "inline" || leaf.contentID != ""
	switch body := disposition != "attachment" && leaf.fileName == ""; {
	case body && leaf.contentType == "text/plain":
		p.text += inCharset(leaf.data, params["charset"])
	case body && leaf.contentType == "text/html":
		p.html += inCharset(leaf.data, params["charset"])
	default:
		p.attachments = append(p.attachments, leaf)
	}
}

func decoded(r io.Reader, encoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	default:
		return r
	}
}

// inCharset returns b as UTF-8; bytes that the charset does not know are replaced.
func inCharset(b []byte, charset string) string {
	if charset != "" && !strings.EqualFold(charset, "utf-8") {
		if enc, err := htmlindex.Get(charset); err == nil {
			if u, err := enc.NewDecoder().Bytes(b); err == nil {
				b = u
			}
		}
	}
	return strings.ReplaceAll(printable(b), "\r\n", "\n")
}

func printable(b []byte) string { return strings.ToValidUTF8(string(b), string(utf8.RuneError)) }

// words decodes RFC 2047 words ("=?UTF-8?q?Pay=C3=A9?=") in any charset that browsers know.
var words = &mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller falls back to the undecoded word
	}
	return enc.NewDecoder().Reader(r), nil
}}

func decodeWords(s string) string {
	if d, err := words.DecodeHeader(s); err == nil {
		s = d
	}
	return printable([]byte(s))
}

// addresses returns the addresses of a header field; a field that is no address list is shown as it stands.
func (p *parsed) addresses(field string) []Address {
	found := []Address{}
	for _, v := range p.header[textproto.CanonicalMIMEHeaderKey(field)] {
		list, err := (&mail.AddressParser{WordDecoder: words}).ParseList(v)
		if err != nil {
			found = append(found, Address{Address: decodeWords(v)})
			continue
		}
		for _, a := range list {
			found = append(found, Address{Name: a.Name, Address: a.Address})
		}
	}
	return found
}

// from returns the sender: the header's, else the envelope's.
func (p *parsed) from(env envelope) Address {
	if a := p.addresses("From"); len(a) > 0 {
		return a[0]
	}
	return Address{Address: env.From}
}

func (p *parsed) messageID() string { return strings.Trim(p.header.Get("Message-Id"), "<> ") }
func (p *parsed) subject() string   { return decodeWords(p.header.Get("Subject")) }

// snippet returns the first words of the body, on one line.
func (p *parsed) snippet() string {
	s := p.text
	if strings.TrimSpace(s) == "" {
		s = textOf(p.html)
	}
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > snippetRunes {
		r = append(r[:snippetRunes], '…')
	}
	return string(r)
}

// textOf returns the text of an HTML document, without its scripts and styles.
func textOf(doc string) string {
	var b strings.Builder
	hidden := 0
	for z := html.NewTokenizer(strings.NewReader(doc)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if hidden == 0 {
				b.Write(z.Text())
				b.WriteByte(' ')
			}
		case html.StartTagToken:
			if name, _ := z.TagName(); isHidden(name) {
				hidden++
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); isHidden(name) && hidden > 0 {
				hidden--
			}
		case html.SelfClosingTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func isHidden(tag []byte) bool {
	return slices.Contains([]string{"style", "script", "title", "head"}, string(tag))
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
