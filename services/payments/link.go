package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// objectOf is a Stripe object of an account.
type objectOf struct{ account, object string }

// link ties the objects that a quote's facts name to the quote, and merges what waited for that tie, until no new
// object turns up: refund → charge → intent → invoice → quote may take as many rounds as there are arrows. It comes
// before the commit, so that "in committed facts" means "linked": only objects that the loaded facts did not name
// need a tie now.
func (b *batch) link(ctx context.Context) error {
	for {
		fresh := b.freshObjects()
		if len(fresh) == 0 {
			return nil
		}
		if err := b.linkRound(ctx, fresh); err != nil {
			return err
		}
		fault.Hit("payments.after-link")
	}
}

// tie is one object to be tied to one quote.
type tie struct {
	s      *settlement
	object string
}

// freshObjects lists the ties that neither the loaded facts nor an earlier round has made.
//
// After a loss the loaded facts prove nothing: who had linked before it may have committed after it.
func (b *batch) freshObjects() []tie {
	var ties []tie
	for _, s := range b.order {
		if s.err != nil || !s.changed && !b.relink {
			continue
		}
		var known []string
		if !b.relink {
			known = s.loaded.Objects()
		}
		for _, object := range s.facts.Objects() {
			if _, old := slices.BinarySearch(known, object); !old && !slices.Contains(s.linked, object) {
				s.linked = append(s.linked, object)
				ties = append(ties, tie{s, object})
			}
		}
	}
	return ties
}

func (b *batch) linkRound(ctx context.Context, ties []tie) error {
	ties, err := b.tied(ctx, ties)
	if err != nil || len(ties) == 0 {
		return err
	}
	pipe := b.w.redis.Pipeline()
	reads := make([]*redis.MapStringStringCmd, len(ties))
	for i, t := range ties {
		reads[i] = pipe.HGetAll(ctx, b.keys.Link(t.s.account, t.object))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	var again []parked
	for i, t := range ties {
		inVain, err := b.givenUpIn(ctx, reads[i].Val())
		if err != nil {
			return err
		}
		for _, waiting := range append(waitingIn(reads[i].Val()), inVain...) {
			t.release(waiting)
		}
		for _, p := range inVain {
			p.account = t.s.account
			again = append(again, p)
		}
	}
	return b.waitAgain(ctx, again)
}

// tied ties the objects, and returns those ties under which something else than themselves stands: of most objects nothing waits.
func (b *batch) tied(ctx context.Context, ties []tie) (others []tie, err error) {
	pipe := b.w.redis.Pipeline()
	fields := make([]*redis.IntCmd, len(ties))
	for i, t := range ties {
		key := b.keys.Link(t.s.account, t.object)
		pipe.HSet(ctx, key, redisquote.LinkQuote+t.s.quote, "1")
		fields[i] = pipe.HLen(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("link objects: %w", err)
	}
	for i, t := range ties {
		if fields[i].Val() > 1 {
			others = append(others, t)
		}
	}
	return others, nil
}

// waitAgain lets changes that were given up wait again until the batch records what became of them: should it not come to
// that, the sweep finds them.
func (b *batch) waitAgain(ctx context.Context, changes []parked) error {
	if len(changes) == 0 {
		return nil
	}
	pipe := b.w.redis.Pipeline()
	for _, p := range changes {
		b.overwrite(ctx, pipe, p, redisquote.Outcome{Outcome: projection.Parked, Reason: projection.ReasonWaits})
		for _, name := range p.Names {
			pipe.ZAddNX(ctx, b.keys.IndexParked(), redis.Z{
				Score: float64(b.began.UnixMilli()), Member: redisquote.ParkedMember(p.account, name, p.Sequence),
			})
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("index parked changes: %w", err)
	}
	return nil
}

// release merges a change that had waited for the tie.
func (t tie) release(waiting parked) {
	waiting.account = t.s.account
	facts, err := quote.DecodeFacts(waiting.Facts)
	if err == nil {
		err = isolate(func() {
			if t.s.merge(facts) {
				t.s.released = append(t.s.released, waiting)
			} else {
				t.s.knew = append(t.s.knew, waiting)
			}
		})
	}
	if err != nil {
		t.s.err = fmt.Errorf("merge what waited for %s: %w", t.object, err)
	}
}

// givenUpIn returns the changes that have waited in vain under a link, read anew from the log, by sequence: they count as if
// the link had come in time, so that what Redis holds does not depend on when it came. What was erased counts no more.
func (b *batch) givenUpIn(ctx context.Context, fields map[string]string) ([]parked, error) {
	var all []parked
	for field := range fields {
		digits, ok := strings.CutPrefix(field, redisquote.LinkGivenUp)
		sequence, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil {
			continue
		}
		r, err := b.w.events.ReadSequence(ctx, event.StreamStripe, sequence)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read what was given up: %w", err)
		}
		if e := b.w.rules().ReadStripe(r.Subject, r.Data); e.Outcome.Kind == "" {
			all = append(all, parked{ParkedChange: redisquote.NewParkedChange(e, r.Sequence, r.Time)})
		}
	}
	slices.SortFunc(all, func(x, y parked) int { return cmp.Compare(x.Sequence, y.Sequence) })
	return all, nil
}

// waitingIn returns the changes parked in a link's hash, by sequence. One that cannot be read is passed over here: it was
// written by this program, and the log still holds its event.
func waitingIn(fields map[string]string) []parked {
	var all []parked
	for field, value := range fields {
		if !strings.HasPrefix(field, redisquote.LinkParked) {
			continue
		}
		if p, err := redisquote.DecodeParkedChange(value); err == nil {
			all = append(all, parked{ParkedChange: p})
		}
	}
	slices.SortFunc(all, func(x, y parked) int { return cmp.Compare(x.Sequence, y.Sequence) })
	return all
}

// linkRenewals marks the invoices that the batch's changes tell to be renewals, so that the intents and charges of a
// renewal are ignored rather than parked for days.
func (b *batch) linkRenewals(ctx context.Context) error {
	var objects []objectOf
	for _, it := range b.items {
		if it.err != nil || len(it.targets) == 0 {
			continue
		}
		for _, object := range it.change.Facts.RenewalObjects() {
			objects = append(objects, objectOf{it.targets[0].account, object})
		}
	}
	return b.markRenewals(ctx, objects)
}

// markRenewals marks objects as a renewal's, and with them whatever the changes that wait there name, and so on.
func (b *batch) markRenewals(ctx context.Context, objects []objectOf) error {
	seen := map[objectOf]bool{}
	for len(objects) > 0 {
		pipe := b.w.redis.Pipeline()
		var marked []objectOf
		var reads []*redis.MapStringStringCmd
		for _, o := range objects {
			if seen[o] {
				continue
			}
			seen[o] = true
			key := b.keys.Link(o.account, o.object)
			pipe.HSet(ctx, key, redisquote.LinkRenewal, "1")
			pipe.ZAddNX(ctx, b.keys.IndexParked(), redis.Z{
				Score: float64(b.began.UnixMilli()), Member: redisquote.ParkedMember(o.account, o.object, 0),
			})
			marked, reads = append(marked, o), append(reads, pipe.HGetAll(ctx, key))
		}
		if len(marked) == 0 {
			return nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("mark renewals: %w", err)
		}
		objects = nil
		for i, o := range marked {
			for _, waiting := range waitingIn(reads[i].Val()) {
				waiting.account = o.account
				b.ignored = append(b.ignored, waiting)
				for _, name := range waiting.Names {
					objects = append(objects, objectOf{o.account, name})
				}
			}
		}
	}
	return nil
}
