// Package redisquote is the one place that knows how the projection lies in Redis: the names of all keys, the way to
// connect, and how to read what the payments worker has written.
//
// It writes nothing: payments is the only writer of Redis, and its script lives with it. Nothing here is the truth; all
// of it can be computed again from the log. payments, quotes and the operator's tools call it.
package redisquote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/env"
)

const (
	dialTimeout = 2 * time.Second
	// ioTimeout is go-redis's read and write timeout; three tries of it stay below JetStream's ack wait of 15 s.
	ioTimeout   = time.Second
	openTimeout = 30 * time.Second
)

// Config says which Redis to use. URL is redis://, rediss:// (one server), redis+sentinel://host,host/master or
// redis+cluster://host,host; it may carry a password, so it is kept as a secret. CA names a file or is empty.
type Config struct {
	URL env.Secret
	CA  string
}

// ConfigFromEnv reads REDIS_URL (or REDIS_URL_FILE) and REDIS_CA.
func ConfigFromEnv(r *env.Reader) Config {
	c := Config{URL: r.Secret("REDIS_URL"), CA: r.String("REDIS_CA", "")}
	if c.URL.IsZero() {
		c.URL = env.NewSecret("redis://127.0.0.1:6379/0")
	}
	if _, err := options(c); err != nil {
		r.Fault("REDIS_URL", "%v", err)
	}
	return c
}

// Open connects, trying for up to 30 s: services may start in any order.
func Open(ctx context.Context, cfg Config) (redis.UniversalClient, error) {
	opts, err := options(cfg)
	if err != nil {
		return nil, fmt.Errorf("read REDIS_URL: %w", err)
	}
	// go-redis writes plain lines of its own to standard error; every error it would tell comes back from a call as well.
	redis.SetLogger(silent{})
	client := redis.NewUniversalClient(opts)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var why error
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return client, nil
		}
		if why == nil || ctx.Err() == nil {
			why = err // not that the time was up while it tried, but what it came to before
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("connect to Redis (is REDIS_URL right and the server up?): %w", why), client.Close())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// silent is a logger that says nothing.
type silent struct{}

// Printf implements go-redis's logger.
func (silent) Printf(context.Context, string, ...any) {}

func options(cfg Config) (*redis.UniversalOptions, error) {
	u, err := url.Parse(cfg.URL.Reveal())
	if err != nil {
		return nil, errors.New("is not a URL") // the parser's own error would print the password
	}
	password, _ := u.User.Password()
	o := &redis.UniversalOptions{
		Addrs: strings.Split(u.Host, ","), Username: u.User.Username(), Password: password,
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, ContextTimeoutEnabled: true,
	}
	path := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		if path != "" {
			if _, err := fmt.Sscanf(path, "%d", &o.DB); err != nil {
				return nil, fmt.Errorf("path %q is not a database number", path)
			}
		}
	case "redis+sentinel", "rediss+sentinel":
		if path == "" {
			return nil, errors.New("a sentinel address needs the master's name as its path: redis+sentinel://host:26379/mymaster")
		}
		o.MasterName = path
	case "redis+cluster", "rediss+cluster":
		o.IsClusterMode = true
	default:
		return nil, fmt.Errorf("scheme %q is none of redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster", u.Scheme)
	}
	if strings.HasPrefix(u.Scheme, "rediss") {
		o.TLSConfig, err = tlsConfig(cfg.CA)
	}
	return o, err
}

func tlsConfig(ca string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(ca) //nolint:gosec // the operator names the file in the environment
	if err != nil {
		return nil, fmt.Errorf("read REDIS_CA: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("REDIS_CA holds no certificate")
	}
	return c, nil
}

// EachMaster calls f for every master of a cluster, several at a time, or for the one server.
func EachMaster(ctx context.Context, client redis.UniversalClient, f func(context.Context, *redis.Client) error) error {
	switch c := client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, f)
	case *redis.Client:
		return f(ctx, c)
	default:
		return fmt.Errorf("redis client of unknown kind %T", client)
	}
}
