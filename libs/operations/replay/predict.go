package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// System is what replays work on. All members but Progress are required.
type System struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	Now   func() time.Time
	// Progress is told how far a long step is; it may be nil.
	Progress func(rebuild.Progress)
}

// folded is the one word for applied, corroborated and duplicate: which of several messages that tell the same is the applied
// one depends on the order in which they came.
const folded = "folded"

func classOf(kind string) string {
	if (projection.Outcome{Kind: kind}).Folded() {
		return folded
	}
	return kind
}

// prediction is what folding a selection would do to the state as it is.
type prediction struct {
	quotes       []Quote
	accountFacts []string
	// outcomes are what each message would come to, by sequence, and recorded what would then stand as its outcome in Redis,
	// where the first one stands.
	outcomes, recorded map[uint64]string
	undecided, gone    int
	stream             string
}

// message is one of the selected ones, read.
type message struct {
	at     projection.Message // without its body
	stripe projection.StripeEvent
	quote  projection.QuoteEvent
}

// maxRounds bounds the search for what a selection bears on: each round reaches one link further, and the longest chain of
// Stripe's (refund, charge, intent, invoice, subscription, quote) has six.
const maxRounds = 40

// predict folds the selection into a copy of what Redis holds.
func (s System) predict(ctx context.Context, z selection.Frozen, resend bool) (*prediction, error) {
	keys, rules, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := s.read(ctx, z, rules)
	if err != nil {
		return nil, err
	}
	l := newLive(s.Redis, keys, s.Log, rules)
	p := &prediction{stream: z.Stream, gone: len(z.Sequences) - len(messages)}
	work, err := s.fold(ctx, l, messages, p)
	if err != nil {
		return nil, err
	}
	if err := p.record(ctx, l, z); err != nil {
		return nil, err
	}
	for _, k := range work.Folded() {
		q := Quote{Account: k.Account, Quote: k.Quote, Before: l.before[k], After: l.before[k], Mails: []Mail{}}
		if facts := work.Facts(k); facts.Digest() != l.digest[k] {
			shown := work.Live(k)
			q.After = Side{Status: shown.Status, Flags: shown.Flags, Digest: shown.Digest}
		}
		p.quotes = append(p.quotes, q)
	}
	if err := s.predictFacts(ctx, work, p); err != nil {
		return nil, err
	}
	if err := s.predictAccountFacts(ctx, messages, p); err != nil {
		return nil, err
	}
	return p, s.predictMails(ctx, work, p, resend)
}

// rules are what payments decides by, and the keys of the generation in use.
func (s System) rules(ctx context.Context) (redisquote.Keys, projection.Rules, error) {
	rules, err := rebuild.Rules(ctx, s.Log)
	if err != nil {
		return redisquote.Keys{}, rules, err
	}
	g, err := s.Log.LatestGeneration(ctx)
	if err != nil {
		return redisquote.Keys{}, rules, err
	}
	if g.Read != g.Write {
		return redisquote.Keys{}, rules, advice.New("quotectl rebuild status", "a rebuild is handing over from %s to %s at this moment", g.Read, g.Write)
	}
	keys := redisquote.NewKeys(g.Read)
	whole, err := redisquote.NewReader(s.Redis, keys).Complete(ctx)
	if err == nil && !whole {
		err = advice.New("look at payments' /readyz and log; then the same again", "Redis has lost keys, and payments is folding the log again")
	}
	return keys, rules, err
}

// read reads what the messages say; their bodies are not kept.
func (s System) read(ctx context.Context, z selection.Frozen, rules projection.Rules) ([]message, error) {
	messages := make([]message, 0, len(z.Sequences))
	meter := s.meter("read", len(z.Sequences))
	for part := range slices.Chunk(z.Sequences, natsstream.MaxReplay) {
		records, err := s.Log.ReadMany(ctx, z.Stream, part)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			m := message{at: projection.Message{Subject: r.Subject, Sequence: r.Sequence, Time: r.Time}}
			if r.Stream == event.StreamStripe {
				m.stripe = rules.ReadStripe(r.Subject, r.Data)
			} else {
				m.quote = projection.ReadQuote(r.Subject, r.Data)
			}
			messages = append(messages, m)
		}
		meter.add(len(part))
	}
	return messages, nil
}

// fold folds until nothing that was touched is missing.
func (s System) fold(ctx context.Context, l *live, messages []message, p *prediction) (*projection.Projection, error) {
	for round := 1; ; round++ {
		p.outcomes = make(map[uint64]string, len(messages))
		work := l.base.Clone(func(at projection.Place, o projection.Outcome) {
			if at.Stripe != (p.stream == event.StreamStripe) {
				return // released by a publication
			}
			if o.Stands() || !(projection.Outcome{Kind: p.outcomes[at.Sequence]}).Stands() {
				p.outcomes[at.Sequence] = o.Kind
			}
		})
		meter := s.meter(fmt.Sprintf("fold, round %d", round), len(messages))
		for i := range messages {
			if m := &messages[i]; m.quote.Subject.Event != "" || strings.HasPrefix(m.at.Subject, "quote.") {
				work.FoldQuote(m.at, m.quote)
			} else {
				work.FoldStripe(m.at, m.stripe)
			}
			if i%natsstream.MaxReplay == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			meter.add(1)
		}
		missing := work.Missing()
		if missing.None() {
			return work, nil
		}
		if round == maxRounds {
			return nil, fmt.Errorf("after %d rounds the messages still bear on more: %d quotes, %d objects", round, len(missing.Keys), len(missing.Objects))
		}
		if err := l.load(ctx, missing); err != nil {
			return nil, err
		}
	}
}

// record says what outcome will stand in Redis: the first that was recorded does, except that a message that waited is told
// anew. Whether that happens to one that is folded now depends on what comes first, the message or its link: of those nothing
// is foretold.
func (p *prediction) record(ctx context.Context, l *live, z selection.Frozen) error {
	stands, err := l.recorded(ctx, z.Stream, z.Sequences)
	if err != nil {
		return err
	}
	p.recorded = make(map[uint64]string, len(z.Sequences))
	told := p.outcomes
	p.outcomes = make(map[uint64]string, len(z.Sequences))
	for _, sequence := range z.Sequences {
		kind, there := told[sequence]
		if !there {
			continue // gone from the log
		}
		class := classOf(kind)
		p.outcomes[sequence], p.recorded[sequence] = class, class
		switch o, decided := stands[sequence]; {
		case !decided:
			p.undecided++
		case class == folded && (o.Outcome == projection.Parked || o.Outcome == projection.Ignored):
			delete(p.recorded, sequence)
		case o.Outcome != projection.Parked:
			p.recorded[sequence] = classOf(o.Outcome)
		}
	}
	return nil
}

// subjectsAtOnce is how many subjects are looked up in one request; the server's limit is 1,024.
const subjectsAtOnce = 1000

// stored tells which of the subjects the stream holds.
func (s System) stored(ctx context.Context, stream string, subjects []string) (map[string]natsstream.Record, error) {
	found := map[string]natsstream.Record{}
	for part := range slices.Chunk(subjects, subjectsAtOnce) {
		records, err := s.Log.ReadAll(ctx, stream, part...)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			r.Data = slices.Clone(r.Data)
			found[r.Subject] = r
		}
	}
	return found, nil
}

// predictFacts finds the facts that payments would publish: those that are due and that the log does not hold. quote.paid of
// a revision is not to be once the next one is published.
func (s System) predictFacts(ctx context.Context, work *projection.Projection, p *prediction) error {
	var subjects []string
	due := map[int][]event.QuoteSubject{}
	for i, q := range p.quotes {
		for _, e := range work.Unsent(projection.Key{Account: q.Account, Quote: q.Quote}) {
			subject := event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: q.Quote, N: e.N}
			due[i] = append(due[i], subject)
			subjects = append(subjects, subject.String())
			if next, ok := successor(subject); ok {
				subjects = append(subjects, next)
			}
		}
	}
	found, err := s.stored(ctx, event.StreamQuotes, subjects)
	if err != nil {
		return err
	}
	for i, subjects := range due {
		q := &p.quotes[i]
		for _, subject := range subjects {
			next, guarded := successor(subject)
			_, taken := found[subject.String()]
			_, superseded := found[next]
			switch {
			case taken:
			case guarded && superseded:
				q.Superseded = append(q.Superseded, subject.String())
			default:
				q.Facts = append(q.Facts, subject.String())
			}
		}
	}
	return nil
}

// successor is the publication that forbids a quote.paid.
func successor(s event.QuoteSubject) (string, bool) {
	n, ok := s.Number()
	if s.Event != quote.EventPaid || !ok {
		return "", false
	}
	return event.QuoteSubject{Event: event.NamePublished, Seller: s.Seller, Quote: s.Quote, N: fmt.Sprint(n + 1)}.String(), true
}

// predictAccountFacts finds what would be published about Stripe accounts.
func (s System) predictAccountFacts(ctx context.Context, messages []message, p *prediction) error {
	var subjects []string
	for i := range messages {
		e := &messages[i].stripe
		if e.About == nil {
			continue
		}
		name := event.NameAccountUpdated
		if e.About.Deauthorized {
			name = event.NameAccountDeauthorized
		}
		subjects = append(subjects, event.SellerSubject(name, e.Account, e.Outcome.EventID))
	}
	found, err := s.stored(ctx, event.StreamSellers, subjects)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		if _, taken := found[subject]; !taken && !slices.Contains(p.accountFacts, subject) {
			p.accountFacts = append(p.accountFacts, subject)
		}
	}
	slices.Sort(p.accountFacts)
	return nil
}
