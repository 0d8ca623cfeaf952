package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripebody"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// comparison is one Report in the making.
type comparison struct {
	*Reconciler
	o          Options
	now        time.Time
	listedFrom time.Time // Stripe's list reaches so far back
	report     *Report
	// told are the objects that events of the log tell of, which payments may not have folded yet; lacked those that a
	// lacking event tells of.
	told, lacked map[string]bool
}

// key is an event's id in an account.
type key struct{ account, id string }

// ours is an event of the log.
type ours struct {
	print    stripebody.Print
	sequence uint64
	made     bool // by us
	seen     bool // at Stripe too
	about    subject
}

// subject is what an event is about, as far as it can be told without the projection.
type subject struct {
	claim   stripeevent.Claim
	object  string
	names   []string // through which it may find its quote
	objects []string // that belong to its quote too, where it has one
	account bool     // it is about the account itself
	created time.Time
}

// lacking is an event of Stripe's that the log has not.
type lacking struct {
	row   Row
	about subject
	body  []byte
}

// clockMargin is how far the log server's clock, ours and Stripe's may differ.
const clockMargin = 10 * time.Minute

// events compares what Stripe lists with the log, by event id.
func (c *comparison) events(ctx context.Context) error {
	accounts, err := c.accounts(ctx)
	if err != nil {
		return err
	}
	c.o.progress("reading the log since " + c.listedFrom.UTC().Format(time.RFC3339))
	c.told, c.lacked = map[string]bool{}, map[string]bool{}
	stored, err := c.stored(ctx, accounts)
	if err != nil {
		return err
	}
	for _, account := range accounts {
		c.o.progress("listing Stripe's events of " + account)
		if err := c.ofAccount(ctx, account, stored); err != nil {
			return err
		}
	}
	return nil
}

// stored reads the events of the accounts since the list's beginning from the log.
func (c *comparison) stored(ctx context.Context, accounts []string) (map[key]*ours, error) {
	all := map[key]*ours{}
	err := c.scanSince(ctx, event.StreamStripe, c.listedFrom.Add(-clockMargin), func(m natsstream.Record) error {
		if parts := strings.Split(m.Subject, "."); len(parts) > 4 && parts[1] == "conflict" && parts[2] == c.cfg.Mode && slices.Contains(accounts, parts[3]) {
			c.report.Rows = append(c.report.Rows, Row{
				Class: Differing, Account: parts[3], Event: parts[4], Created: m.Time.UTC(), Sequence: m.Sequence,
				Detail: "ingress stored another event of this id aside", Next: "quotectl explain STRIPE:" + fmt.Sprint(m.Sequence),
			})
			return nil
		}
		s, ok := event.ParseStripeSubject(m.Subject)
		if !ok || s.Mode != c.cfg.Mode || !slices.Contains(accounts, s.Account) || !concerns(s.Type) {
			return nil
		}
		print, err := stripebody.PrintOf(m.Data)
		if err != nil {
			return nil //nolint:nilerr // ingress lays nothing unreadable under such a subject; payments says what it is
		}
		o := &ours{print: print, sequence: m.Sequence, about: about(m.Data)}
		source := m.Header.Get(event.HeaderSource)
		o.made = source == event.SourceSimulate || source == event.SourceReconcile && strings.HasPrefix(s.EventID, syntheticPrefix)
		all[key{s.Account, s.EventID}] = o
		c.told[o.about.object] = true
		return nil
	})
	return all, err
}

// concerns reports whether events of a type can matter to us.
func concerns(typ string) bool { return stripeevent.Wanted(typ) || stripeevent.AboutAccount(typ) }

// about reads what an event is about. What the worker would refuse is about nothing.
func about(body []byte) subject {
	head, err := stripebody.Peek(body)
	if err != nil {
		return subject{}
	}
	if stripeevent.AboutAccount(head.Type) {
		change, err := stripeevent.DecodeAccount(body)
		return subject{account: err == nil && change.Ignored == "", object: head.Account, created: change.Created}
	}
	change, err := stripeevent.Decode(body)
	if err != nil || change.Ignored != "" {
		return subject{created: change.Created}
	}
	return subject{
		claim: change.Claim, object: change.Object, names: change.Names, objects: append(change.Facts.Objects(), change.Object), created: change.Created,
	}
}

// ofAccount compares one account.
func (c *comparison) ofAccount(ctx context.Context, account string, stored map[key]*ours) error {
	told := Account{ID: account}
	var missed []lacking
	listed, err := c.list(ctx, account, func(body []byte) error {
		l, err := c.match(ctx, account, body, stored)
		if err == nil && l != nil {
			missed = append(missed, *l)
		}
		return err
	})
	told.Listed = listed
	// Our own account cannot leave us, and who asks for one account wants to know: a key without the right to it is trouble.
	if refused, ok := errors.AsType[*stripegate.RefusedError](err); ok && refused.AccountDetached && account != event.Platform && c.o.Account == "" {
		told.Note = "the account gives no access any more, so it was not compared: " + refused.Message
		c.report.Accounts = append(c.report.Accounts, told)
		return nil
	}
	if err != nil {
		return fmt.Errorf("account %s: %w", account, err)
	}
	var alone []lacking
	for k, o := range stored {
		if k.account != account {
			continue
		}
		told.Stored++
		switch young := o.about.created.After(c.now.Add(-c.cfg.Grace)); {
		case o.seen, o.about.created.Before(c.listedFrom), young:
		case o.made:
			c.report.Made++
		default:
			alone = append(alone, lacking{about: o.about, row: Row{
				Class: Here, Account: account, Event: k.id, Type: o.print.Type, Object: o.about.object, Created: o.about.created, Sequence: o.sequence,
				Detail: "Stripe does not list it: signed with a secret of ours by somebody else, or of another Stripe account",
				Next:   "quotectl explain " + k.id,
			}})
		}
	}
	c.report.Accounts = append(c.report.Accounts, told)
	links := newLinks(c, account, stored)
	for _, lack := range [][]lacking{missed, alone} {
		rows, rest, err := links.pick(ctx, lack)
		if err != nil {
			return err
		}
		c.report.Rows = append(c.report.Rows, rows...)
		if len(lack) > 0 && lack[0].row.Class == AtStripe {
			c.report.NotOurs += rest
		}
	}
	return nil
}

// match compares one event of Stripe's with the log; it returns what the log lacks.
func (c *comparison) match(ctx context.Context, account string, body []byte, stored map[key]*ours) (*lacking, error) {
	print, err := stripebody.PrintOf(body)
	if err != nil || print.Account != account || print.Mode != c.cfg.Mode {
		c.report.Refused++
		return nil, nil //nolint:nilerr // counted; it is never entered
	}
	what := about(body)
	row := Row{Account: account, Event: print.ID, Type: print.Type, Object: what.object, Created: what.created}
	have := stored[key{account, print.ID}]
	if have == nil && row.Created.After(c.now.Add(-c.cfg.Grace)) {
		c.report.InFlight++
		return nil, nil
	}
	if have == nil { // it may have come since the log was read, or lie further back than its clock says
		if have, err = c.look(ctx, print.Peeked); err != nil {
			return nil, err
		}
		if have != nil {
			stored[key{account, print.ID}] = have
		}
	}
	if have == nil {
		row.Class, row.Detail, row.Next = AtStripe, "Stripe has it, it never came here", c.repairCommand()
		return &lacking{row: row, about: what, body: body}, nil
	}
	have.seen = true
	c.report.Matched++
	switch relation, detail := have.print.Relate(print); {
	case relation == stripebody.Conflict:
		row.Class, row.Sequence = Differing, have.sequence
		row.Detail, row.Next = "Stripe's event of this id has "+detail, "quotectl explain "+print.ID
		c.report.Rows = append(c.report.Rows, row)
	case print.APIVersion != have.print.APIVersion:
		c.report.Renderings++
	}
	return nil, nil
}

// look reads one event from the log; nil when it is not there.
func (c *comparison) look(ctx context.Context, p stripebody.Peeked) (*ours, error) {
	m, err := c.cfg.Log.Read(ctx, event.StreamStripe, p.Family())
	if errors.Is(err, natsstream.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	print, err := stripebody.PrintOf(m.Data)
	if err != nil {
		return nil, fmt.Errorf("read %s %d: %w", event.StreamStripe, m.Sequence, err)
	}
	return &ours{print: print, sequence: m.Sequence, about: about(m.Data)}, nil
}

func (c *comparison) repairCommand() string {
	return fmt.Sprintf("quotectl reconcile repair --since %s --yes --reason '…'", c.o.Since.UTC().Format(time.RFC3339))
}

// count puts the rows in the order of Report.Rows, and counts them.
func (c *comparison) count() {
	for i := range c.report.Rows {
		row := &c.report.Rows[i]
		row.Repairable = len(row.bodies) > 0
		c.report.Gaps[row.Class]++
		if row.Repairable {
			c.report.Repairable++
		}
	}
	slices.SortStableFunc(c.report.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(slices.Index(Classes, a.Class), slices.Index(Classes, b.Class)), a.Created.Compare(b.Created), cmp.Compare(a.Event, b.Event))
	})
}

// published reads the revision that a claim names; false where the log has none.
func (c *comparison) published(ctx context.Context, claim stripeevent.Claim) (event.Published, bool, error) {
	subject := event.QuoteSubject{Event: event.NamePublished, Seller: claim.Seller, Quote: claim.Quote, N: fmt.Sprint(claim.Revision)}.String()
	m, err := c.cfg.Log.Read(ctx, event.StreamQuotes, subject)
	if errors.Is(err, natsstream.ErrNotFound) {
		return event.Published{}, false, nil
	}
	if err != nil {
		return event.Published{}, false, err
	}
	p, err := publishedOf(m)
	return p, err == nil, err
}

// facts are a quote's on an account, as payments has folded them; without any where it knows none.
func (c *comparison) facts(ctx context.Context, account, quoteID string) (quote.Facts, error) {
	p, err := c.cfg.Reader.Payment(ctx, account, quoteID)
	if isNotFound(err) || err == nil && len(p.Facts) == 0 {
		return quote.Facts{}, nil
	}
	if err != nil {
		return quote.Facts{}, err
	}
	facts, err := quote.DecodeFacts(p.Facts)
	if err != nil {
		return quote.Facts{}, fmt.Errorf("read facts of %s: %w", quoteID, err)
	}
	return facts, nil
}
