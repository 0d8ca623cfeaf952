package sandbox_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"
	"go.uber.org/zap"

	"quittance.internal/services/sandbox"
)

// What a merchant has authorized stands after the sandbox was started again, and what he took back stays taken back.
func TestConnectionsOutliveTheSandbox(t *testing.T) {
	cfg := sandbox.Config{AccountsFile: filepath.Join(t.TempDir(), "accounts.json")}
	first := start(t, cfg)
	page := first.url + "/oauth/authorize?" + form("client_id", sandbox.DefaultClientID, "response_type", "code", "redirect_uri", "http://127.0.0.1:8081/connect")
	post := func(action string) string {
		t.Helper()
		_, location := call(t, http.MethodPost, page, form("action", action, "account", "acct_1SandboxNewShop"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		return location
	}
	post("activate")
	back, err := url.Parse(post("authorize"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.OAuth.New(&stripe.OAuthTokenParams{
		ClientSecret: stripe.String(sandbox.DefaultTestKey), Code: stripe.String(back.Query().Get("code")), GrantType: stripe.String("authorization_code"),
	}); err != nil {
		t.Fatal(err)
	}

	second := start(t, cfg)
	account, err := second.Accounts.GetByID("acct_1SandboxNewShop", nil)
	if err != nil || !account.ChargesEnabled {
		t.Errorf("after the restart the account is %+v, %v; want connected and activated", account, err)
	}
	if _, err := second.Accounts.GetByID(seller, nil); err == nil {
		t.Error("after the restart an account is connected that never was")
	}
	second.admin(t, http.MethodPost, "/sandbox/accounts/acct_1SandboxNewShop", `{"connected":false}`)

	third := start(t, cfg)
	if _, err := third.Accounts.GetByID("acct_1SandboxNewShop", nil); err == nil {
		t.Error("the connection that was taken back is there again")
	}
}

func TestAnUnreadableAccountsFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.New(t.Context(), sandbox.Config{Addr: "127.0.0.1:0", AccountsFile: path}, zap.NewNop()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("New = %v, want the file that is at fault", err)
	}
}
