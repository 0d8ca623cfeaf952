package sandbox

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// endpoint is a webhook endpoint. o is the object of the API.
type endpoint struct {
	owner   *world
	o       object
	connect bool
	thin    bool
	secrets []signingSecret
	busy    bool // a batch of deliveries is on its way
}

type signingSecret struct {
	value string
	until time.Time // zero for the active one
}

func (p *endpoint) version() string { return p.o.str("api_version") }

func (p *endpoint) enabled() bool { return p.o.str("status") == "enabled" }

// wants reports whether the endpoint gets the event.
func (p *endpoint) wants(e *event) bool {
	if !p.enabled() || !sentAt(e.typ, p.version()) {
		return false
	}
	if !slices.ContainsFunc(strsOf(p.o["enabled_events"]), func(pattern string) bool { return pattern == "*" || pattern == e.typ }) {
		return false
	}
	if !p.connect {
		return e.world == p.owner
	}
	if e.world.account == p.owner.account || p.owner.account.id != PlatformAccount {
		return false
	}
	// A live Connect endpoint also gets the test events of accounts that are connected in live mode.
	return e.world.live == p.owner.live && e.world.account.connected(e.world.live) || p.owner.live && e.world.account.connectedLive
}

// maxEndpoints is Stripe's limit for one account.
const maxEndpoints = 16

const endpointSpec = `
description empty
metadata meta
`

func endpointRoutes() []route {
	const p = "/v1/webhook_endpoints"
	return []route{
		{"POST " + p, parseSpec(endpointSpec + "*url str\n*enabled_events strs\nconnect bool\napi_version str"), createEndpoint},
		{"GET " + p, parseSpec(pageSpec), func(c *call) (any, error) {
			return c.page(withoutSecrets(c.all("webhook_endpoint", nil)), p)
		}},
		{"GET " + p + "/{id}", parseSpec(""), func(c *call) (any, error) {
			o, err := c.find("webhook_endpoint", c.id, "id")
			return o.without("secret"), err
		}},
		{"POST " + p + "/{id}", parseSpec(endpointSpec + "url str\nenabled_events strs\ndisabled bool"), updateEndpoint},
		{"DELETE " + p + "/{id}", parseSpec(""), deleteEndpoint},
	}
}

func withoutSecrets(all []object) []object {
	for i, o := range all {
		all[i] = o.without("secret")
	}
	return all
}

func createEndpoint(c *call) (any, error) {
	if err := checkURL(c.p.str("url"), c.live); err != nil {
		return nil, err
	}
	if len(c.all("webhook_endpoint", nil)) >= maxEndpoints {
		return nil, refuse("", "", "You have reached the maximum of %d %s webhook endpoints.", maxEndpoints, c.mode())
	}
	version := Version20231016
	if v := c.p.str("api_version"); v != "" {
		if !knownVersion(v) {
			return nil, unsupported("api_version", "API version %s; it renders %s and %s", v, Version20231016, VersionBasil)
		}
		version = v
	}
	p := c.sim.addEndpoint(c.world, Webhook{URL: c.p.str("url"), Connect: c.p.bool("connect"), APIVersion: version}, "whsec_"+c.sim.id("", 32))
	p.o["enabled_events"] = c.p["enabled_events"]
	p.o["description"] = c.p.or("description", nil)
	p.o["metadata"] = c.p.or("metadata", object{})
	return p.o.with(object{"secret": p.secrets[0].value}), nil
}

func checkURL(raw string, live bool) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return refuse("url_invalid", "url", "Invalid URL: must be an absolute http or https URL.")
	}
	if live && u.Scheme != "https" {
		return refuse("url_invalid", "url", "Invalid URL: URLs must be HTTPS in live mode.")
	}
	return nil
}

func (w *world) mode() string {
	if w.live {
		return "live"
	}
	return "test"
}

// addEndpoint makes an enabled endpoint for all events.
func (s *sim) addEndpoint(w *world, h Webhook, secret string) *endpoint {
	p := &endpoint{owner: w, connect: h.Connect, secrets: []signingSecret{{value: secret}}}
	p.o = w.add(object{
		"id": s.id("we_1", 23), "object": "webhook_endpoint", "api_version": h.APIVersion, "application": nil, "description": nil,
		"enabled_events": []any{"*"}, "metadata": object{}, "status": "enabled", "url": h.URL, "_connect": h.Connect,
	})
	s.endpoints = append(s.endpoints, p)
	return p
}

func (s *sim) endpoint(id string) *endpoint {
	for _, p := range s.endpoints {
		if p.o.str("id") == id {
			return p
		}
	}
	return nil
}

func updateEndpoint(c *call) (any, error) {
	o, err := c.find("webhook_endpoint", c.id, "id")
	if err != nil {
		return nil, err
	}
	if u := c.p.str("url"); u != "" {
		if err := checkURL(u, c.live); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"url", "enabled_events", "description"} {
		if c.p.has(name) {
			o[name] = c.p[name]
		}
	}
	if c.p.has("metadata") {
		o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
	}
	if c.p.has("disabled") {
		o["status"] = "enabled"
		if c.p.bool("disabled") {
			o["status"] = "disabled"
			c.sim.giveUp(c.sim.endpoint(c.id))
		}
	}
	return o, nil
}

func deleteEndpoint(c *call) (any, error) {
	if _, err := c.find("webhook_endpoint", c.id, "id"); err != nil {
		return nil, err
	}
	p := c.sim.endpoint(c.id)
	p.o["status"] = "disabled"
	c.sim.giveUp(p)
	c.sim.endpoints = slices.DeleteFunc(c.sim.endpoints, func(q *endpoint) bool { return q == p })
	delete(c.objects, c.id)
	return object{"id": c.id, "object": "webhook_endpoint", "deleted": true}, nil
}

// roll gives the endpoint a new secret; the old one signs beside it for keep.
func (p *endpoint) roll(secret string, now time.Time, keep time.Duration) {
	old := p.secrets[0]
	p.secrets = []signingSecret{{value: secret}}
	if keep > 0 {
		old.until = now.Add(keep)
		p.secrets = append(p.secrets, old)
	}
}

// begin sets up what the configuration asks for.
func (s *sim) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readAccounts(); err != nil {
		return err
	}
	for _, h := range s.cfg.Webhooks {
		if err := checkURL(h.URL, false); err != nil {
			return fmt.Errorf("webhook %s: %w", h.URL, err)
		}
		if h.APIVersion == "" {
			h.APIVersion = Version20231016
		}
		if !knownVersion(h.APIVersion) {
			return fmt.Errorf("webhook %s: API version %s is neither %s nor %s", h.URL, h.APIVersion, Version20231016, VersionBasil)
		}
		s.addEndpoint(s.world(PlatformAccount, h.Live), h, h.Secret.Reveal())
	}
	return nil
}
