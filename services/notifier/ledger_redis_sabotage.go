//go:build sabotage_ledger

package notifier

// SABOTAGE. Not part of the product: this file replaces the ledger in JetStream by one in Redis, which can be flushed, so
// that the crash test can show that it would notice (it must fail with this build). Never build it for use.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

type shelfConfig struct{ address string }

func shelfConfigFromEnv(r *env.Reader) shelfConfig {
	u, err := url.Parse(r.Required("REDIS_URL"))
	if err != nil {
		r.Fault("REDIS_URL", "%v", err)
		return shelfConfig{}
	}
	return shelfConfig{address: u.Host}
}

type redisShelf struct{ address string }

func openShelf(_ context.Context, _ *natsstream.Log, cfg shelfConfig) (Shelf, error) {
	return &redisShelf{address: cfg.address}, nil
}

func (s *redisShelf) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	reply, err := s.eval(ctx, `local v = redis.call('HMGET', KEYS[1], 'rev', 'entry') return (v[1] or '0') .. ' ' .. (v[2] or '')`, key)
	if err != nil {
		return nil, 0, err
	}
	var revision uint64
	if _, err := fmt.Sscanf(reply, "%d ", &revision); err != nil || revision == 0 {
		return nil, 0, ErrNoEntry
	}
	return []byte(reply[len(strconv.FormatUint(revision, 10))+1:]), revision, nil
}

func (s *redisShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	reply, err := s.eval(ctx, `if (redis.call('HGET', KEYS[1], 'rev') or '0') ~= ARGV[1] then return 'taken' end
		redis.call('HSET', KEYS[1], 'rev', ARGV[2], 'entry', ARGV[3]) return 'ok'`,
		key, strconv.FormatUint(revision, 10), strconv.FormatUint(revision+1, 10), string(value))
	if err == nil && reply == "taken" {
		return 0, ErrTaken
	}
	return revision + 1, err
}

// eval runs a script with one key on a connection of its own and returns its text.
func (s *redisShelf) eval(ctx context.Context, script, key string, args ...string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	words := append([]string{"EVAL", script, "1", "mail:" + key}, args...)
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
	}
	var n int
	in := bufio.NewReader(conn)
	if _, err := fmt.Fscanf(in, "$%d\r\n", &n); err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	body := make([]byte, n)
	_, err = io.ReadFull(in, body)
	return string(body), err
}
