package doctor

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/stripegate"
)

// deauthorized is sent to endpoints for connected accounts alone.
const deauthorized = "account.application.deauthorized"

// connects reports whether an endpoint is for the events of connected accounts. Stripe names its application, or it is sent
// what only such an endpoint is.
func connects(e stripegate.Endpoint) bool {
	return e.Application != "" || slices.Contains(e.Events, deauthorized)
}

// judgeEndpoints compares the endpoints at Stripe that lead to ingress with what this version makes something of.
func (p *Patient) judgeEndpoints(endpoints []stripegate.Endpoint) []Result {
	var all []Result
	var own, connected, everything bool
	for _, e := range endpoints {
		u, err := url.Parse(e.URL)
		if err != nil || strings.TrimRight(u.Path, "/") != WebhookPath {
			continue
		}
		all = append(all, judgeEndpoint(e))
		if e.Status == enabled {
			own, connected = own || !connects(e), connected || connects(e)
			everything = everything || slices.Contains(e.Events, "*")
		}
	}
	if len(all) == 0 {
		return []Result{result("stripe endpoint", Fail, "add an endpoint at Stripe with the address of ingress and the types of: quotectl stripe events",
			"none of the %d endpoints at Stripe leads to %s (a listening stripe CLI is none)", len(endpoints), WebhookPath)}
	}
	if !own && connected {
		all = append(all, result("stripe endpoint", Warn, "add one at Stripe, if the deployment's own account is paid: quotectl stripe events",
			"none is for events of the deployment's own account"))
	}
	return append(all, p.judgeConnect(connected, everything)...)
}

// judgeConnect looks whether the events of the accounts that sellers have connected have an endpoint.
func (p *Patient) judgeConnect(connected, everything bool) []Result {
	const name = "connect endpoint"
	const next = "add one at Stripe for events on connected accounts, and its secret to ingress: quotectl stripe events"
	switch {
	case p.NoConnected != nil:
		return skipped(name, nextNATS, "which accounts are connected: %v", p.NoConnected)
	case connected || len(p.Connected) == 0:
		return nil
	case everything: // Stripe may not tell of which kind it is
		return []Result{result(name, Warn, next, "%d accounts are connected, and no endpoint at Stripe says that it is for their events", len(p.Connected))}
	}
	return []Result{result(name, Fail, next, "%d accounts are connected, and none of the endpoints is for their events: their payments are seen by reconcile alone", len(p.Connected))}
}

const enabled = "enabled"

func judgeEndpoint(e stripegate.Endpoint) Result {
	name, wanted := "stripe endpoint", stripeevent.AccountEndpointTypes()
	if connects(e) {
		name, wanted = "connect endpoint", stripeevent.ConnectEndpointTypes()
	}
	version := "API version " + e.APIVersion
	if e.APIVersion == "" {
		version = "the account's API version"
	}
	r := result(name, OK, "", "%s %s, %s, %s", e.ID, e.URL, version, number(len(e.Events), e.Events))
	missing := lacks(e.Events, wanted)
	switch {
	case e.Status != enabled:
		r.Status, r.Next = Fail, `enable it at Stripe, then: quotectl reconcile repair --since 30d --reason "endpoint was disabled"`
		r.Found += ": it is " + e.Status
	case len(missing) > 0:
		r.Status, r.Next = Fail, "add them at Stripe: quotectl stripe events"
		r.Found += ": lacks " + strings.Join(missing, ", ")
	case e.APIVersion != "":
		s, why, next := judgeVersion(e.APIVersion)
		if s != OK {
			r.Status, r.Next = s, next
			r.Found += ": " + why
		}
	}
	return r
}

// judgeVersion says what an API version means for reading events. None is a failure: all are stored, and read as far as
// they are understood.
func judgeVersion(version string) (s Status, why, next string) {
	const anew = "make a new endpoint at Stripe with a version from " + stripeevent.OldestVersion + " to " + stripeevent.NewestVersion
	switch stripeevent.Support(version) {
	case stripeevent.VersionKnown:
	case stripeevent.VersionOlder:
		return Warn, "older than " + stripeevent.OldestVersion + ", before which shapes are not known here", anew + "; what is stored stays: quotectl events list --outcome failed"
	case stripeevent.VersionNewer:
		return Warn, "newer than " + stripeevent.NewestVersion + ", the newest whose shapes are known here", "upgrade, or " + anew + "; meanwhile: quotectl events list --outcome failed"
	case stripeevent.VersionUnheard:
		return Warn, "no version whose shapes are known here", anew
	}
	return OK, "", ""
}

// versions judges the versions of the last events, by how many there are of each: those of endpoints that have the account's
// version are told nowhere else.
func versions(counts map[string]int, looked int) []Result {
	var all []Result
	for version, n := range counts {
		s, why, next := judgeVersion(version)
		found := fmt.Sprintf("%s in %d of the last %d events", cmp.Or(version, "(none)"), n, looked)
		if why != "" {
			found += ": " + why
		}
		all = append(all, Result{Check: "api version", Status: s, Found: found, Next: next})
	}
	slices.SortFunc(all, func(a, b Result) int { return strings.Compare(a.Found, b.Found) })
	return all
}

func number(n int, types []string) string {
	if slices.Contains(types, "*") {
		return "all types"
	}
	return fmt.Sprintf("%d types", n)
}

// lacks lists the wanted types that an endpoint does not send.
func lacks(types, wanted []string) []string {
	if slices.Contains(types, "*") {
		return nil
	}
	return without(wanted, types)
}
