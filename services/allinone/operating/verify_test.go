package operating_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/redisquote"
)

func TestVerifyProvesThatRedisHoldsWhatTheLogSays(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.live(60)
	r.quotectl("rebuild", "--verify").want(t, 0, "60 quotes of generation g1 compared, 0 differ, 0 in flight", "equal", "read STRIPE")
	var report rebuild.Report
	r.quotectl("rebuild", "--verify", "-o", "json").want(t, 0).decode(t, &report)
	if report.LogRoot != report.RedisRoot || report.Quotes != 60 || report.Unsent != 0 || !report.Equal() {
		t.Errorf("report = %+v", report)
	}
}

// Each way in which Redis can be wrong is found, named, and comes with the next command; the roots differ.
func TestVerifyFindsEveryWayInWhichRedisCanBeWrong(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.live(40)
	stop() // else it would heal
	ctx, k := t.Context(), r.keys()
	do := func(args ...any) {
		t.Helper()
		if err := r.cache.Do(ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	do("DEL", k.Pay(event.Platform, "q_1"))
	do("HSET", k.Pay(event.Platform, "q_2"), redisquote.FieldStatus, "charged_back")
	do("HSET", k.Pay(event.Platform, "q_3"), redisquote.FieldFacts, `{"revisions":[]}`)
	do("COPY", k.Pay(event.Platform, "q_4"), k.Pay("acct_1", "q_4"))
	do("HSET", k.Pay(event.Platform, "q_5"), redisquote.FieldFlags, "late")
	var report rebuild.Report
	r.quotectl("rebuild", "--verify", "-o", "json").want(t, 3, "5 quotes differ", "next: quotectl").decode(t, &report)
	found := map[string]string{}
	for _, d := range report.Differences {
		found[d.Account+"/"+d.Quote] = d.Kind
		if !strings.HasPrefix(d.Next, "quotectl ") {
			t.Errorf("difference without a next command: %+v", d)
		}
	}
	for quote, want := range map[string]string{
		"platform/q_1": rebuild.Missing, "platform/q_2": rebuild.Differs, "platform/q_3": rebuild.Damaged, "acct_1/q_4": rebuild.Extra, "platform/q_5": rebuild.Differs,
	} {
		if found[quote] != want {
			t.Errorf("%s is %q, want %q", quote, found[quote], want)
		}
	}
	if report.LogRoot == report.RedisRoot {
		t.Error("the roots are equal though quotes differ")
	}
}

// A busy system has no false difference: verify runs again and again while events come in.
func TestVerifyOfABusySystemShowsNoFalseDifference(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.live(20)
	ctx, cancel := context.WithCancel(t.Context())
	var load errgroup.Group
	load.Go(func() error {
		for n := 20; ctx.Err() == nil && n < 4000; n += 10 {
			r.publish(n, n+10)
			for _, e := range r.events(n, n+10) {
				r.deliver(e)
			}
		}
		return nil
	})
	for range 6 {
		r.quotectl("rebuild", "--verify").want(t, 0)
	}
	// A true one is found among what only looks like one: nothing comes for q_1 any more.
	key := r.keys().Pay(event.Platform, "q_1")
	status := r.cache.HGet(t.Context(), key, redisquote.FieldStatus).Val()
	set := func(status string) {
		t.Helper()
		if err := r.cache.HSet(t.Context(), key, redisquote.FieldStatus, status).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("charged_back")
	r.quotectl("rebuild", "--verify").want(t, 3, "1 quotes differ", "quotectl explain q_1")
	set(status)
	cancel()
	_ = load.Wait()
	r.settled()
	r.quotectl("rebuild", "--verify").want(t, 0, "equal")
}

// What payments has not come to is no difference, and no proof either.
func TestVerifySaysWhatItCouldNotCompare(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.live(5)
	stop()
	r.publish(5, 8)
	v := rebuild.Verifier{Log: r.log, Redis: r.cache, Now: now, SettleFor: 1}
	report, err := v.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.InFlight != 3 || len(report.Differences) != 0 || report.Equal() {
		t.Errorf("report = %+v, want three quotes in flight and no difference", report)
	}
}

func TestConservationAccountsForEveryMessage(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.live(60)
	r.store("stripe.unreadable.abc", "x", []byte("?"))
	r.settled()
	var accounts []check.Account
	r.quotectl("check", "conservation", "-o", "json").want(t, 0).decode(t, &accounts)
	for _, a := range accounts {
		sum := a.InFlight
		for _, n := range a.Outcomes {
			sum += n
		}
		if sum != a.Messages || a.Messages < 60 {
			t.Errorf("%s: %d messages, %d accounted for: %+v", a.Stream, a.Messages, sum, a)
		}
	}
	if accounts[1].Outcomes["dead"] != 1 {
		t.Errorf("outcomes = %v, want a dead one", accounts[1].Outcomes)
	}
	stop()
	ctx, key := t.Context(), r.keys().Outcomes(event.StreamStripe, 1)
	for _, sequence := range []uint64{3, 4, 7} {
		if err := r.cache.HDel(ctx, key, strconv.FormatUint(sequence, 10)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.cache.HSet(ctx, key, "0", `{"outcome":"applied"}`).Err(); err != nil {
		t.Fatal(err)
	}
	r.publish(60, 62) // in flight: nobody takes them
	got := r.quotectl("check", "conservation", "-o", "jsonl").want(t, 3, `"3..4"`, `"7..7"`, `"0..0"`, "quotectl replay STRIPE:3", `"in_flight":2`)
	if strings.Count(got.out, "acknowledged without an outcome") != 2 {
		t.Errorf("want two ranges:\n%s", got.out)
	}
}

func now() time.Time { return time.Now() }
