package allinone_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote/redistest"
)

// diagnosed fails unless an examination has such a line, and returns all lines of that check.
func diagnosed(t *testing.T, p doctor.Patient, check string, s doctor.Status, text string) []doctor.Result {
	t.Helper()
	p.Now = time.Now
	return diagnosis(t, p.Examine(t.Context()), check, s, text)
}

func diagnosis(t *testing.T, all []doctor.Result, check string, s doctor.Status, text string) []doctor.Result {
	t.Helper()
	of := slices.DeleteFunc(slices.Clone(all), func(r doctor.Result) bool { return r.Check != check })
	if !slices.ContainsFunc(of, func(r doctor.Result) bool { return r.Status == s && strings.Contains(r.Found, text) }) {
		t.Errorf("%s = %+v, want %s with %q", check, of, s, text)
	}
	return of
}

// Doctor finds the rights of the deployment just right, and says of others what is too much and what is missing.
func TestDoctorKnowsTheDeployedRightsOfNATS(t *testing.T) {
	d := declared(t)
	patient := func(user string) doctor.Patient {
		return doctor.Patient{
			Log: d.log(t, user), Needs: doctor.OperatorNeeds(), MonitorURL: "http://" + d.srv.MonitorAddr().String(),
			Connect: func(ctx context.Context) (*nats.Conn, error) {
				return natsstream.Connect(ctx, natsstream.Config{URL: env.NewSecret(d.url(t, user)), Name: "operator"}, zap.NewNop())
			},
		}
	}
	if all := diagnosed(t, patient("operator"), "rights on nats", doctor.OK, "neither speak for Stripe"); len(all) != 1 {
		t.Errorf("of the deployed operator: %+v", all)
	}
	for _, name := range []string{event.StreamJournal, event.StreamStripe, event.StreamQuotes, event.StreamDead, event.StreamSellers, "KV_" + event.BucketReplays} {
		s, err := d.log(t, "operator").JetStream().Stream(t.Context(), name)
		if err != nil || s.CachedInfo().State.Msgs != 0 {
			t.Errorf("a probe took hold on %s, %v", name, err)
		}
	}
	service := patient("payments")
	service.Now, service.Narrow = time.Now, true // without what would wait for answers that this user does not get
	all := service.Examine(t.Context())
	diagnosis(t, all, "rights on nats", doctor.Warn, "may write quote.paid.doctor.doctor and seller.account_updated.doctor and dead.payments.DOCTOR.1:")
	diagnosis(t, all, "rights on nats", doctor.Warn, "may listen to _INBOX_payments")
	diagnosis(t, all, "rights on nats", doctor.Fail, "may not use journal.doctor, op.doctor.probe")
}

func TestDoctorTellsWhoWorksAsWhom(t *testing.T) {
	d := declared(t)
	for _, user := range []string{"ingress", "payments", "quotes"} {
		d.connect(t, user)
	}
	p := doctor.Patient{MonitorURL: "http://" + d.srv.MonitorAddr().String()}
	if all := diagnosed(t, p, "users on nats", doctor.OK, "each has one of its own: ingress, operator, payments, quotes"); len(all) != 1 {
		t.Errorf("users on nats = %+v", all)
	}
	as := func(user, name string) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(d.url(t, user), nats.Name(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	cluster := p
	cluster.MonitorURL += ",http://127.0.0.1:1"
	if all := diagnosed(t, cluster, "users on nats", doctor.NotChecked, "connection refused"); len(all) != 2 || all[0].Status != doctor.OK {
		t.Errorf("with a server that does not answer: %+v", all)
	}
	// A person's other tools are no service.
	as("operator", "NATS CLI Version 0.1")
	diagnosed(t, p, "users on nats", doctor.OK, "each has one of its own")
	as("operator", "notifier")
	diagnosed(t, p, "users on nats", doctor.Warn, `notifier has the user operator, and so has "NATS CLI Version 0.1", operator`)
	as("ingress", "crm").Close()
	as("payments", "crm")
	diagnosed(t, p, "users on nats", doctor.Warn, `payments has the user payments, and so has "crm"`)
	for _, r := range diagnosed(t, p, "users on nats", doctor.Warn, "payments") {
		if strings.Contains(r.Found, "ingress") {
			t.Errorf("a connection that ended is told of: %+v", r)
		}
	}
}

func TestDoctorKnowsTheDeployedRightsOfRedis(t *testing.T) {
	d := startDeployedRedis(t, prepareSecrets(t))
	patient := func(c redis.UniversalClient) doctor.Patient {
		return doctor.Patient{Redis: c, Needs: doctor.OperatorNeeds()}
	}
	operator := patient(d.client(t, "operator"))
	if all := diagnosed(t, operator, "rights on redis", doctor.OK, "can only read"); len(all) != 1 {
		t.Errorf("of the deployed operator: %+v", all)
	}
	diagnosed(t, operator, "refusals of redis", doctor.OK, "nobody was refused anything in the last 24h")
	diagnosed(t, operator, "redis disk", doctor.NotChecked, "may not ask where Redis has its files")

	diagnosed(t, patient(d.client(t, "payments")), "rights on redis", doctor.Warn, "may write Redis")
	diagnosed(t, patient(d.client(t, "payments")), "rights on redis", doctor.Fail, "may not use hscan, type")
	diagnosed(t, patient(d.client(t, "payments")), "refusals of redis", doctor.NotChecked, "may not read what was refused")

	// quotes lacks a right, and somebody guesses a password.
	_ = d.client(t, "quotes").Set(t.Context(), "g1:x", "y", 0).Err() // the refusal is what is looked at
	guess := redis.NewClient(&redis.Options{Addr: d.addr, Username: "hunter2", Password: "canary", Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = guess.Close() })
	_ = guess.Ping(t.Context()).Err() // as above
	diagnosed(t, operator, "refusals of redis", doctor.Warn, "quotes was refused the command set, 1 times")
	for _, r := range diagnosed(t, operator, "refusals of redis", doctor.Warn, "an unknown user was refused a login") {
		if strings.Contains(r.Found, "hunter2") || strings.Contains(r.Found, "canary") {
			t.Errorf("what somebody typed is shown: %+v", r)
		}
	}
}

// Where Redis asks nobody who he is, its own answer tells what that allows.
func TestDoctorNamesWhatTheDefaultUserOfRedisMay(t *testing.T) {
	s := redistest.Start(t).Client()
	diagnosed(t, doctor.Patient{Redis: s}, "rights on redis", doctor.Warn, `the user "default" may use FLUSHALL, CONFIG, SHUTDOWN, DEBUG, ACL, REPLICAOF`)
	if n, err := s.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("keys after the examination: %d, %v", n, err)
	}
}

func TestSecretFilesOfEverybodyAreFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api_token")
	if err := os.WriteFile(file, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := doctor.Patient{SecretFiles: []doctor.SecretFile{{Setting: "API_TOKEN_FILE", Path: file}}}
	diagnosed(t, p, "secret files", doctor.OK, "1 looked at, none is for others to read")
	for mode, bad := range map[os.FileMode]bool{0o640: false, 0o644: true, 0o602: true, 0o400: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		status, text := doctor.OK, "none is"
		if bad {
			status, text = doctor.Warn, "(API_TOKEN_FILE) has mode "
		}
		diagnosed(t, p, "secret files", status, text)
	}
	p.SecretFiles[0].Path += ".none"
	diagnosed(t, p, "secret files", doctor.NotChecked, "no such file")
	diagnosed(t, doctor.Patient{}, "secret files", doctor.NotChecked, "no secret is given by a file")
}

// On embedded servers there is nothing to mend, and what they cannot tell is said in words.
func TestDoctorOfTheEmbeddedServersFindsNothingToMend(t *testing.T) {
	s := start(t, settings(t, t.TempDir(), nil))
	out := s.mustQuotectl("doctor")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "  fail  ") || strings.Contains(line, "ERR ") {
			t.Errorf("doctor finds: %s", line)
		}
	}
	if !strings.Contains(out, "this server does not tell what it refused") {
		t.Errorf("doctor says of the embedded Redis:\n%s", out)
	}
}
