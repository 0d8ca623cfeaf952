package operator

import (
	"context"

	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/operations/signatures"
	"quittance.internal/libs/operations/why"
)

// why explains an absence. That the reason was found is success, whatever it is, but for a name that nothing has.
func (a *app) why(ctx context.Context, id string, judge func(why.Situation) why.Answer) error {
	b, err := a.openBackend(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.needsRedis("what became of the events stands in Redis"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	rules, err := rebuild.Rules(ctx, b.log)
	if err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	g := why.Gatherer{Log: b.log, Reader: b.reader, Rules: rules, Now: a.now}
	if c.IngressAdminURL != "" {
		g.Signatures = func(ctx context.Context) (*signatures.Figures, error) {
			return signatures.Read(ctx, c.IngressAdminURL, a.now)
		}
	}
	situation, err := g.Gather(ctx, id)
	if err != nil {
		return err
	}
	answer := judge(situation)
	v := view{document: answer, table: table{columns: []string{"", "LINK", "WHAT IS KNOWN"}}}
	for _, s := range answer.Steps {
		held := "MISSING"
		switch {
		case s.Unknown:
			held = "?"
		case s.Holds:
			held = "ok"
		}
		v.table.add(held, s.Link, dash(s.Detail))
	}
	v.after = []string{"", answer.Because, "next: " + answer.Next}
	if err := a.show(v); err != nil || situation.Exists {
		return err
	}
	return notFound(answer.Next, "nothing in the log is called %s", id)
}
