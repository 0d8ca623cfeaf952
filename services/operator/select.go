package operator

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// selectionFlags gives a command the words of the selection language as flags, but for those left out. The returned function
// reads them.
func (a *app) selectionFlags(cmd *cobra.Command, limit string, without ...string) func() (selection.Selection, error) {
	single, many := map[string]*string{}, map[string]*[]string{}
	left := map[string]bool{}
	for _, name := range without {
		left[name] = true
	}
	for _, t := range selection.Terms {
		switch {
		case left[t.Name]:
		case t.Many:
			many[t.Name] = cmd.Flags().StringArray(t.Name, nil, t.Usage)
		default:
			fallback := map[string]string{"limit": limit}[t.Name]
			single[t.Name] = cmd.Flags().String(t.Name, fallback, t.Usage)
		}
	}
	if !left["outcome"] { // it fails only for a flag that does not exist
		_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(selection.Outcomes, cobra.ShellCompDirectiveNoFileComp))
	}
	return func() (selection.Selection, error) {
		values := url.Values{}
		for name, text := range single {
			values.Set(name, *text)
		}
		for name, texts := range many {
			values[name] = *texts
		}
		s, err := selection.Parse(values, a.now().In(a.zone))
		if err != nil {
			return s, usage(cmd, "--%s", strings.ReplaceAll(err.Error(), "\n", "\n--"))
		}
		return s, nil
	}
}

// backend is what commands that look at the log work with. Redis may be missing: then noRedis says why, and redis and reader
// are nil.
type backend struct {
	nc      *nats.Conn
	log     *natsstream.Log
	redis   redis.UniversalClient
	reader  *redisquote.Reader
	noRedis error
	close   func()
}

// openLogOnly connects to NATS: for what the log alone can tell, so that it can be told while Redis is down.
func (a *app) openLogOnly(ctx context.Context) (backend, error) {
	c, err := a.config()
	if err != nil {
		return backend{}, err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return backend{}, err
	}
	return backend{nc: nc, log: log, close: nc.Close}, nil
}

// openBackend connects to NATS and to Redis. That Redis is not configured or does not answer is no error: the log is the
// truth, and what it tells is told all the same. Who cannot do without Redis asks needsRedis.
func (a *app) openBackend(ctx context.Context) (backend, error) {
	c, err := a.config()
	if err != nil {
		return backend{}, err
	}
	nc, log, err := a.openLog(ctx, c)
	if err != nil {
		return backend{}, err
	}
	b := backend{nc: nc, log: log, close: nc.Close}
	if b.redis, b.noRedis = openRedis(ctx, c); b.redis == nil {
		return b, nil
	}
	b.close = func() { _ = b.redis.Close(); nc.Close() }
	if b.reader, err = newReader(ctx, log, b.redis); err != nil {
		b.close()
		return backend{}, err
	}
	return b, nil
}

// needsRedis is an error where there is no Redis; what says why that matters.
func (b backend) needsRedis(what string) error {
	if b.noRedis == nil {
		return nil
	}
	return advise(advice.Next(b.noRedis), "%s: %w", what, b.noRedis)
}

// withoutRedis tells on stderr what is missing from an answer, and why.
func (a *app) withoutRedis(b backend, missing string) {
	if b.noRedis != nil {
		a.progress("note: %v: %s", b.noRedis, missing)
	}
}

func (b backend) finder() *selection.Finder { return &selection.Finder{Log: b.log, Reader: b.reader} }

// looking returns a progress function that tells on stderr every two seconds how far a search is, from the second second on.
func (a *app) looking() func(looked, all uint64) {
	told := a.now()
	return func(looked, all uint64) {
		if now := a.now(); now.Sub(told) >= 2*time.Second && looked < all {
			told = now
			a.progress("looked at %d of %d", looked, all)
		}
	}
}
