package payments

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1; nothing is protected by it
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

//go:embed commit.lua
var commitSource string

//go:embed draft.lua
var draftSource string

// script is a Lua script and the name that Redis knows it by.
type script struct{ source, sha string }

func newScript(source string) script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
	return script{source, hex.EncodeToString(sum[:])}
}

var commitScript, draftScript = newScript(commitSource), newScript(draftSource)

// maxConflicts bounds how often one batch folds again onto what another worker has committed meanwhile. Two workers
// meet on a quote a few times at most; the bound turns a fault of ours into a delay instead of a loop.
const maxConflicts = 20

// reload reads the facts of the given settlements from Redis.
func (b *batch) reload(ctx context.Context, which []*settlement) error {
	if len(which) == 0 {
		return nil
	}
	pipe := b.w.redis.Pipeline()
	reads := make([]*redis.MapStringStringCmd, len(which))
	for i, s := range which {
		reads[i] = pipe.HGetAll(ctx, b.keys.Pay(s.account, s.quote))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("load facts: %w", err)
	}
	for i, s := range which {
		s.err = s.take(reads[i].Val())
	}
	return nil
}

// take makes the fields of a Pay hash the settlement's loaded facts.
func (s *settlement) take(fields map[string]string) error {
	stored, err := redisquote.DecodePayment(fields)
	if err != nil {
		return fmt.Errorf("read facts of %s: %w", s.quote, err)
	}
	s.digest, s.before, s.marks, s.loaded = stored.Digest, stored.Status, stored.Marks, quote.Facts{}
	if len(stored.Facts) > 0 {
		if s.loaded, err = quote.DecodeFacts(stored.Facts); err != nil {
			return fmt.Errorf("read facts of %s: %w", s.quote, err)
		}
	}
	return nil
}

// commit writes the grown facts by compare-and-set. Where another worker was faster, its facts are merged and the
// quote is linked and written again: facts only grow, so this ends.
func (b *batch) commit(ctx context.Context) error {
	pending := make([]*settlement, 0, len(b.order))
	for _, s := range b.order {
		if s.changed && s.err == nil {
			pending = append(pending, s)
		}
	}
	for range maxConflicts {
		if len(pending) == 0 {
			return nil
		}
		lost, err := b.commitOnce(ctx, pending)
		if err != nil {
			return err
		}
		b.w.metrics.conflicts.Add(float64(len(lost)))
		if len(lost) > 0 {
			if err := b.link(ctx); err != nil {
				return err
			}
		}
		pending = lost
	}
	for _, s := range pending {
		s.err = fmt.Errorf("commit %s: lost %d races", s.quote, maxConflicts)
	}
	return nil
}

// commitOnce tries to write each settlement and returns those that met other facts, which it has merged in.
func (b *batch) commitOnce(ctx context.Context, pending []*settlement) (lost []*settlement, err error) {
	answers, err := b.w.runScripts(ctx, commitScript, len(pending), func(i int) ([]string, []any) {
		s := pending[i]
		flags := make([]string, len(s.state.Flags))
		for n, f := range s.state.Flags {
			flags[n] = string(f)
		}
		facts := s.facts.Encode()
		return []string{b.keys.Pay(s.account, s.quote)},
			[]any{s.digest, quote.DigestOf(facts), facts, string(s.state.Status), strings.Join(flags, ",")}
	})
	if err != nil {
		return nil, fmt.Errorf("commit facts: %w", err)
	}
	for i, s := range pending {
		answer, err := answers[i].Slice()
		if err != nil || len(answer) == 0 {
			return nil, fmt.Errorf("commit facts of %s: answer %v: %w", s.quote, answers[i].Val(), err)
		}
		if done, ok := answer[0].(int64); ok && done == 1 {
			switch {
			case s.before == string(s.state.Status):
			case s.decidesAlone():
				b.moved = append(b.moved, s)
			default:
				b.touched[s.quote] = true
			}
			continue
		}
		facts, _ := answer[1].(string)
		digest, _ := answer[2].(string)
		if s.err = s.rebase(facts, digest); s.err == nil {
			lost = append(lost, s)
		}
	}
	return lost, nil
}

// decidesAlone reports whether the status that the seller sees is this settlement's: a payment has begun, and no revision is
// published on another account.
func (s *settlement) decidesAlone() bool {
	elsewhere := func(r quote.Revision) bool { return r.Account != s.account }
	return s.state.Status != quote.StatusPending && len(s.facts.Revisions) > 0 && !slices.ContainsFunc(s.facts.Revisions, elsewhere)
}

// rebase folds what another worker has committed into the settlement.
func (s *settlement) rebase(facts, digest string) error {
	s.loaded = quote.Facts{}
	if facts != "" {
		var err error
		if s.loaded, err = quote.DecodeFacts([]byte(facts)); err != nil {
			return fmt.Errorf("read facts of %s: %w", s.quote, err)
		}
	}
	s.digest = digest
	return isolate(func() { s.merge(s.loaded) })
}

// runScripts calls a script n times in one pipeline. A pipeline does not fall back from EVALSHA by itself when the
// server has forgotten its scripts, so the whole is repeated with the source; scripts here are harmless to repeat.
func (w *worker) runScripts(ctx context.Context, sc script, n int, args func(i int) (keys []string, argv []any)) ([]*redis.Cmd, error) {
	call := func(run func(p redis.Pipeliner, keys []string, argv []any) *redis.Cmd) ([]*redis.Cmd, error) {
		pipe := w.redis.Pipeline()
		cmds := make([]*redis.Cmd, n)
		for i := range n {
			keys, argv := args(i)
			cmds[i] = run(pipe, keys, argv)
		}
		_, err := pipe.Exec(ctx)
		return cmds, err
	}
	cmds, err := call(func(p redis.Pipeliner, keys []string, argv []any) *redis.Cmd {
		return p.EvalSha(ctx, sc.sha, keys, argv...)
	})
	if err == nil || errors.Is(err, redis.Nil) {
		return cmds, nil
	}
	if !anyNoScript(cmds) {
		return nil, err
	}
	return call(func(p redis.Pipeliner, keys []string, argv []any) *redis.Cmd {
		return p.Eval(ctx, sc.source, keys, argv...)
	})
}

func anyNoScript(cmds []*redis.Cmd) bool {
	for _, c := range cmds {
		if err := c.Err(); err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			return true
		}
	}
	return false
}
