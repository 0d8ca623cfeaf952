package quotes_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/signin"
	"quittance.internal/services/quotes"
)

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestSettingsHaveDefaults(t *testing.T) {
	cfg, err := quotes.ConfigFromEnv(lookup(map[string]string{"API_TOKENS": allTokens, "PUBLIC_URL": "https://q.example/"}))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != ":8081" || cfg.AdminAddr != "127.0.0.1:9103" || cfg.Mode != "test" || cfg.Durability.Mode != "server" || cfg.LogLevel != "info" ||
		cfg.PublicURL != "https://q.example" || cfg.NATS.Name != "quotes" || len(cfg.Tokens) != 5 {
		t.Errorf("settings = %+v", cfg)
	}
	if got := cfg.Tokens[4]; got.Name != "otto" || got.Role != signin.RoleSeller || got.Seller != "other" || cfg.Tokens[0].Seller != signin.DefaultSeller {
		t.Errorf("tokens = %+v", cfg.Tokens)
	}
}

func TestAllFaultsOfTheSettingsAreToldAtOnceAndNoToken(t *testing.T) {
	_, err := quotes.ConfigFromEnv(lookup(map[string]string{
		"QUOTES_ADDR": "8081", "QUOTES_ADMIN_ADDR": "x", "MODE": "prod", "DURABILITY": "maybe", "LOG_LEVEL": "loud", "PUBLIC_URL": "quotes.example",
		"API_TOKENS": "secret1,a:king:secret2,b:seller@x.y:secret3,c:seller:,d:seller:se cret4,e:seller:secret5,e:viewer:secret5,f:seller@acct_1:secret6", "REDIS_URL": "nowhere",
	}))
	if err == nil {
		t.Fatal("ConfigFromEnv = nil, want faults")
	}
	for _, want := range []string{
		"QUOTES_ADDR", "QUOTES_ADMIN_ADDR", "MODE", "DURABILITY", "LOG_LEVEL", "PUBLIC_URL", "REDIS_URL",
		"entry 1:", "the role of a", "the seller of b", "the token of c", "the token of d", "the name e is given twice", "has the token of e",
		"the seller of f",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("faults lack %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret4") {
		t.Errorf("faults quote a token: %v", err)
	}
	if _, err := quotes.ConfigFromEnv(lookup(nil)); err == nil || !strings.Contains(err.Error(), "API_TOKENS") {
		t.Errorf("without tokens = %v, want a fault", err)
	}
}

func TestTokensChangeWithTheirFile(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.TokensFile = filepath.Join(t.TempDir(), "tokens")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(f.cfg.TokensFile, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(allTokens)
	f.run(t)
	status := func(token string) int {
		return f.call(t, "GET", "/v1/quotes", "", "Authorization", "Bearer "+token).status
	}
	if status(sellerToken) != 200 {
		t.Fatal("the first token does not get in")
	}
	write("neu:seller:another-token-0123456789\n")
	eventually(t, "the new token", func() bool { return status("another-token-0123456789") == 200 })
	if status(sellerToken) != 401 {
		t.Error("the old token still gets in")
	}
	write("nobody")
	eventually(t, "the complaint", func() bool { return f.logs.FilterMessageSnippet("cannot be used").Len() == 1 })
	if status("another-token-0123456789") != 200 {
		t.Error("an unusable file locked everybody out")
	}
	write("neu:seller:third-token-012345678901")
	eventually(t, "the third token", func() bool { return status("third-token-012345678901") == 200 })
}

func TestTheServiceDoesNotStartOverAStreamThatForgets(t *testing.T) {
	f := start(t)
	cfg := f.cfg
	cfg.Durability.Mode = "server"
	if _, err := quotes.New(t.Context(), cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "NATS_MONITOR_URL") {
		t.Errorf("New without a monitor = %v, want it to say so", err)
	}
	cfg.Durability.MonitorURL = f.nats.MonitorURL
	if _, err := quotes.New(t.Context(), cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "sync") {
		t.Errorf("New over a server that syncs every two minutes = %v, want an error", err)
	}
	cfg = f.cfg
	cfg.Addr = f.service.Addr().String()
	if _, err := quotes.New(t.Context(), cfg, zap.NewNop()); err == nil {
		t.Error("New on an address in use = nil, want an error")
	}
}

// R75
func TestARequestInHandIsAnsweredAtTheEnd(t *testing.T) {
	f := start(t)
	addr := f.service.Addr().String()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	half := len(document) / 2
	_, err = fmt.Fprintf(conn, "POST /v1/quotes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s",
		sellerToken, len(document), document[:half])
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	// It says so when the handler begins to read the body: the request is in hand.
	res, err := http.ReadResponse(answers, nil)
	if err != nil || res.StatusCode != http.StatusContinue {
		t.Fatalf("first answer = %v, %v, want 100", res, err)
	}
	defer res.Body.Close()
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	eventually(t, "the service takes no more", func() bool {
		other, err := net.Dial("tcp", addr)
		if err == nil {
			_ = other.Close()
			return false
		}
		return true
	})
	if _, err := io.WriteString(conn, document[half:]); err != nil {
		t.Fatal(err)
	}
	res, err = http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Errorf("status %d, want 201", res.StatusCode)
	}
	<-stopped
}
