package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/redisquote"
)

const nextACL = "give each service a user of its own: deploy/redis/users.acl.in"

// refusedLately is how old a refusal in Redis' ACL log may be that is told of. The log forgets nothing by itself.
const refusedLately = 24 * time.Hour

// redisRights tries to write a key that does not exist, on the condition that it exists; reads one, as the work needs; and asks
// what Redis refused to others.
func (p *Patient) redisRights(ctx context.Context) []Result {
	const name = "rights on redis"
	if p.Redis == nil {
		return skipped(name, nextRedis, "no connection to Redis")
	}
	key := redisquote.NewKeys(redisquote.Generation).Token("doctor-probe")
	var all []Result
	switch err := p.Redis.SetArgs(ctx, key, "", redis.SetArgs{Mode: "XX"}).Err(); {
	case err == nil, errors.Is(err, redis.Nil):
		all = append(all, result(name, Warn, nextACL, "these credentials may write Redis; only payments has to"))
	case !denied(err):
		return skipped(name, nextRedis, "%v", fmt.Errorf("probe: %w", err))
	}
	me, err := p.Redis.Do(ctx, "acl", "whoami").Text()
	if err != nil {
		me = ""
	}
	all = append(all, p.beyondReading(ctx, name, me)...)
	lacks, err := p.lacking(ctx, key)
	if err != nil {
		return append(all, skipped(name, nextRedis, "%v", err)...)
	}
	if len(lacks) > 0 {
		all = append(all, result(name, Fail, "compare the user's line with that of operator in deploy/redis/users.acl.in", "these credentials may not use %s, which quotectl does", strings.Join(lacks, ", ")))
	}
	if len(all) == 0 {
		all = append(all, result(name, OK, "", "these credentials can only read; payments is the one writer"))
	}
	return append(all, p.refusedByRedis(ctx, me)...)
}

// destructive are commands that no user of ours may use, with arguments for a dry run.
var destructive = [][]any{{"flushall"}, {"config", "get", "requirepass"}, {"shutdown"}, {"debug", "sleep", "0"}, {"acl", "list"}, {"replicaof", "no", "one"}}

// beyondReading asks Redis which of those this user may use; a user who may not even ask is bounded enough. Nothing is run.
func (p *Patient) beyondReading(ctx context.Context, name, me string) []Result {
	if me == "" {
		return nil
	}
	var may []string
	for _, command := range destructive {
		answer, err := p.Redis.Do(ctx, append([]any{"acl", "dryrun", me}, command...)...).Text()
		if err != nil { // no such right, or a server before 7.0
			return nil
		}
		if answer == "OK" {
			may = append(may, strings.ToUpper(fmt.Sprint(command[0])))
		}
	}
	if len(may) == 0 {
		return nil
	}
	return []Result{result(name, Warn, nextACL, "the user %q may use %s", me, strings.Join(may, ", "))}
}

// lacking lists the commands that the work needs and that are refused.
func (p *Patient) lacking(ctx context.Context, key string) ([]string, error) {
	var lacks []string
	for _, command := range p.Needs.Redis {
		args := []any{command[0], key}
		for _, a := range command[1:] {
			args = append(args, a)
		}
		switch err := p.Redis.Do(ctx, args...).Err(); {
		case denied(err):
			lacks = append(lacks, command[0])
		case err != nil && !errors.Is(err, redis.Nil):
			return nil, fmt.Errorf("probe %s: %w", command[0], err)
		}
	}
	return lacks, nil
}

// refusedByRedis tells what others were refused lately: a service that lacks a right, or somebody with a wrong password.
func (p *Patient) refusedByRedis(ctx context.Context, me string) []Result {
	const name = "refusals of redis"
	var all []Result
	err := redisquote.EachMaster(ctx, p.Redis, func(ctx context.Context, master *redis.Client) error {
		entries, err := master.ACLLog(ctx, 128).Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			age := time.Duration(e.AgeSeconds * float64(time.Second))
			if e.Username == me && e.Reason != "auth" || age > refusedLately {
				continue // our own probes
			}
			what := fmt.Sprintf("the %s %s", e.Reason, e.Object)
			if e.Reason == "auth" {
				what = "a login" // the object is what was sent for a command
			}
			all = append(all, result(name, Warn, "compare deploy/redis/users.acl.in with what the service has; then: redis-cli acl log reset",
				"%s was refused %s, %d times, the last %s ago", userName(e.Username), what, e.Count, age.Round(time.Second)))
		}
		return nil
	})
	switch {
	case denied(err):
		return skipped(name, "give the Redis user the command acl|log: deploy/redis/users.acl.in", "these credentials may not read what was refused")
	case err != nil && strings.HasPrefix(err.Error(), "ERR unknown command"):
		return skipped(name, "", "this server does not tell what it refused")
	case err != nil:
		return skipped(name, nextRedis, "%v", err)
	case len(all) == 0:
		all = append(all, result(name, OK, "", "nobody was refused anything in the last %s", strings.TrimSuffix(refusedLately.String(), "0m0s")))
	}
	slices.SortStableFunc(all, func(a, b Result) int { return strings.Compare(a.Found, b.Found) })
	return all
}

// userName shows the names that users.acl.in has; what somebody typed may be anything, a password too.
func userName(user string) string {
	if slices.Contains(OurNames, user) || user == "default" || user == "health" {
		return user
	}
	return "an unknown user"
}
