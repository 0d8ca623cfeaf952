package mailbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/wneessen/go-mail"
	"go.uber.org/zap/zaptest"

	"quittance.internal/services/allinone/mailbox"
)

// box is a running catcher.
type box struct {
	*mailbox.Service
	url  string
	stop func()
}

func start(t *testing.T, dir string) box {
	t.Helper()
	s, err := mailbox.New(t.Context(), mailbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: dir}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	b := box{Service: s, url: "http://" + s.Addr().String(), stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}}
	t.Cleanup(b.stop)
	return b
}

// send hands m over with the client that the notifier uses.
func (b box) send(t *testing.T, m *mail.Msg) {
	t.Helper()
	host, port, err := net.SplitHostPort(b.SMTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mail.NewClient(host, mail.WithPort(n), mail.WithTLSPolicy(mail.NoTLS))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DialAndSendWithContext(t.Context(), m); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func paidMail(t *testing.T, subject string) *mail.Msg {
	t.Helper()
	m := mail.NewMsg()
	for _, err := range []error{
		m.FromFormat("Quittance", "billing@shop.example"), m.To("Ada Owner <owner@shop.example>"), m.Bcc("archive@shop.example"),
		m.ReplyTo("help@shop.example"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.Subject(subject)
	m.SetMessageIDWithValue("q1@quittance.example")
	m.SetBodyString(mail.TypeTextPlain, "Quote Q-7 was paid.\nAmount: 1 234.50 PLN – thank you.\n")
	m.AddAlternativeString(mail.TypeTextHTML, `<html><head><style>p{color:red}</style></head><body><p>Quote <b>Q-7</b> was paid.</p><script>document.title="run"</script></body></html>`)
	if err := m.AttachReader("facts.json", strings.NewReader(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	return m
}

// reply is an answer that was read to its end.
type reply struct {
	code   int
	header http.Header
	body   string
}

func get(t *testing.T, url string) reply {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

func list(t *testing.T, b box, query string) mailbox.Messages {
	t.Helper()
	r := get(t, b.url+"/api/v1/messages"+query)
	if r.code != http.StatusOK {
		t.Fatalf("GET messages%s = %d %s", query, r.code, r.body)
	}
	var m mailbox.Messages
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// R73: the local mail catcher answers in Mailpit's shape, member for member, so that one script reads both.
func TestListHasMailpitsShape(t *testing.T) {
	b := start(t, t.TempDir())
	b.send(t, paidMail(t, "Paid: quote Q-7 – żółty"))
	body := get(t, b.url+"/api/v1/messages").body
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	first, ok := got["messages"].([]any)[0].(map[string]any)
	if !ok {
		t.Fatalf("messages = %s", body)
	}
	if _, err := time.Parse(time.RFC3339Nano, first["Created"].(string)); err != nil {
		t.Errorf("Created: %v", err)
	}
	if first["Size"].(float64) < 500 {
		t.Errorf("Size = %v, want the size of the whole message", first["Size"])
	}
	for _, vary := range []string{"ID", "Created", "Size"} {
		delete(first, vary)
	}
	address := func(name, addr string) map[string]any { return map[string]any{"Name": name, "Address": addr} }
	want := map[string]any{
		"total": 1.0, "unread": 1.0, "count": 1.0, "messages_count": 1.0, "messages_unread": 1.0, "start": 0.0, "tags": []any{},
		"messages": []any{map[string]any{
			"MessageID": "q1@quittance.example", "Read": false, "From": address("Quittance", "billing@shop.example"),
			"To": []any{address("Ada Owner", "owner@shop.example")}, "Cc": []any{}, "Bcc": []any{address("", "archive@shop.example")},
			"ReplyTo": []any{address("", "help@shop.example")}, "Subject": "Paid: quote Q-7 – żółty", "Username": "", "Tags": []any{},
			"Attachments": 1.0, "Snippet": "Quote Q-7 was paid. Amount: 1 234.50 PLN – thank you.",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GET messages (-want +got):\n%s", diff)
	}
}

func TestMessageShowsBothBodiesHeadersAndAttachment(t *testing.T) {
	b := start(t, t.TempDir())
	b.send(t, paidMail(t, "Paid"))
	id := list(t, b, "").Messages[0].ID
	body := get(t, b.url+"/api/v1/message/"+id).body
	var m mailbox.Message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	if want := "Quote Q-7 was paid.\nAmount: 1 234.50 PLN – thank you.\n"; m.Text != want {
		t.Errorf("Text = %q, want %q", m.Text, want)
	}
	if !strings.Contains(m.HTML, "<b>Q-7</b>") {
		t.Errorf("HTML = %q", m.HTML)
	}
	if len(m.Attachments) != 1 || m.Attachments[0].FileName != "facts.json" || m.Attachments[0].Size != 7 {
		t.Fatalf("Attachments = %+v", m.Attachments)
	}
	part := get(t, b.url+"/api/v1/message/"+id+"/part/"+m.Attachments[0].PartID)
	if part.body != `{"a":1}` || !strings.HasPrefix(part.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("part = %+v", part)
	}
	body = get(t, b.url+"/api/v1/message/latest/headers").body
	var headers map[string][]string
	if err := json.Unmarshal([]byte(body), &headers); err != nil {
		t.Fatal(err)
	}
	if got := headers["Message-Id"]; len(got) != 1 || got[0] != "<q1@quittance.example>" {
		t.Errorf("headers[Message-Id] = %q", got)
	}
	if got := list(t, b, ""); got.Unread != 0 || !got.Messages[0].Read {
		t.Errorf("after reading: unread %d, Read %v, want 0, true", got.Unread, got.Messages[0].Read)
	}
}

// The ambiguity rule of the notifier (same bytes, same Message-ID) can be checked only against the bytes as sent.
func TestRawIsByteForByteWhatWasSent(t *testing.T) {
	b := start(t, t.TempDir())
	m := paidMail(t, "Paid")
	b.send(t, m)
	var sent bytes.Buffer
	if _, err := m.WriteTo(&sent); err != nil {
		t.Fatal(err)
	}
	raw := get(t, b.url+"/api/v1/message/latest/raw").body
	cut := func(s string) string { // go-mail draws a new boundary on each rendering; everything before it is fixed
		head, _, _ := strings.Cut(s, "Content-Type: multipart/")
		return head
	}
	if diff := cmp.Diff(cut(sent.String()), cut(raw)); diff != "" || cut(raw) == raw {
		t.Errorf("raw (-sent +kept):\n%s", diff)
	}
}

func TestMailSurvivesARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	b := start(t, dir)
	for _, s := range []string{"one", "two", "three"} {
		b.send(t, paidMail(t, s))
	}
	id := list(t, b, "").Messages[0].ID
	get(t, b.url+"/api/v1/message/"+id)
	before := list(t, b, "")
	b.stop()
	after := start(t, dir)
	if diff := cmp.Diff(before, list(t, after, "")); diff != "" {
		t.Errorf("after the restart (-before +after):\n%s", diff)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the mail folder = %v, %v, want 0700", info.Mode(), err)
	}
}

func TestListPagesFromNewestToOldest(t *testing.T) {
	b := start(t, t.TempDir())
	for _, s := range []string{"one", "two", "three", "four"} {
		b.send(t, paidMail(t, s))
	}
	got := list(t, b, "?start=1&limit=2")
	var subjects []string
	for _, m := range got.Messages {
		subjects = append(subjects, m.Subject)
	}
	if diff := cmp.Diff([]string{"three", "two"}, subjects); diff != "" || got.Total != 4 || got.Count != 2 || got.Start != 1 {
		t.Errorf("page = %v, total %d, count %d, start %d", subjects, got.Total, got.Count, got.Start)
	}
	if r := get(t, b.url+"/api/v1/messages?limit=many"); r.code != http.StatusBadRequest {
		t.Errorf("limit=many = %d, want 400", r.code)
	}
}

func TestDeleteTakesNamedMailsOrAll(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	for _, s := range []string{"one", "two", "three"} {
		b.send(t, paidMail(t, s))
	}
	id := list(t, b, "").Messages[0].ID
	for _, step := range []struct {
		body string
		code int
		left int
	}{{`{"IDs":["` + id + `"]}`, 200, 2}, {`{"IDs":`, 400, 2}, {``, 200, 0}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, b.url+"/api/v1/messages", strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := list(t, b, ""); resp.StatusCode != step.code || got.Total != step.left {
			t.Errorf("DELETE %q = %d with %d left, want %d with %d", step.body, resp.StatusCode, got.Total, step.code, step.left)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestPagesRunNothingOfTheSender(t *testing.T) {
	b := start(t, t.TempDir())
	b.send(t, paidMail(t, `<script>alert(1)</script> & "Paid"`))
	id := list(t, b, "").Messages[0].ID
	for _, page := range []struct {
		path  string
		wants []string
	}{
		{"/", []string{"&lt;script&gt;alert(1)", "1 mail, 1 unread", "Quote Q-7 was paid."}},
		{"/mail/" + id, []string{`<iframe sandbox="allow-popups allow-popups-to-escape-sandbox"`, "/mail/" + id + "/document", "Ada Owner &lt;owner@shop.example&gt;"}},
		{"/mail/" + id + "/text", []string{"Amount: 1 234.50 PLN"}},
		{"/mail/" + id + "/raw", []string{"Message-ID: &lt;q1@quittance.example&gt;", "&lt;b&gt;Q-7"}},
		{"/mail/" + id + "/headers", []string{"Subject: "}},
	} {
		path := page.path
		r := get(t, b.url+path)
		csp, body := r.header.Get("Content-Security-Policy"), r.body
		if r.code != http.StatusOK || !strings.HasPrefix(csp, "default-src 'none'; style-src 'self';") {
			t.Errorf("GET %s = %d, policy %q", path, r.code, csp)
		}
		if strings.Contains(body, "<script") {
			t.Errorf("GET %s holds a script element", path)
		}
		for _, want := range page.wants {
			if !strings.Contains(body, want) {
				t.Errorf("GET %s lacks %q:\n%s", path, want, body)
			}
		}
	}
	if text := get(t, b.url+"/view/latest.txt").body; text != "Quote Q-7 was paid.\nAmount: 1 234.50 PLN – thank you.\n" {
		t.Errorf("GET /view/latest.txt = %q", text)
	}
	for _, path := range []string{"/mail/" + id + "/document", "/view/" + id + ".html"} {
		if csp := get(t, b.url+path).header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "sandbox allow-popups") || strings.Contains(csp, "allow-scripts") {
			t.Errorf("policy of %s = %q", path, csp)
		}
	}
	for _, path := range []string{"/mail/nothing", "/view/nothing.txt", "/view/latest.exe", "/mail/" + id + "/else", "/api/v1/message/nothing", "/api/v1/message/..%2fx/raw"} {
		if r := get(t, b.url+path); r.code != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, r.code)
		}
	}
}

func TestForeignPageCannotEmptyTheInbox(t *testing.T) {
	b := start(t, t.TempDir())
	b.send(t, paidMail(t, "Paid"))
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-origin": http.StatusSeeOther} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/delete", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("POST /delete from %s = %d, want %d", site, resp.StatusCode, want)
		}
	}
}

func TestBrokenMailIsKeptAndShown(t *testing.T) {
	for name, raw := range map[string]string{
		"no header":       "just a line of text\r\n",
		"odd charset":     "Subject: =?windows-1250?Q?za=BF=F3=B3=E6?=\r\nContent-Type: text/plain; charset=windows-1250\r\n\r\nza\xbf\xf3\xb3\xe6\r\n",
		"cut multipart":   "Subject: cut\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhalf",
		"broken base64":   "Subject: b64\r\nContent-Transfer-Encoding: base64\r\n\r\naGFsZg==!!!!\r\n",
		"no such address": "From: not an address\r\nTo: <<>>\r\n\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "0000000000000001.eml"), []byte(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			b := start(t, dir)
			if got := list(t, b, ""); got.Total != 1 {
				t.Fatalf("total = %d, want 1", got.Total)
			}
			for _, path := range []string{"/mail/latest", "/mail/latest/raw", "/api/v1/message/latest"} {
				if r := get(t, b.url+path); r.code != http.StatusOK || !strings.Contains(r.header.Get("Content-Type"), "utf-8") && !json.Valid([]byte(r.body)) {
					t.Errorf("GET %s = %d %s", path, r.code, r.body)
				}
			}
			if name == "odd charset" {
				body := get(t, b.url+"/mail/latest/text").body
				if strings.Count(body, "zażółć"[:7]) < 2 {
					t.Errorf("the text in windows-1250 is not readable:\n%s", body)
				}
			}
		})
	}
}

func TestProbesAnswer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	b := start(t, dir)
	if r := get(t, b.url+"/livez"); r.code != http.StatusOK {
		t.Errorf("/livez = %d", r.code)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if r := get(t, b.url+"/readyz"); r.code != http.StatusServiceUnavailable {
		t.Errorf("/readyz without its folder = %d, want 503", r.code)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"))
	f.Add([]byte("Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=00<p>=3D"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m := mailbox.Parse(raw); !utf8.ValidString(m.Text+m.HTML+m.Subject) || len(m.Attachments)+len(m.Inline) > 200 {
			t.Errorf("Parse = %+v, want valid UTF-8 and at most 200 parts", m)
		}
		if s := mailbox.Snippet(raw); utf8.RuneCountInString(s) > 251 {
			t.Errorf("Snippet = %d characters, want 251 at most", utf8.RuneCountInString(s))
		}
	})
}
