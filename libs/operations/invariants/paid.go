package invariants

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/natsstream"
)

// lookEvery is how often Check looks whether what is missing has come.
const lookEvery = 200 * time.Millisecond

// paidFacts gathers what I4 and I5 are judged by: first all messages (read), then the parts into which they were folded (part).
type paidFacts struct {
	// facts are the stored quote.paid by their subject.
	facts map[event.QuoteSubject]*paidFact
	// due are those that the fold demands and that were not read, with how far the log must be folded for that.
	due    map[event.QuoteSubject]projection.Reach
	folded bool
	looked int // paid revisions
	broken []string
}

type paidFact struct {
	sequence  uint64
	justified bool
	late      bool // stored after the fold; not judged
}

func newPaidFacts() *paidFacts {
	return &paidFacts{facts: map[event.QuoteSubject]*paidFact{}, due: map[event.QuoteSubject]projection.Reach{}}
}

// read takes a message in; only those of quote.paid matter.
func (p *paidFacts) read(subject string, sequence uint64, body []byte) {
	s, ok := event.ParseQuoteSubject(subject)
	if !ok || s.Event != event.NamePaid {
		return
	}
	if known := p.facts[s]; known != nil && known.sequence != sequence {
		p.broken = append(p.broken, fmt.Sprintf("%s is in the log twice, as messages %d and %d", subject, known.sequence, sequence))
		return
	}
	if e, err := event.Decode(body); err != nil {
		p.broken = append(p.broken, fmt.Sprintf("%s does not decode: %v", subject, err))
	} else if want := event.ID(event.NamePaid, s.Seller, s.Quote, s.N); e.ID != want {
		p.broken = append(p.broken, fmt.Sprintf("the id of %s is %s, want %s", subject, e.ID, want))
	}
	p.facts[s] = &paidFact{sequence: sequence, late: p.folded}
	delete(p.due, s)
}

// part takes in what some quotes were folded to.
func (p *paidFacts) part(part *projection.Projection) {
	p.folded = true
	for _, k := range part.Keys() {
		for _, e := range part.State(k).Due {
			if e.Event != event.NamePaid {
				continue
			}
			p.looked++
			s := event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: k.Quote, N: e.N}
			if fact := p.facts[s]; fact != nil {
				fact.justified = true
			} else {
				p.due[s] = part.Reach(k)
			}
		}
	}
}

// paid judges I4 and I5.
func (r *run) paid(ctx context.Context, p *paidFacts) error {
	r.line("I4").Looked, r.line("I5").Looked = p.looked, len(p.facts)
	for _, what := range p.broken {
		r.fail("I4", "quotectl events list", "%s", what)
	}
	for s, fact := range p.facts {
		if !fact.justified && !fact.late {
			r.fail("I5", "quotectl explain "+s.Quote, "%s is in the log, and no payment of that revision", s)
		}
	}
	if len(p.due) == 0 {
		return nil
	}
	missing, open, err := r.missing(ctx, p)
	if err != nil {
		return err
	}
	r.line("I4").InFlight = open
	for _, s := range missing {
		r.fail("I4", "quotectl explain "+s.Quote+" --why-not-paid", "%s revision %s is paid, and %s is not in the log", s.Quote, s.N, s)
	}
	return nil
}

// missing waits for the due facts until each is there or payments has acknowledged all that it follows from.
func (r *run) missing(ctx context.Context, p *paidFacts) (missing []event.QuoteSubject, open int, err error) {
	for deadline := r.Now().Add(cmp.Or(r.SettleFor, rebuild.SettleFor)); ; {
		var floor projection.Reach
		if floor.Quotes, err = r.Log.AckFloor(ctx, event.StreamQuotes, natsstream.DurablePayments); err != nil {
			return nil, 0, err
		}
		if floor.Stripe, err = r.Log.AckFloor(ctx, event.StreamStripe, natsstream.DurablePayments); err != nil {
			return nil, 0, err
		}
		missing, open = nil, 0
		for s, reach := range p.due {
			lacking, err := check.Emissions{Log: r.Log}.Lacks(ctx, s)
			switch {
			case err != nil:
				return nil, 0, err
			case !lacking:
				delete(p.due, s)
			case reach.Within(floor): // read before the look: payments acknowledges after it has published
				missing = append(missing, s)
			default:
				open++
			}
		}
		if open == 0 || r.Now().After(deadline) {
			return missing, open, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
