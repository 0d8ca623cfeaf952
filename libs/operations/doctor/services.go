package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/operations/scrape"
	"quittance.internal/libs/operations/signatures"
)

// services looks whether each is ready and of which version it is.
func (p *Patient) services(ctx context.Context) []Result {
	var all []Result
	versions := map[string][]string{}
	for _, s := range p.Services {
		if s.URL == "" {
			all = append(all, result("service "+s.Name, NotChecked, "set "+s.Setting, "%s is not set", s.Setting))
			continue
		}
		samples, err := scrape.Read(ctx, s.URL)
		if err != nil {
			all = append(all, result("service "+s.Name, Fail, "deploy/runbooks/service-down.md", "%v", err))
			continue
		}
		version := "of a version without quittance_build_info"
		for _, b := range samples.Of("quittance_build_info") {
			version = b.Labels["version"]
		}
		versions[version] = append(versions[version], s.Name)
		if why := unready(ctx, s.URL); why != "" {
			all = append(all, result("service "+s.Name, Fail, "deploy/runbooks/service-not-ready.md", "%s, not ready: %s", version, why))
			continue
		}
		all = append(all, result("service "+s.Name, OK, "", "ready, %s", version))
	}
	if len(versions) > 2 {
		all = append(all, result("versions", Fail, "deploy/runbooks/versions-differ.md", "%d versions run side by side; only N and N-1 are tested together: %s", len(versions), list(versions)))
	} else if len(versions) == 2 {
		all = append(all, result("versions", Warn, "finish the upgrade", "two versions run side by side: %s", list(versions)))
	}
	return all
}

func list(versions map[string][]string) string {
	var parts []string
	for v, names := range versions {
		parts = append(parts, v+" ("+strings.Join(names, ", ")+")")
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// unready is why a service says that it is not ready, or "".
func unready(ctx context.Context, admin string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", http.NoBody)
	if err != nil {
		return err.Error()
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return ""
	}
	var body struct{ Reason string }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&body); err != nil || body.Reason == "" {
		return res.Status
	}
	return body.Reason
}

// signatures tells why signatures failed since ingress started.
func (p *Patient) signatures(ctx context.Context) []Result {
	const name = "signatures"
	i := slices.IndexFunc(p.Services, func(s Service) bool { return s.Name == "ingress" })
	if i < 0 || p.Services[i].URL == "" {
		return skipped(name, "set INGRESS_ADMIN_URL", "why signatures failed: INGRESS_ADMIN_URL is not set")
	}
	figures, err := signatures.Read(ctx, p.Services[i].URL, p.Now)
	if err != nil {
		return skipped(name, "deploy/runbooks/service-down.md", "%v", err)
	}
	var all []Result
	for _, reason := range slices.Sorted(maps.Keys(figures.Bad)) {
		n, why := figures.Bad[reason], signatures.Meaning(reason)
		if n == 0 || why == "" {
			continue
		}
		r := result(name, Warn, "deploy/runbooks/signatures-fail.md", "%.0f failed since ingress started: %s (%s)", n, reason, why)
		if last := figures.LastBad[reason]; !last.IsZero() {
			r.Found += ", the last at " + last.Format(time.RFC3339)
		}
		if signatures.Strangers(reason) {
			r.Status, r.Next = OK, ""
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		all = append(all, result(name, OK, "", "none has failed since ingress started"))
	}
	return all
}

// SubjectRelay is where the notifier takes the request to try its relay.
const SubjectRelay = "op.notifier.relay"

// relay lets the notifier try its relay with its own password: connect, encrypt, log in, and no mail.
func (p *Patient) relay(ctx context.Context) []Result {
	const name = "mail relay"
	if p.Log == nil {
		return skipped(name, nextNATS, "no connection to NATS")
	}
	m, err := p.Log.JetStream().Conn().RequestWithContext(ctx, SubjectRelay, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return skipped(name, "deploy/runbooks/service-down.md", "no notifier of this version answers")
	case err != nil:
		return skipped(name, "deploy/runbooks/relay-down.md", "the notifier did not answer in time: %v", err)
	}
	var answer struct{ Relay, Error string }
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return skipped(name, "", "the notifier's answer cannot be read: %v", err)
	}
	if answer.Error != "" {
		return []Result{result(name, Fail, "deploy/runbooks/relay-down.md", "%s: %s", answer.Relay, answer.Error)}
	}
	return []Result{result(name, OK, "", "%s: connected, greeted and logged in, no mail sent", answer.Relay)}
}
