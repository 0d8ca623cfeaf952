package doctor

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/redisquote"
)

const nextRedis = "check that Redis runs and that REDIS_URL and REDIS_CA fit it"

// redisAnswers asks Redis for a word.
func (p *Patient) redisAnswers(ctx context.Context) []Result {
	const name = "redis"
	switch {
	case p.Redis == nil && p.NoRedis == nil:
		return skipped(name, "set REDIS_URL", "REDIS_URL is not set")
	case p.Redis == nil:
		return []Result{result(name, Fail, nextRedis, "%v", p.NoRedis)}
	}
	if err := p.Redis.Ping(ctx).Err(); err != nil {
		return []Result{result(name, Fail, nextRedis, "%v", err)}
	}
	return []Result{result(name, OK, "", "answers")}
}

// redis looks at every master: what it evicts, keeps and holds, its role and its clock.
func (p *Patient) redis(ctx context.Context) []Result {
	if p.Redis == nil {
		return nil // redisAnswers has said it
	}
	var all []Result
	err := redisquote.EachMaster(ctx, p.Redis, func(ctx context.Context, master *redis.Client) error {
		before := p.Now()
		at, err := master.Time(ctx).Result()
		switch {
		case err == nil:
			all = append(all, skew("clock of redis", at, before, p.Now()))
		case denied(err):
			all = append(all, result("clock of redis", NotChecked, "give the Redis user the command time: deploy/redis/users.acl.in", "%v", err))
		default:
			return err
		}
		info, err := master.Info(ctx).Result()
		if err != nil {
			return err
		}
		all = append(all, judgeRedis(fields(info))...)
		all = append(all, p.redisDisk(ctx, master, fields(info))...)
		return nil
	})
	if err != nil {
		return append(all, result("redis", Fail, nextRedis, "%v", err))
	}
	return all
}

func fields(info string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

func judgeRedis(info map[string]string) []Result {
	told := func(check, field string, good func(string) bool, s Status, next string) Result {
		v, ok := info[field]
		switch {
		case !ok:
			return result(check, NotChecked, "", "this server does not tell %s", field)
		case good(v):
			return result(check, OK, "", "%s %s", field, v)
		}
		return result(check, s, next, "%s is %s", field, v)
	}
	is := func(want string) func(string) bool { return func(v string) bool { return v == want } }
	all := []Result{
		told("redis policy", "maxmemory_policy", is("noeviction"), Fail, "set maxmemory-policy noeviction: keys here are state and not cache"),
		told("redis role", "role", is("master"), Fail, "REDIS_URL leads to a replica: name the primary or use redis+sentinel://"),
		told("redis persistence", "aof_enabled", is("1"), Warn, "set appendonly yes: without it each restart folds the whole log again"),
	}
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	limit, err := strconv.ParseFloat(info["maxmemory"], 64)
	switch {
	case err != nil:
		all = append(all, result("redis memory", NotChecked, "", "this server does not tell maxmemory"))
	case limit == 0:
		all = append(all, result("redis memory", Warn, "set maxmemory, as deploy/redis/redis.conf does", "%s used, and no limit but the machine's", bytes(uint64(used))))
	case used > 0.8*limit:
		all = append(all, result("redis memory", Warn, "raise maxmemory: at the limit writes fail and messages wait", "%s of %s used", bytes(uint64(used)), bytes(uint64(limit))))
	default:
		all = append(all, result("redis memory", OK, "", "%s of %s used", bytes(uint64(used)), bytes(uint64(limit))))
	}
	if info["aof_last_write_status"] == "err" {
		all = append(all, result("redis persistence", Fail, "look at the disk of Redis", "the last write of the append-only file failed"))
	}
	return all
}

func denied(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOPERM") }
