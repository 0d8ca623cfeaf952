package allinone_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	smtp "github.com/emersion/go-smtp"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/console"
	"quittance.internal/services/ingress"
	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

// canary stands in every name, address and text of a person that the test gives the system. In an e-mail address it is in
// the part before the @, for the domain may be logged.
const canary = "kanarek"

// R74 of the system as a whole: whatever happens to a quote, good or bad, no name, e-mail address, page address or secret shows in any service's logs, also
// not at their most talkative, or among its metrics.
func TestNoNameAddressOrSecretShowsInLogsOrMetrics(t *testing.T) {
	lines := &screen{}
	d := deploy(t)
	log, err := logging.New(lines, "debug", "system")
	if err != nil {
		t.Fatal(err)
	}
	d.log = log
	relay := processtest.StartMail(t)
	relay.Refuse(func(recipient string) *smtp.SMTPError {
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "not now, <" + recipient + ">"}
	})

	d.quotectl("declare", nil, "declare")
	pay := run(d, "payments", payments.ConfigFromEnv, payments.New)
	not := runWith(d, "notifier", map[string]string{"SMTP_URL": "smtp://" + relay.Addr}, notifier.ConfigFromEnv, notifier.New)
	ing := run(d, "ingress", ingress.ConfigFromEnv, ingress.New)
	door := "http://" + ing.Addr().String() + "/webhooks/stripe"
	stripe := runWith(d, "sandbox", map[string]string{"SANDBOX_WEBHOOK_URL": door, "SANDBOX_PUBLIC_URL": ""}, sandbox.ConfigFromEnv, sandbox.New)
	prepareSandbox(t, d.secrets, "SANDBOX="+stripe.Addr().String(), "SANDBOX_PUBLIC_URL="+stripe.URL())
	quo := runWith(d, "quotes", map[string]string{"INGRESS_URL": "http://" + ing.Addr().String()}, quotes.ConfigFromEnv, quotes.New)
	con := run(d, "console", console.ConfigFromEnv, console.New)
	waitReady(t, ing.AdminAddr(), pay.Addr(), not.Addr(), quo.Addr(), stripe.Addr(), con.AdminAddr())
	api, token := "http://"+quo.Addr().String(), readFile(t, d.secrets, "operator/api_token")

	quote, page := publishCanary(t, api, token)
	secrets := []string{page[strings.LastIndex(page, "/")+1:]}
	page = api + strings.TrimPrefix(page, *d.project.Services["quotes"].Environment["PUBLIC_URL"])
	eventually(t, "the page is there", func() bool { return get(t, page) == http.StatusOK })

	// Stripe fails first, and repeats what it was sent when it does.
	call(t, http.MethodPost, stripe.URL()+"/sandbox/faults", "", `{"kind":"server_error","path":"/v1/customers*"}`)
	_ = status(t, page+"/checkout", "application/x-www-form-urlencoded", "", nil)
	paying := press(t, page+"/checkout", nil)
	press(t, paying, url.Values{"action": {"pay"}, "email": {canary + ".buyer@acme.example"}, "name": {canary}})

	// Webhooks that are refused, cannot be read, or name what does not exist.
	webhook := readFile(t, d.secrets, "keep/sandbox_webhook_secret")
	event := func(id, reference string) string {
		return fmt.Sprintf(`{"id":"evt_%s","object":"event","type":"checkout.session.completed","created":%d,"livemode":false,"data":{"object":{`+
			`"id":"cs_%s","object":"checkout.session","client_reference_id":%q,"customer_email":"%s@acme.example","payment_status":"paid",`+
			`"customer_details":{"name":"%s"},"amount_total":1,"currency":"eur"}}}`, id, time.Now().Unix(), id, reference, canary, canary)
	}
	for _, hook := range []struct {
		body, secret string
		want         int
	}{
		{event("1", quote), "whsec_" + canary, http.StatusBadRequest},
		{"{" + canary, webhook, http.StatusOK},
		{event("2", canary+"<b>."), webhook, http.StatusOK},
		{event("3", quote), webhook, http.StatusOK},
	} {
		if got := status(t, door, "application/json", signed(hook.secret, hook.body), []byte(hook.body)); got != hook.want {
			t.Errorf("ingress answers %d to %q, want %d", got, hook.body, hook.want)
		}
	}
	for _, bad := range []string{"/v1/quotes/" + canary + "@acme.example", "/q/" + canary, "/signin?next=" + canary} {
		_ = get(t, api+bad)
		_ = get(t, "http://"+con.Addr().String()+bad)
	}
	_ = status(t, api+"/v1/quotes", "application/json", "", []byte(`{"title":"`+canary+`"`))
	_ = status(t, api+"/signin", "application/x-www-form-urlencoded", "", []byte("token="+canary))

	eventually(t, "the quote is paid", func() bool {
		text, _ := call(t, http.MethodGet, api+"/v1/quotes/"+quote+"/card", token, "")["text"].(string)
		return strings.HasPrefix(text, "Paid: ")
	})
	eventually(t, "a mail was refused for now", func() bool { return strings.Contains(lines.String(), "450") })
	relay.Refuse(func(recipient string) *smtp.SMTPError {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user <" + recipient + ">"}
	})
	again, _ := publishCanary(t, api, token)
	d.quotectl("quotectl", map[string]string{"QUOTES_URL": api, "INGRESS_URL": "http://" + ing.Addr().String(), "MAILBOX_URL": ""},
		"simulate", "paid", "--quote", again, "--settle", "100ms")
	eventually(t, "a mail was refused for good", func() bool { return strings.Contains(lines.String(), "550") })

	var metrics strings.Builder
	for _, admin := range []net.Addr{ing.AdminAddr(), pay.Addr(), not.Addr(), quo.AdminAddr(), con.AdminAddr()} {
		metrics.WriteString(fetch(t, "http://"+admin.String()+"/metrics"))
	}
	secrets = append(secrets, kept(t, filepath.Join(d.secrets, "keep"))...)
	for where, text := range map[string]string{"log": lines.String(), "metrics": metrics.String()} {
		if len(text) < 2000 {
			t.Errorf("%s: %d bytes are too few to have been looked through", where, len(text))
		}
		for _, secret := range append(secrets, canary) {
			for line := range strings.Lines(text) {
				if strings.Contains(strings.ToLower(line), strings.ToLower(secret)) {
					t.Errorf("%s shows %q: %s", where, secret, line)
				}
			}
		}
	}
}

// publishCanary publishes a quote whose every free text holds the canary, and returns its id and its page's address.
func publishCanary(t *testing.T, api, token string) (quote, page string) {
	t.Helper()
	document := strings.ReplaceAll(`{"title":"CANARY","deal":{"id":"deal_1","name":"CANARY"},"currency":"eur",
		"line_items":[{"name":"CANARY","quantity":2,"unit_amount":50000}],
		"owner":{"name":"CANARY","email":"CANARY.owner@seller.example","time_zone":"Europe/Warsaw"},
		"contact":{"email":"CANARY.contact@acme.example","first_name":"CANARY","last_name":"CANARY","company":"CANARY"},
		"payment":{"stripe":true}}`, "CANARY", canary)
	quote, _ = call(t, http.MethodPost, api+"/v1/quotes", token, document)["id"].(string)
	call(t, http.MethodPost, api+"/v1/quotes/"+quote+"/publish", token, "")
	page, _ = call(t, http.MethodGet, api+"/v1/quotes/"+quote, token, "")["url"].(string)
	if quote == "" || page == "" {
		t.Fatalf("quote %q has the page %q", quote, page)
	}
	return quote, page
}

// signed is the header that Stripe signs a body with.
func signed(secret, body string) string {
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, at+"."+body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// status posts and returns the answer's status.
func status(t *testing.T, target, media, signature string, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func fetch(t *testing.T, target string) string {
	t.Helper()
	res, err := http.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %s, %v", target, res.Status, err)
	}
	return string(b)
}

// kept are the secrets in the files of a folder.
func kept(t *testing.T, dir string) []string {
	t.Helper()
	var secrets []string
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		secrets = append(secrets, strings.TrimSpace(string(b)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(secrets) < 5 {
		t.Fatalf("%s holds %d secrets, which cannot be all", dir, len(secrets))
	}
	return secrets
}
