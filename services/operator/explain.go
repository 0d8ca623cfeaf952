package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// explainTimeout bounds the looking up of one story.
const explainTimeout = 30 * time.Second

func (a *app) explainCommand() *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use:   "explain <id>",
		Short: "Tell what happened to a quote, an event or a payment, step by step",
		Long: `Tells what happened, in the order in which it did: each webhook, where it lies in the log,
what was decided about it, the events that followed, the mails, and the quote's own
commands. What it prints as REF can be given to it again. It takes

  q_…                          a quote: its whole story
  evt_…, STRIPE:88120          a Stripe event: what became of it, and what followed from it
  QUOTES:4410, <…@…>           a quote's event, a mail's Message-ID: the quote's story
  cs_… pi_… ch_… in_… sub_…    an object of Stripe's: the story of the quote it belongs to;
                               --account says on which connected account it is

Steps carry the time since the first one. E-mail addresses are masked.

` + exitCodeHelp,
		Example: `  quotectl explain q_1042
  quotectl explain evt_1QaB -o json
  quotectl explain pi_3QaB --account acct_1Seller`,
		Args: exact("id"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args[0], account) },
	}
	cmd.Flags().StringVar(&account, "account", event.Platform, "the Stripe account of an object of Stripe's")
	return cmd
}

func (a *app) explain(ctx context.Context, id, account string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	nc, log, err := openLog(ctx, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	t := &teller{log: log}
	if c.Redis != nil {
		client, err := openRedis(ctx, c)
		if err != nil {
			return err
		}
		defer client.Close()
		t.reader = newReader(client)
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	stories, err := t.find(ctx, id, account)
	if err != nil {
		return err
	}
	for _, s := range stories {
		if err := a.show(a.storyView(s)); err != nil {
			return err
		}
		for _, note := range s.Notes {
			a.progress("note: %s", note)
		}
	}
	return nil
}

// find tells the stories behind an id.
func (t *teller) find(ctx context.Context, id, account string) ([]*story, error) {
	switch {
	case strings.HasPrefix(id, "evt_") && plainID(id):
		return t.ofEvent(ctx, id)
	case strings.HasPrefix(id, event.StreamStripe+":"), strings.HasPrefix(id, event.StreamQuotes+":"):
		return t.ofMessage(ctx, id)
	case strings.Contains(id, "@"):
		return t.ofMail(ctx, strings.Trim(id, "<>"))
	case !plainID(id):
		return nil, &fault{code: codeUsage, err: fmt.Errorf("%q is no id of ours", id), next: "quotectl explain --help"}
	}
	s, err := t.ofQuote(ctx, id)
	if err == nil {
		return []*story{s}, nil
	}
	if !errors.Is(err, natsstream.ErrNotFound) {
		return nil, err
	}
	return t.ofObject(ctx, id, account)
}

// ofEvent tells what became of a Stripe event.
func (t *teller) ofEvent(ctx context.Context, id string) ([]*story, error) {
	records, err := findEvent(ctx, t.log, id)
	if err != nil {
		return nil, err
	}
	var stories []*story
	for _, r := range records {
		s, err := t.ofRecord(ctx, r)
		if err != nil {
			return nil, err
		}
		stories = append(stories, s)
	}
	return stories, nil
}

// findEvent returns the stored messages of an event id: one, or several when the id was used by several accounts, or for
// different events (which ingress sets aside).
func findEvent(ctx context.Context, log *natsstream.Log, id string) ([]natsstream.Record, error) {
	records, err := log.ReadAll(ctx, event.StreamStripe, "stripe.*.*."+id+".>", "stripe.conflict.*.*."+id+".*")
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, notFound("look in Stripe whether it was delivered; resend it from there", "event %s is not in the log: ingress has not stored it", id)
	}
	return records, nil
}

// ofRecord tells the part of its quote's story that a stored Stripe event led to, or, without a quote, what was decided.
func (t *teller) ofRecord(ctx context.Context, r natsstream.Record) (*story, error) {
	id, _ := eventOf(r)
	alone := &story{Flags: []string{}, zone: time.UTC}
	if err := t.addStripeRecord(ctx, alone, r); err != nil {
		return nil, err
	}
	alone.finish()
	if t.reader == nil {
		return alone, nil
	}
	o, err := t.reader.Outcome(ctx, event.StreamStripe, r.Sequence)
	if errors.Is(err, redisquote.ErrNotFound) || err == nil && o.Quote == "" {
		return alone, nil
	}
	if err != nil {
		return nil, err
	}
	whole, err := t.ofQuote(ctx, o.Quote)
	if errors.Is(err, natsstream.ErrNotFound) {
		return alone, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(whole.Steps, func(st step) bool { return st.Ref == reference(r) }) {
		whole.Steps = append(whole.Steps, alone.Steps...) // a repetition is not listed among the quote's events
	}
	if !whole.only(id) {
		return alone, nil
	}
	return whole, nil
}

// ofMessage tells the story behind STREAM:sequence.
func (t *teller) ofMessage(ctx context.Context, ref string) ([]*story, error) {
	r, err := readReference(ctx, t.log, ref)
	if err != nil {
		return nil, err
	}
	if r.Stream == event.StreamStripe {
		s, err := t.ofRecord(ctx, r)
		return []*story{s}, err
	}
	subject, ok := event.ParseQuoteSubject(r.Subject)
	if !ok {
		return nil, fmt.Errorf("%s has subject %s, which is no quote's", ref, r.Subject)
	}
	s, err := t.ofQuote(ctx, subject.Quote)
	return []*story{s}, err
}

// readReference reads the message that STREAM:sequence names.
func readReference(ctx context.Context, log *natsstream.Log, ref string) (natsstream.Record, error) {
	stream, number, _ := strings.Cut(ref, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 {
		return natsstream.Record{}, &fault{code: codeUsage, err: fmt.Errorf("%q is not of the form STRIPE:88120", ref), next: "quotectl explain --help"}
	}
	r, err := log.ReadSequence(ctx, stream, seq)
	if errors.Is(err, natsstream.ErrNotFound) {
		return natsstream.Record{}, notFound("quotectl explain <quote id>", "%s: the log has no such message", ref)
	}
	return r, err
}

// ofMail tells the story of the quote that a mail is about.
func (t *teller) ofMail(ctx context.Context, messageID string) ([]*story, error) {
	var quoteID string
	err := t.eachMail(ctx, ">", func(key string, e mailEntry) {
		if parts := strings.Split(key, "."); e.MessageID == messageID && len(parts) > 1 {
			quoteID = parts[1]
		}
	})
	if err != nil {
		return nil, err
	}
	if quoteID == "" {
		return nil, notFound("quotectl explain <quote id>", "no mail of ours has the Message-ID <%s>", messageID)
	}
	s, err := t.ofQuote(ctx, quoteID)
	return []*story{s}, err
}

// ofObject tells the story of the quotes that an object of Stripe's belongs to.
func (t *teller) ofObject(ctx context.Context, id, account string) ([]*story, error) {
	if t.reader == nil {
		return nil, notFound("export REDIS_URL=redis://127.0.0.1:6379/0", "%s is no quote's id, and without Redis nothing else can be looked up", id)
	}
	quotes, err := t.reader.LinkedQuotes(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if len(quotes) == 0 {
		return nil, notFound("quotectl explain "+id+" --account acct_…", "%s is neither a quote nor an object of Stripe's account %q that belongs to a quote", id, account)
	}
	var stories []*story
	for _, q := range quotes {
		s, err := t.ofQuote(ctx, q)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		stories = append(stories, s)
	}
	if len(stories) == 0 {
		return nil, notFound("quotectl explain <event id>", "%s belongs to the quote %s, of which the log knows nothing", id, strings.Join(quotes, ", "))
	}
	return stories, nil
}

func (a *app) storyView(s *story) view {
	v := view{document: s, items: []any{}, table: table{columns: []string{"TIME", "AFTER", "KIND", "REF", "WHAT"}}}
	if s.Quote != "" {
		head := fmt.Sprintf("Quote %s revision %s  %s  %s  %s mode, account %s", s.Quote, revision(s.Revision),
			dash(s.Card), money(s.Amount, s.Currency), dash(s.Mode), dash(s.Account))
		if len(s.Flags) > 0 {
			head += "  flags " + strings.Join(s.Flags, ",")
		}
		v.before = []string{head, ""}
	}
	for _, st := range s.Steps {
		v.items = append(v.items, st)
		v.table.add(a.clock(st.At), "+"+elapsed(time.Duration(st.AfterMS*float64(time.Millisecond))), st.Kind, st.Ref, st.Summary)
	}
	return v
}
