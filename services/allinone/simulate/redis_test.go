package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// TestTheStoreAnswersAsRedisDoes holds the store in memory against miniredis, which the conformance tests hold against a real
// Redis: the same random commands, payments' own scripts among them, get the same answers.
func TestTheStoreAnswersAsRedisDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t.Context(), none)
	defer w.close()
	w.quiet = true
	w.slots[0].p.dead = false
	real := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer real.Close()
	commit, draft := readScript(t, "commit.lua"), readScript(t, "draft.lua")
	random := rand.New(rand.NewPCG(1, 2))
	one := func(all ...string) string { return all[random.IntN(len(all))] }
	for range 3000 {
		// The same decisions for both: a pipeline of up to four commands.
		var plans []func(redis.Pipeliner)
		for range 1 + random.IntN(4) {
			hash, set, text := one("h1", "h2", "h3"), one("s1", "s2"), one("t1", "t2")
			field, other, value := one("a", "b", "c", "facts"), one("a", "b", "digest"), one("1", "2", "long text", "")
			score, limit := float64(random.IntN(4)), strconv.Itoa(random.IntN(4))
			before, after, version := one("", "d1", "d2"), one("d1", "d2", "d3"), one("1", "2", "10")
			ctx := t.Context()
			plans = append(plans, []func(redis.Pipeliner){
				func(p redis.Pipeliner) { p.HSet(ctx, hash, field, value, other, []byte(value)) },
				func(p redis.Pipeliner) { p.HSetNX(ctx, hash, field, value) },
				func(p redis.Pipeliner) { p.HGet(ctx, hash, field) },
				func(p redis.Pipeliner) { p.HMGet(ctx, hash, field, other) },
				func(p redis.Pipeliner) { p.HGetAll(ctx, hash) },
				func(p redis.Pipeliner) { p.HDel(ctx, hash, field, other) },
				func(p redis.Pipeliner) { p.HLen(ctx, hash) },
				func(p redis.Pipeliner) { p.Set(ctx, text, value, 0) },
				func(p redis.Pipeliner) { p.Get(ctx, text) },
				func(p redis.Pipeliner) { p.Exists(ctx, one2(text, hash, score)) },
				func(p redis.Pipeliner) { p.Rename(ctx, text, "t3") },
				func(p redis.Pipeliner) { p.ZAdd(ctx, set, redis.Z{Score: score, Member: field}) },
				func(p redis.Pipeliner) { p.ZAddNX(ctx, set, redis.Z{Score: score, Member: field}) },
				func(p redis.Pipeliner) { p.ZRem(ctx, set, field, other) },
				func(p redis.Pipeliner) {
					p.ZRangeByScore(ctx, set, &redis.ZRangeBy{Min: "-inf", Max: limit, Count: 2})
				},
				func(p redis.Pipeliner) { p.Eval(ctx, commit, []string{"pay"}, before, after, "{}"+after, "paid", "") },
				func(p redis.Pipeliner) { p.Eval(ctx, draft, []string{"quote"}, version, "doc "+version) },
				func(p redis.Pipeliner) { p.HGetAll(ctx, "pay") },
				func(p redis.Pipeliner) { p.HGetAll(ctx, "quote") },
			}[random.IntN(19)])
		}
		want, got := answers(t, plans, real.Pipeline()), answers(t, plans, w.slots[0].redis.Pipeline())
		if want != got {
			t.Fatalf("miniredis answers\n%s\nthe store\n%s", want, got)
		}
	}
}

func one2(a, b string, pick float64) string {
	if pick < 2 {
		return a
	}
	return b
}

func answers(t *testing.T, plans []func(redis.Pipeliner), p redis.Pipeliner) string {
	t.Helper()
	for _, plan := range plans {
		plan(p)
	}
	cmds, _ := p.Exec(t.Context()) // errors are compared, command by command
	var all []string
	for _, c := range cmds {
		all = append(all, c.String())
	}
	return strings.Join(all, "\n")
}

func readScript(t *testing.T, name string) string {
	t.Helper()
	source, err := os.ReadFile("../../payments/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}
