package mailbox

import (
	"crypto/md5"  //nolint:gosec // Mailpit's API names these sums; nothing is decided by them
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Address is one mail address. The names of this file's JSON members are Mailpit's.
type Address struct {
	Name    string
	Address string
}

// Summary is one mail of the list.
type Summary struct {
	ID        string
	MessageID string
	Read      bool
	From      Address
	To        []Address
	Cc        []Address
	Bcc       []Address
	ReplyTo   []Address
	Subject   string
	// Created is when the mail arrived, UTC.
	Created  time.Time
	Username string
	Tags     []string
	// Size is in bytes, headers included.
	Size        int
	Attachments int
	// Snippet is the beginning of the text, at most 250 characters.
	Snippet string
}

// Messages is the answer of GET /api/v1/messages, newest mail first.
type Messages struct {
	Total          int       `json:"total"`
	Unread         int       `json:"unread"`
	Count          int       `json:"count"`
	MessagesCount  int       `json:"messages_count"`
	MessagesUnread int       `json:"messages_unread"`
	Start          int       `json:"start"`
	Tags           []string  `json:"tags"`
	Messages       []Summary `json:"messages"`
}

// Message is the answer of GET /api/v1/message/{id}.
type Message struct {
	ID         string
	MessageID  string
	From       Address
	To         []Address
	Cc         []Address
	Bcc        []Address
	ReplyTo    []Address
	ReturnPath string
	Subject    string
	// Date is the message's own date, or when it arrived.
	Date        time.Time
	Tags        []string
	Username    string
	Text        string
	HTML        string
	Size        int
	Inline      []Attachment
	Attachments []Attachment
}

// Attachment is a part of a message that is not its text.
type Attachment struct {
	PartID      string
	FileName    string
	ContentType string
	ContentID   string
	Size        int
	Checksums   struct{ MD5, SHA1, SHA256 string }
}

func (p *parsed) summary(id string, env envelope) Summary {
	return Summary{
		ID: id, MessageID: p.messageID(), Read: env.Read, From: p.from(env),
		To: p.addresses("To"), Cc: p.addresses("Cc"), Bcc: append([]Address{}, p.bcc...), ReplyTo: p.addresses("Reply-To"),
		Subject: p.subject(), Created: env.Received, Tags: []string{}, Size: p.size,
		Attachments: len(p.attachments), Snippet: p.snippet(),
	}
}

func (p *parsed) message(id string, env envelope) Message {
	m := Message{
		ID: id, MessageID: p.messageID(), From: p.from(env),
		To: p.addresses("To"), Cc: p.addresses("Cc"), Bcc: append([]Address{}, p.bcc...), ReplyTo: p.addresses("Reply-To"),
		ReturnPath: env.From, Subject: p.subject(), Date: p.date, Tags: []string{}, Text: p.text, HTML: p.html, Size: p.size,
		Inline: []Attachment{}, Attachments: []Attachment{},
	}
	for _, a := range p.attachments {
		if a.inline {
			m.Inline = append(m.Inline, a.attachment())
			continue
		}
		m.Attachments = append(m.Attachments, a.attachment())
	}
	return m
}

func (a part) attachment() Attachment {
	out := Attachment{PartID: a.id, FileName: a.fileName, ContentType: a.contentType, ContentID: a.contentID, Size: len(a.data)}
	m5, s1, s2 := md5.Sum(a.data), sha1.Sum(a.data), sha256.Sum256(a.data) //nolint:gosec // see the imports
	out.Checksums.MD5 = hex.EncodeToString(m5[:])
	out.Checksums.SHA1 = hex.EncodeToString(s1[:])
	out.Checksums.SHA256 = hex.EncodeToString(s2[:])
	return out
}

func (h *handler) apiRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/messages", h.listMessages)
	mux.HandleFunc("DELETE /api/v1/messages", h.deleteMessages)
	mux.HandleFunc("GET /api/v1/message/{id}", h.getMessage)
	mux.HandleFunc("GET /api/v1/message/{id}/headers", h.getHeaders)
	mux.HandleFunc("GET /api/v1/message/{id}/raw", h.getRaw)
	mux.HandleFunc("GET /api/v1/message/{id}/part/{part}", h.getPart)
	mux.HandleFunc("GET /view/{file}", h.view)
}

func (h *handler) listMessages(w http.ResponseWriter, r *http.Request) {
	start, limit, ok := window(r)
	if !ok {
		http.Error(w, "start and limit are whole numbers, 0 or more", http.StatusBadRequest)
		return
	}
	page, total, unread := h.store.list(start, limit)
	h.json(w, Messages{
		Total: total, Unread: unread, Count: len(page), MessagesCount: total, MessagesUnread: unread,
		Start: start, Tags: []string{}, Messages: page,
	})
}

// window reads start (default 0) and limit (default 50) of the query.
func window(r *http.Request) (start, limit int, ok bool) {
	limit = 50
	for name, v := range map[string]*int{"start": &start, "limit": &limit} {
		s := r.URL.Query().Get(name)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return 0, 0, false
		}
		*v = n
	}
	return start, limit, true
}

func (h *handler) deleteMessages(w http.ResponseWriter, r *http.Request) {
	var body struct{ IDs []string }
	if r.ContentLength != 0 { // -1 is a body of unknown length
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
			// Mailpit deletes everything here; a list that cannot be read is no order to delete all mail.
			http.Error(w, `the body must be {"IDs":["…"]} or empty`, http.StatusBadRequest)
			return
		}
	}
	if err := h.store.remove(body.IDs); err != nil {
		h.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok")) // the client may have gone
}

func (h *handler) getMessage(w http.ResponseWriter, r *http.Request) {
	if m, p, _, ok := h.load(w, r); ok {
		h.json(w, p.message(m.id, m.env))
	}
}

func (h *handler) getHeaders(w http.ResponseWriter, r *http.Request) {
	if _, p, _, ok := h.load(w, r); ok {
		h.json(w, p.header)
	}
}

func (h *handler) getRaw(w http.ResponseWriter, r *http.Request) {
	m, _, raw, ok := h.load(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Query().Get("dl") == "1" {
		w.Header().Set("Content-Disposition", `attachment; filename="`+m.id+`.eml"`)
	}
	_, _ = w.Write(raw) //nolint:gosec // plain text with nosniff; and the client may have gone
}

// getPart serves an attachment, always as a download: no sender gets to run a document on this origin.
func (h *handler) getPart(w http.ResponseWriter, r *http.Request) {
	_, p, _, ok := h.load(w, r)
	if !ok {
		return
	}
	for _, a := range p.attachments {
		if a.id != r.PathValue("part") {
			continue
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": orDefault(a.fileName, "part-"+a.id)}))
		_, _ = w.Write(a.data) // the client may have gone
		return
	}
	http.NotFound(w, r)
}

// view serves one body by itself, as Mailpit does at the same address: latest.txt, <id>.html.
func (h *handler) view(w http.ResponseWriter, r *http.Request) {
	id, ext, _ := strings.Cut(r.PathValue("file"), ".")
	r.SetPathValue("id", id)
	_, p, _, ok := h.load(w, r)
	switch {
	case !ok:
	case ext == "html" && p.html != "":
		h.sendersHTML(w, p.html)
	case ext == "txt":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(p.text)) // the client may have gone
	default:
		http.NotFound(w, r)
	}
}

// load reads the mail that the path names, or answers the request itself.
func (h *handler) load(w http.ResponseWriter, r *http.Request) (kept, parsed, []byte, bool) {
	m, raw, err := h.store.get(r.PathValue("id"))
	if errors.Is(err, errNotFound) {
		http.NotFound(w, r)
		return kept{}, parsed{}, nil, false
	}
	if err != nil {
		h.fail(w, err)
		return kept{}, parsed{}, nil, false
	}
	return m, parse(raw, m.env), raw, true
}

func (h *handler) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func (h *handler) fail(w http.ResponseWriter, err error) {
	h.log.Error("request not answered", zap.Error(err))
	http.Error(w, "the mail folder could not be used", http.StatusInternalServerError)
}
