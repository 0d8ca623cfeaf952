package main

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// store is a Redis in memory: as much of it as payments uses. TestTheStoreAnswersAsRedisDoes holds it against a real one.
type store struct {
	keys    map[string]*value
	scripts map[string]bool // by name: those that the server knows
	run     int             // tells one life of the server from the next
	backup  map[string]*value
	// committed is told of each replacement of a quote's facts.
	committed func(key, before, after string)
	// blind is a sabotage: a commit that does not compare.
	blind bool
}

// value is what stands under a key; one of its fields is used.
type value struct {
	hash []field
	set  []member // sorted by member
	text string
}

type field struct{ name, value string }

type member struct {
	name  string
	score float64
}

func newStore() *store { return &store{keys: map[string]*value{}, scripts: map[string]bool{}} }

func (s *store) clear() {
	clear(s.keys)
	clear(s.scripts)
	s.run, s.backup = 1, nil
}

// wipe is FLUSHALL, or a server that comes back empty.
func (s *store) wipe() {
	clear(s.keys)
	clear(s.scripts)
	s.run++
}

// save and restore: a failover, or a restart, loses the writes since.
func (s *store) save() { s.backup = copied(s.keys) }

func (s *store) restore() {
	s.keys, s.backup = s.backup, nil
	clear(s.scripts)
	s.run++
}

func copied(keys map[string]*value) map[string]*value {
	all := make(map[string]*value, len(keys))
	for k, v := range keys {
		all[k] = &value{slices.Clone(v.hash), slices.Clone(v.set), v.text}
	}
	return all
}

func (v *value) get(name string) (string, bool) {
	for i := range v.hash {
		if v.hash[i].name == name {
			return v.hash[i].value, true
		}
	}
	return "", false
}

func (v *value) put(name, text string) (added bool) {
	for i := range v.hash {
		if v.hash[i].name == name {
			v.hash[i].value = text
			return false
		}
	}
	v.hash = append(v.hash, field{name, text})
	return true
}

// at returns what stands under the key, which it makes.
func (s *store) at(key string) *value {
	v := s.keys[key]
	if v == nil {
		v = &value{}
		s.keys[key] = v
	}
	return v
}

// find returns what stands under the key, or an empty value.
func (s *store) find(key string) *value {
	if v := s.keys[key]; v != nil {
		return v
	}
	return &value{}
}

// tidy removes a key that holds nothing.
func (s *store) tidy(key string, v *value) {
	if len(v.hash) == 0 && len(v.set) == 0 && v.text == "" {
		delete(s.keys, key)
	}
}

// replied is an error that the server answers.
type replied string

func (e replied) Error() string { return string(e) }

// RedisError marks it as such.
func (replied) RedisError() {}

const errNoScript = replied("NOSCRIPT No matching script. Please use EVAL.")

// carryOut carries the commands out, one after the other, and returns the first error, as a pipeline does.
func (s *store) carryOut(cmds []redis.Cmder) error {
	var first error
	for _, c := range cmds {
		if err := s.do(c); err != nil {
			c.SetErr(err)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func text(arg any) string {
	switch a := arg.(type) {
	case string:
		return a
	case []byte:
		return string(a)
	case int64:
		return strconv.FormatInt(a, 10)
	case int:
		return strconv.Itoa(a)
	case float64:
		return strconv.FormatFloat(a, 'f', -1, 64)
	default:
		return fmt.Sprint(a)
	}
}

func (s *store) do(c redis.Cmder) error {
	args := c.Args()
	switch c := c.(type) {
	case *redis.IntCmd:
		return s.doInt(c, args)
	case *redis.BoolCmd: // hsetnx
		v := s.at(text(args[1]))
		_, have := v.get(text(args[2]))
		if !have {
			v.put(text(args[2]), text(args[3]))
		}
		c.SetVal(!have)
	case *redis.StringCmd:
		return s.doString(c, args)
	case *redis.SliceCmd: // hmget
		v := s.find(text(args[1]))
		values := make([]any, len(args)-2)
		for i := range values {
			if found, ok := v.get(text(args[i+2])); ok {
				values[i] = found
			}
		}
		c.SetVal(values)
	case *redis.MapStringStringCmd: // hgetall
		v := s.find(text(args[1]))
		all := make(map[string]string, len(v.hash))
		for _, f := range v.hash {
			all[f.name] = f.value
		}
		c.SetVal(all)
	case *redis.StatusCmd:
		return s.doStatus(c, args)
	case *redis.StringSliceCmd: // zrangebyscore
		return s.doRange(c, args)
	case *redis.Cmd:
		return s.doScript(c, args)
	default:
		return replied(fmt.Sprintf("ERR the store knows no %v", args[0]))
	}
	return nil
}

func (s *store) doInt(c *redis.IntCmd, args []any) error {
	key := text(args[1])
	switch args[0] {
	case "hset":
		v, added := s.at(key), int64(0)
		for i := 2; i < len(args); i += 2 {
			if v.put(text(args[i]), text(args[i+1])) {
				added++
			}
		}
		c.SetVal(added)
	case "hdel":
		v := s.find(key)
		before := len(v.hash)
		for _, name := range args[2:] {
			v.hash = slices.DeleteFunc(v.hash, func(f field) bool { return f.name == text(name) })
		}
		s.tidy(key, v)
		c.SetVal(int64(before - len(v.hash)))
	case "hlen":
		c.SetVal(int64(len(s.find(key).hash)))
	case "exists":
		if s.keys[key] != nil {
			c.SetVal(1)
		}
	case "zadd":
		s.doAdd(c, key, args[2:])
	case "zrem":
		v := s.find(key)
		before := len(v.set)
		for _, name := range args[2:] {
			v.set = slices.DeleteFunc(v.set, func(m member) bool { return m.name == text(name) })
		}
		s.tidy(key, v)
		c.SetVal(int64(before - len(v.set)))
	default:
		return replied(fmt.Sprintf("ERR the store knows no %v", args[0]))
	}
	return nil
}

func (s *store) doAdd(c *redis.IntCmd, key string, args []any) {
	absent := args[0] == "nx"
	if absent {
		args = args[1:]
	}
	v, added := s.at(key), int64(0)
	for i := 0; i < len(args); i += 2 {
		score, _ := strconv.ParseFloat(text(args[i]), 64)
		name := text(args[i+1])
		at := slices.IndexFunc(v.set, func(m member) bool { return m.name >= name })
		switch {
		case at >= 0 && v.set[at].name == name:
			if !absent {
				v.set[at].score = score
			}
			continue
		case at < 0:
			at = len(v.set)
		}
		v.set = slices.Insert(v.set, at, member{name, score})
		added++
	}
	c.SetVal(added)
}

func (s *store) doString(c *redis.StringCmd, args []any) error {
	switch args[0] {
	case "hget":
		found, ok := s.find(text(args[1])).get(text(args[2]))
		if !ok {
			return redis.Nil
		}
		c.SetVal(found)
	case "get":
		v := s.keys[text(args[1])]
		if v == nil {
			return redis.Nil
		}
		c.SetVal(v.text)
	case "info":
		c.SetVal("run_id:" + strconv.Itoa(s.run) + "\r\nmaster_replid:" + strconv.Itoa(s.run) + "\r\n")
	default:
		return replied(fmt.Sprintf("ERR the store knows no %v", args[0]))
	}
	return nil
}

func (s *store) doStatus(c *redis.StatusCmd, args []any) error {
	switch args[0] {
	case "set":
		s.keys[text(args[1])] = &value{text: text(args[2])}
	case "rename":
		v := s.keys[text(args[1])]
		if v == nil {
			return replied("ERR no such key")
		}
		delete(s.keys, text(args[1]))
		s.keys[text(args[2])] = v
	default:
		return replied(fmt.Sprintf("ERR the store knows no %v", args[0]))
	}
	c.SetVal("OK")
	return nil
}

// doRange is ZRANGEBYSCORE -inf <max> LIMIT 0 <count>.
func (s *store) doRange(c *redis.StringSliceCmd, args []any) error {
	limit, err := strconv.ParseFloat(text(args[3]), 64)
	if err != nil || text(args[2]) != "-inf" {
		return replied("ERR the store knows no such range")
	}
	count := math.MaxInt
	if len(args) > 6 {
		count, _ = strconv.Atoi(text(args[6]))
	}
	found := []string{}
	set := slices.Clone(s.find(text(args[1])).set)
	slices.SortStableFunc(set, func(a, b member) int { return int(min(max(a.score-b.score, -1), 1)) })
	for _, m := range set {
		if m.score <= limit && len(found) < count {
			found = append(found, m.name)
		}
	}
	c.SetVal(found)
	return nil
}

// What the scripts of payments do, told apart by what only one of them speaks of.
const (
	commitSpeaksOf = "'digest'"
	draftSpeaksOf  = "'version'"
)

func (s *store) doScript(c *redis.Cmd, args []any) error {
	name := text(args[1])
	switch args[0] {
	case "eval":
		sum := sha1.Sum([]byte(name)) //nolint:gosec // see the import
		source := name
		name = hex.EncodeToString(sum[:])
		s.scripts[name] = strings.Contains(source, commitSpeaksOf)
	case "evalsha":
		if _, known := s.scripts[name]; !known {
			return errNoScript
		}
	default:
		return replied(fmt.Sprintf("ERR the store knows no %v", args[0]))
	}
	key, argv := text(args[3]), args[4:]
	if s.scripts[name] {
		c.SetVal(s.commit(key, text(argv[0]), text(argv[1]), text(argv[2]), text(argv[3]), text(argv[4])))
	} else {
		c.SetVal(s.draft(key, text(argv[0]), text(argv[1])))
	}
	return nil
}

// commit is commit.lua.
func (s *store) commit(key, loaded, digest, facts, status, flags string) any {
	v := s.at(key)
	have, _ := v.get("digest")
	before, _ := v.get("facts")
	switch {
	case have == digest:
		return []any{int64(1)}
	case have != loaded && !s.blind:
		return []any{int64(0), before, have}
	}
	v.put("facts", facts)
	v.put("digest", digest)
	v.put("status", status)
	v.put("flags", flags)
	if s.committed != nil {
		s.committed(key, before, facts)
	}
	return []any{int64(1)}
}

// draft is draft.lua.
func (s *store) draft(key, version, document string) any {
	v := s.at(key)
	have, _ := v.get("version")
	mine, _ := strconv.Atoi(version)
	if theirs, _ := strconv.Atoi(have); theirs > mine {
		return int64(0)
	}
	v.put("version", version)
	v.put("doc", document)
	return int64(1)
}

// wire leads the commands of a go-redis client to the store, through a process that may die or lose them.
type wire struct{ p *process }

var errNoNetwork = errors.New("the simulation has no network")

func (*wire) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errNoNetwork }
}

func (h *wire) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, c redis.Cmder) error { return h.p.redis([]redis.Cmder{c}) }
}

func (h *wire) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error { return h.p.redis(cmds) }
}

// newWire returns a client whose commands end in the store of the process that the wire is given.
func newWire() (*redis.Client, *wire) {
	client, h := redis.NewClient(&redis.Options{Addr: "memory:0"}), &wire{}
	client.AddHook(h)
	return client, h
}
