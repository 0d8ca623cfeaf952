package operator_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/operator"
)

// nobody is an address at which nobody answers: no program of this system may bind port 1.
const nobody = "127.0.0.1:1"

// patience is how long a command may take before the test calls it stuck.
const patience = 2 * time.Minute

// withoutNATS are the commands that need no NATS, and why.
var withoutNATS = map[string]string{
	"quotes list": "asks the API", "quotes get": "asks the API", "quotes card": "asks the API",
	"sellers show": "asks the API", "sellers history": "asks the API",
	"policy show": "asks the API", "policy diff": "asks the API", "policy check": "asks the API",
	"simulate list": "knows it by itself", "stripe events": "knows it by itself",
	"cheat": "knows it by itself", "version": "knows it by itself", "help": "knows it by itself",
	"completion bash": "knows it by itself", "completion zsh": "knows it by itself",
	"completion fish": "knows it by itself", "completion powershell": "knows it by itself",
	"doctor": "looks at all else, and says of NATS what is wrong",
}

// asksAPI are the commands that begin with the API of the quotes service.
func asksAPI(command string) bool {
	for _, group := range []string{"quotes ", "sellers ", "policy "} {
		if strings.HasPrefix(command, group) {
			return true
		}
	}
	return false
}

// each runs the lines, all at once: most of their time they wait. A command that is stuck ends with the context's error,
// which no test expects.
func each(t *testing.T, settings map[string]string, lines []line, judge func(l line, r result)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lookup := func(name string) (string, bool) { v, ok := settings[name]; return v, ok }
	results := make([]result, len(lines))
	var all sync.WaitGroup
	for i, l := range lines {
		all.Go(func() {
			var out, errs bytes.Buffer
			code := operator.Run(ctx, l.args, lookup, &out, &errs)
			results[i] = result{code, out.String(), errs.String()}
		})
	}
	all.Wait()
	for i, l := range lines {
		judge(l, results[i])
	}
}

// is checks an exit code and texts on stderr, and that an error comes with the next step.
func (r result) is(t *testing.T, l line, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: exit code %d, want %d\nstderr:\n%s", l, r.code, code, r.err)
		return
	}
	for _, text := range append(texts, "\nnext: ") {
		if !strings.Contains(r.err, text) {
			t.Errorf("%s: stderr lacks %q:\n%s", l, text, r.err)
		}
	}
}

// Every example of every command, those of tomorrow included: where NATS does not answer, it says at which address and what
// to do, and does not tell the password that stands in the setting.
func TestWithoutNATSEveryCommandSaysWhereAndWhatNext(t *testing.T) {
	w := newWorld(t)
	w.settings["NATS_URL"] = "nats://operator:sesame@" + nobody
	w.settings["STRIPE_API_KEY"] = "sk_test_1"
	used := map[string]bool{}
	var lines []line
	for _, l := range examples(t) {
		if used[l.command] = true; withoutNATS[l.command] == "" && !strings.Contains(l.String(), "--dry-run") {
			lines = append(lines, l)
		}
	}
	for command := range withoutNATS {
		if !used[command] {
			t.Errorf("%q is listed as needing no NATS, and no example calls it", command)
		}
	}
	each(t, w.settings, lines, func(l line, r result) {
		r.is(t, l, 1, "NATS at "+nobody+" does not answer", "next: check that the server runs")
		if strings.Contains(r.out+r.err, "sesame") {
			t.Errorf("%s tells the password:\n%s", l, r.err)
		}
	})
	w.run("doctor").want(t, 3, nobody, "next: check that NATS runs")
}

// needsRedis reports whether a line asks for what Redis alone has.
func needsRedis(l line) bool {
	switch l.command {
	case "status", "parked list", "parked release", "replay plan", "replay run", "check conservation", "check gap", "check invariants", "reconcile report", "reconcile repair":
		return true
	}
	for _, flag := range []string{"--why-", "--verify", "--outcome", "--quote"} {
		if strings.Contains(l.String(), flag) && (l.command == "explain" || l.command == "rebuild" || strings.HasPrefix(l.command, "events ") || strings.HasPrefix(l.command, "simulate ")) {
			return true
		}
	}
	return false
}

// Redis is a projection: what the log tells, a command tells while Redis is down; what Redis alone knows, it says that it
// cannot tell.
func TestWithoutRedisOnlyWhatNeedsItFails(t *testing.T) {
	w := newWorld(t)
	w.settings["REDIS_URL"] = "redis://operator:sesame@" + nobody + "/0"
	w.settings["STRIPE_API_KEY"] = "sk_test_1"
	var needing, others []line
	for _, l := range examples(t) {
		switch {
		case l.command == "doctor" || l.command == "declare": // it looks at all; it changes the log that the others read
		case needsRedis(l):
			needing = append(needing, l)
		case l.command != "events tail" && l.command != "check silence": // ends with Ctrl-C; asks Stripe
			others = append(others, l)
		}
	}
	each(t, w.settings, needing, func(l line, r result) {
		r.is(t, l, 1, "Redis at "+nobody+" does not answer", "next: check that the server runs")
		if strings.Contains(r.out+r.err, "sesame") {
			t.Errorf("%s tells the password:\n%s", l, r.err)
		}
	})
	each(t, w.settings, others, func(l line, r result) {
		for row := range strings.Lines(r.err) {
			if strings.HasPrefix(row, "quotectl: ") && strings.Contains(row, "Redis at") && !strings.Contains(row, "nothing else can be looked up") {
				t.Errorf("%s fails for want of Redis, which it does not need:\n%s", l, r.err)
			}
		}
	})
	r := w.run("events", "list", "--stream", "QUOTES", "-o", "jsonl")
	r.want(t, 0, "note: Redis at "+nobody+" does not answer")
	for _, outcome := range jsonLines(t, r.out, "outcome") {
		if outcome != "unknown" {
			t.Errorf("an outcome that nobody can know is told as %v", outcome)
		}
	}
}

func TestWithoutTheAPIEveryCommandThatAsksItSaysWhereAndWhatNext(t *testing.T) {
	server := natstest.Start(t)
	settings := map[string]string{"QUOTES_URL": "http://" + nobody, "API_TOKEN": token, "NATS_URL": server.URL}
	var lines []line
	for _, l := range examples(t) {
		if asksAPI(l.command) && !strings.Contains(l.String(), "policy-2027.json") && !strings.Contains(l.String(), "policy show 2023") {
			lines = append(lines, l)
		}
	}
	if len(lines) < 10 {
		t.Errorf("only %d examples ask the API", len(lines))
	}
	each(t, settings, lines, func(l line, r result) {
		r.is(t, l, 1, nobody, "next: check that the quotes service runs at QUOTES_URL=http://"+nobody)
	})
}
