package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// connz is what the monitoring port tells of connections. 10,000 are read, and more told of.
type connz struct {
	Total       int `json:"total"`
	Connections []struct {
		Name string `json:"name"`
		User string `json:"authorized_user"`
	} `json:"connections"`
}

const connzLimit = 10_000

// OurNames are the names under which our programs connect to NATS; each has a user of its own in deploy/nats/users.conf.
var OurNames = []string{"ingress", "payments", "notifier", "quotes", "console", "operator"}

// connections looks as which user each service works: only the server knows.
func (p *Patient) connections(ctx context.Context) []Result {
	const name = "users on nats"
	if p.MonitorURL == "" {
		return skipped(name, "set NATS_MONITOR_URL", "which user each service has: NATS_MONITOR_URL is not set")
	}
	var told connz // of every server that answers: each knows its own clients
	var silent []Result
	for server := range strings.SplitSeq(p.MonitorURL, ",") {
		one, err := readConnz(ctx, strings.TrimSpace(server))
		if err != nil {
			silent = append(silent, skipped(name, "check NATS_MONITOR_URL", "which user each service has: %v", err)...)
			continue
		}
		told.Total += one.Total
		told.Connections = append(told.Connections, one.Connections...)
	}
	if told.Total == 0 && len(silent) > 0 {
		return silent
	}
	return append(judgeConnections(name, told), silent...)
}

func readConnz(ctx context.Context, monitorURL string) (connz, error) {
	var told connz
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/connz?auth=1&limit=%d", monitorURL, connzLimit), http.NoBody)
	if err != nil {
		return told, fmt.Errorf("read NATS_MONITOR_URL: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return told, fmt.Errorf("read NATS_MONITOR_URL: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return told, fmt.Errorf("read %s/connz: it answers %s", monitorURL, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 32<<20)).Decode(&told); err != nil {
		return told, fmt.Errorf("read %s/connz: %w", monitorURL, err)
	}
	return told, nil
}

// judgeConnections wants a user for each of our programs that nobody else has. How a user is called does not matter.
func judgeConnections(name string, told connz) []Result {
	const next = "give each service a user of its own: deploy/nats/users.conf"
	users, programs := map[string]set{}, map[string]set{} // of each program of ours, and of each user
	for _, c := range told.Connections {
		if slices.Contains(OurNames, c.Name) {
			add(users, c.Name, c.User)
		}
		if c.User != "" {
			add(programs, c.User, c.Name)
		}
	}
	var all []Result
	for _, program := range slices.Sorted(maps.Keys(users)) {
		for _, user := range slices.Sorted(maps.Keys(users[program])) {
			others := maps.Clone(programs[user])
			delete(others, program)
			switch {
			case user == "":
				all = append(all, result(name, Warn, next, "nobody asked %s who it is: it may do everything", program))
			case program == "operator": // people connect with that user by other tools, too
			case len(others) > 0:
				all = append(all, result(name, Warn, next, "%s has the user %s, and so has %s: it may do what that one may", program, masked(user), strings.Join(shown(others), ", ")))
			}
		}
	}
	switch {
	case len(users) == 0:
		return skipped(name, "", "none of our services is connected to this server")
	case len(all) == 0:
		all = append(all, result(name, OK, "", "each has one of its own: %s", strings.Join(slices.Sorted(maps.Keys(users)), ", ")))
	}
	if told.Total > len(told.Connections) {
		all = append(all, result(name, NotChecked, "nats server report connections", "%d of %d connections were looked at", len(told.Connections), told.Total))
	}
	return all
}

type set map[string]bool

func add(m map[string]set, key, value string) {
	if m[key] == nil {
		m[key] = set{}
	}
	m[key][value] = true
}

// shown are names as clients chose them, quoted where they are not ours.
func shown(names set) []string {
	all := slices.Sorted(maps.Keys(names))
	for i, n := range all {
		if !slices.Contains(OurNames, n) {
			all[i] = fmt.Sprintf("%q", n)
		}
	}
	return all
}

// masked shortens what may be a token or a key rather than a name.
func masked(user string) string {
	const longest = 24
	if len(user) > longest {
		return user[:4] + "…" + user[len(user)-4:]
	}
	return user
}
