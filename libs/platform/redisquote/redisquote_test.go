package redisquote_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
)

func TestAListIsPagedWithoutACap(t *testing.T) {
	client := redistest.Start(t).Client()
	keys := redisquote.NewKeys("g1")
	const count = 250
	for i := range count {
		// Many quotes of one millisecond: the cursor must not lose any.
		z := redis.Z{Score: float64(1000 + i/20), Member: fmt.Sprintf("q_%03d", i)}
		if err := client.ZAdd(t.Context(), keys.IndexSeller("main"), z).Err(); err != nil {
			t.Fatal(err)
		}
	}
	reader := redisquote.NewReader(client, keys)
	seen := map[string]bool{}
	var at redisquote.Cursor
	for {
		page, err := reader.List(t.Context(), redisquote.Query{Seller: "main", Before: at, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if seen[e.ID] {
				t.Fatalf("quote %s came twice", e.ID)
			}
			seen[e.ID] = true
			at = redisquote.Cursor{Created: e.Created, ID: e.ID}
		}
	}
	if len(seen) != count {
		t.Errorf("%d quotes listed, want %d", len(seen), count)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	reader := redisquote.NewReader(redistest.Start(t).Client(), redisquote.NewKeys("g1"))
	if _, err := reader.Payment(t.Context(), "platform", "q_1"); !errors.Is(err, redisquote.ErrNotFound) {
		t.Errorf("Payment = %v, want ErrNotFound", err)
	}
	if _, err := reader.Quote(t.Context(), "q_1"); !errors.Is(err, redisquote.ErrNotFound) {
		t.Errorf("Quote = %v, want ErrNotFound", err)
	}
	if _, err := reader.Outcome(t.Context(), "STRIPE", 1); !errors.Is(err, redisquote.ErrNotFound) {
		t.Errorf("Outcome = %v, want ErrNotFound", err)
	}
	if _, _, err := reader.Token(t.Context(), "x"); !errors.Is(err, redisquote.ErrNotFound) {
		t.Errorf("Token = %v, want ErrNotFound", err)
	}
}

func TestAnUnusableAddressIsRefusedWithoutItsPassword(t *testing.T) {
	for _, url := range []string{"http://h", "redis+sentinel://h:26379", "redis://h/zero", "redis://u:canary@h:port:x/0", "::"} {
		r := env.NewReader(func(name string) (string, bool) { return url, name == "REDIS_URL" })
		redisquote.ConfigFromEnv(r)
		if err := r.Err(); err == nil {
			t.Errorf("REDIS_URL=%s is taken, want an error", url)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("error shows the password: %v", err)
		}
	}
	for _, url := range []string{"redis://h:1/2", "rediss://u:p@h:1", "redis+sentinel://a:1,b:2/mymaster", "redis+cluster://a:1,b:2"} {
		r := env.NewReader(func(name string) (string, bool) { return url, name == "REDIS_URL" })
		redisquote.ConfigFromEnv(r)
		if err := r.Err(); err != nil {
			t.Errorf("REDIS_URL=%s = %v, want it taken", url, err)
		}
	}
}

// Keys that one script touches must share a slot, and different quotes must never share a key.
func TestKeysOfOneQuoteShareTheirHashTag(t *testing.T) {
	k := redisquote.NewKeys("g1")
	tag := func(key string) string { return key[strings.Index(key, "{"):strings.Index(key, "}")] }
	if a, b := tag(k.Pay("acct_1", "q_1")), tag(k.PayEvents("acct_1", "q_1")); a != b {
		t.Errorf("tags %s and %s differ", a, b)
	}
	names := map[string]string{}
	for _, account := range []string{"platform", "acct_1"} {
		for _, q := range []string{"q_1", "q_2"} {
			for _, key := range []string{k.Pay(account, q), k.PayEvents(account, q), k.Link(account, q)} {
				if names[key] != "" {
					t.Errorf("key %s twice", key)
				}
				names[key] = q
			}
		}
	}
	account, object, seq, ok := redisquote.ParseParkedMember(redisquote.ParkedMember("acct_1", "pi_1", 7))
	if account != "acct_1" || object != "pi_1" || seq != 7 || !ok {
		t.Errorf("ParseParkedMember = %s %s %d %t", account, object, seq, ok)
	}
}

func TestAnOutcomeIsWrittenAsEncodingJSONDoes(t *testing.T) {
	at := time.Date(2026, 11, 23, 19, 0, 0, 123456000, time.UTC)
	for _, o := range []redisquote.Outcome{
		{},
		{Outcome: "applied", At: at},
		{
			Outcome: "ignored", Reason: "type says nothing about a quote", Account: "platform", Quote: "q_1", EventID: "evt_1",
			Type: "charge.succeeded", Before: "pending", After: "paid", At: at, Handler: "v1",
		},
		{Outcome: "dead", Reason: `panic: "x" <&> ż`, At: at},
	} {
		want, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		got, plain := o.AppendJSON(nil)
		if escaped := strings.ContainsAny(o.Reason, `"<>&ż`); plain == escaped {
			t.Errorf("AppendJSON(%+v) plain = %t, want %t", o, plain, !escaped)
		}
		if plain && string(got) != string(want) {
			t.Errorf("AppendJSON = %s, want %s", got, want)
		}
	}
}
