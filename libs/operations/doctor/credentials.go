package doctor

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"quittance.internal/libs/platform/env"
)

// SecretFile is a file of this machine that a setting names and that holds a secret.
type SecretFile struct{ Setting, Path string }

// API is the quotes service's, and the token with which it is asked.
type API struct {
	URL   string
	Token env.Secret
}

// secretFiles looks who may read the files that hold the secrets used here.
func (p *Patient) secretFiles(context.Context) []Result {
	const name = "secret files"
	const others = 0o007 // read, write or search by anybody on the machine
	if len(p.SecretFiles) == 0 {
		return skipped(name, "", "no secret is given by a file")
	}
	var all []Result
	for _, f := range p.SecretFiles {
		info, err := os.Stat(f.Path)
		switch {
		case err != nil:
			all = append(all, result(name, NotChecked, "check "+f.Setting, "%v", err))
		case info.Mode().Perm()&others != 0:
			all = append(all, result(name, Warn, "chmod o-rwx "+f.Path, "%s (%s) has mode %04o: anybody on this machine may read or change it", f.Path, f.Setting, info.Mode().Perm()))
		}
	}
	if len(all) == 0 {
		all = append(all, result(name, OK, "", "%d looked at, none is for others to read", len(p.SecretFiles)))
	}
	return all
}

// token looks whether quotes knows the token, and whether it asks for one at all.
func (p *Patient) token(ctx context.Context) []Result {
	const name = "api token"
	const path = "/v1/policy" // the same for everybody who may read
	if p.API.URL == "" {
		return nil
	}
	bare, err := p.ask(ctx, path, "")
	if err != nil {
		return skipped(name, "deploy/runbooks/service-down.md", "%v", err)
	}
	if bare == http.StatusOK {
		return []Result{result(name, Fail, "is QUOTES_URL quotes' own address? then look at API_TOKENS", "%s answers without a token", p.API.URL)}
	}
	if p.API.Token.IsZero() {
		return skipped(name, "set API_TOKEN", "API_TOKEN is not set")
	}
	const next = "set API_TOKEN to one of quotes' API_TOKENS"
	switch code, err := p.ask(ctx, path, p.API.Token.Reveal()); {
	case err != nil:
		return skipped(name, "deploy/runbooks/service-down.md", "%v", err)
	case code == http.StatusOK:
		return []Result{result(name, OK, "", "quotes takes it, and answers nobody without one")}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return []Result{result(name, Fail, next, "quotes does not take it: %d %s", code, http.StatusText(code))}
	default:
		return skipped(name, "deploy/runbooks/service-not-ready.md", "quotes answers %d %s", code, http.StatusText(code))
	}
}

// ask returns the status of an answer of quotes.
func (p *Patient) ask(ctx context.Context, path, token string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.API.URL+path, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("ask quotes: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask quotes: %w", err)
	}
	defer res.Body.Close()
	return res.StatusCode, nil
}
