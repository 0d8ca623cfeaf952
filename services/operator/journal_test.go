package operator_test

import (
	"context"
	"encoding/json"
	"os/user"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// R70
func TestDeclareIsInTheJournalWhenItChangedSomething(t *testing.T) {
	srv := natstest.StartEmpty(t)
	settings := map[string]string{"NATS_URL": srv.URL, "TZ": "UTC"}
	runWith(t, settings, "journal", "list").want(t, 1, "look up stream JOURNAL", "quotectl declare")
	runWith(t, settings, "journal", "verify").want(t, 1, "quotectl declare")
	runWith(t, settings, "declare", "--reason", "first start").want(t, 0, "JOURNAL")
	runWith(t, settings, "declare").want(t, 0, "unchanged")
	r := runWith(t, settings, "journal", "list", "-o", "jsonl")
	r.want(t, 0, `"action":"declare"`, `"reason":"first start"`, `"result":"created"`)
	if n := strings.Count(r.out, "\n"); n != 1 {
		t.Errorf("%d entries, want 1: the second declare changed nothing\n%s", n, r.out)
	}
	var e journal.Record
	if err := json.Unmarshal([]byte(r.out), &e); err != nil {
		t.Fatal(err)
	}
	if u, err := user.Current(); err == nil && !strings.HasPrefix(e.Who, u.Username+"@") {
		t.Errorf("who is %q, want %s@host", e.Who, u.Username)
	}
}

func TestJournalListFiltersPagesAndRefusesBadTimes(t *testing.T) {
	srv := natstest.Start(t)
	settings := map[string]string{"NATS_URL": srv.URL, "TZ": "Europe/Warsaw"}
	j := journal.New(srv.Log("w"), time.Now)
	for _, who := range []string{"ada@desk", "bob@desk", "ada@prod"} {
		if _, err := j.Append(t.Context(), journal.Entry{Action: "dead_retry", Who: who, Target: "q_1042", Reason: "ticket of " + who}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) result {
		return runWith(t, settings, append([]string{"journal", "list"}, args...)...)
	}
	r := run("--who", "ada@*", "--action", "dead_*", "--since", "1h", "--target", "q_*")
	r.want(t, 0, "ticket of ada@desk", "ticket of ada@prod")
	if strings.Contains(r.out, "bob") || strings.Index(r.out, "ada@prod") > strings.Index(r.out, "ada@desk") {
		t.Errorf("list is not of ada alone with the newest first:\n%s", r.out)
	}
	run("--limit", "2").want(t, 0, "bob@desk", "next: the same with --before 2")
	run("--before", "2").want(t, 0, "ada@desk")
	run("--until", "1h").want(t, 0, "no entries match")
	run("--until", "1h", "-o", "json").want(t, 0, "[]")
	run("--since", "yesterday").want(t, 2, "--since: \"yesterday\" is no time", "next: quotectl journal list --help")
	run("--who", "[").want(t, 2, "pattern")
	run("--limit", "-1").want(t, 2, "--limit is -1")
}

// R70
func TestJournalVerifyExitsWith3WhereSomebodyTampered(t *testing.T) {
	srv := natstest.Start(t)
	settings := map[string]string{"NATS_URL": srv.URL}
	log := srv.Log("w")
	j := journal.New(log, time.Now)
	var last journal.Record
	for range 5 {
		var err error
		if last, err = j.Append(t.Context(), journal.Entry{Action: "replay", Who: "ada@desk"}); err != nil {
			t.Fatal(err)
		}
	}
	noted := "5:" + last.Hash
	runWith(t, settings, "journal", "verify", "--noted", noted).want(t, 0, "yes", noted)
	runWith(t, settings, "journal", "verify", "--noted", "5:"+strings.Repeat("0", 64)).want(t, 3, "broken at JOURNAL:5", "written anew")
	runWith(t, settings, "journal", "verify", "--noted", "5").want(t, 2, "NUMBER:HASH")
	stream, err := log.JetStream().Stream(context.Background(), event.StreamJournal)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	r := runWith(t, settings, "journal", "verify", "-o", "json")
	r.want(t, 3, "broken at JOURNAL:3: removed", "next: compare with a backup", `"entries": 2`)
}
