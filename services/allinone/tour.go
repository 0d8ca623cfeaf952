package allinone

import (
	"fmt"
	"io"
	"strings"
)

// stop of the tour: commands that a person can paste as they stand.
type stop struct {
	title    string
	commands []string
}

// tour shows the main job of the product: a quote is paid, its card says so, its owner gets one mail, and the log tells why.
type tour struct {
	s     *Service
	stops []stop
}

// sampleQuote is a quote as a seller's system would send it: a one-time line, an owner, a contact.
const sampleQuote = `{
  "title": "Website redesign", "deal": {"id": "deal_42", "name": "Acme website"}, "currency": "eur",
  "line_items": [{"name": "Design", "quantity": 1, "unit_amount": 120000}, {"name": "Hosting, one year", "quantity": 12, "unit_amount": 2500}],
  "owner": {"name": "Ada Owner", "email": "ada@seller.example", "time_zone": "Europe/Warsaw"},
  "contact": {"email": "pat@acme.example", "first_name": "Pat", "last_name": "Customer", "company": "Acme"},
  "payment": {"stripe": true, "three_d_secure": true}
}`

func newTour(s *Service) *tour {
	ctl := s.cfg.Quotectl
	look := []string{ctl + ` quotes card "$Q"`}
	if s.mail != nil {
		look = append(look, `curl -s "$MAILBOX_URL/view/latest.txt"`)
	}
	return &tour{s: s, stops: []stop{
		{"A seller's system makes a quote and publishes it.", []string{
			s.readSettings(),
			`Q=$(curl -s "$QUOTES_URL/v1/quotes" -H "Authorization: Bearer $API_TOKEN" --json '` + sampleQuote + `' | grep -o 'q_[A-Za-z0-9]*' | head -n 1)`,
			`curl -s -o /dev/null -w 'published '"$Q"', HTTP %{http_code}\n' -X POST "$QUOTES_URL/v1/quotes/$Q/publish" -H "Authorization: Bearer $API_TOKEN"`,
		}},
		{"Stripe reports the payment: the events of a card payment, signed as Stripe signs them.", []string{
			ctl + ` simulate paid --quote "$Q"`,
		}},
		{"The card says Paid, the owner got one mail, and the log tells why.", append(look, ctl+` explain "$Q"`)},
	}}
}

// print writes the tour down for a reader who takes it in a second terminal.
func (t *tour) print(w io.Writer) error {
	var b strings.Builder
	t.introduce(&b)
	b.WriteString("\nThe main job in three pastes, from this folder in another terminal:\n")
	for i, s := range t.stops {
		fmt.Fprintf(&b, "\n%d. %s\n\n", i+1, s.title)
		for _, c := range s.commands {
			b.WriteString(indent(c) + "\n")
		}
	}
	b.WriteString("\nCtrl-C stops it; the next start goes on where this one ended. DEMO=1 takes this tour by itself.\n")
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return fmt.Errorf("print the tour: %w", err)
	}
	return nil
}

// introduce says what runs where.
func (t *tour) introduce(b *strings.Builder) {
	c := t.s.cfg
	b.WriteString("\nQuittance is running, with everything it needs on this machine.\n\n")
	lines := [][2]string{
		{"quotes", c.publicURL()},
		{"webhook", c.url(addrIngress) + "/webhooks/stripe"},
	}
	if t.s.mail != nil {
		lines = append(lines, [2]string{"mail", c.url(addrMailbox) + "  (every mail ends here)"})
	}
	if c.WebhookSecrets.IsZero() {
		lines = append(lines, [2]string{"webhook secret", t.s.kept.WebhookSecret})
	}
	if c.APITokens.IsZero() {
		lines = append(lines, [2]string{"API token", t.s.kept.APIToken})
	}
	lines = append(lines, [2]string{"for your shell", t.s.readSettings()})
	for _, l := range lines {
		fmt.Fprintf(b, "  %-15s %s\n", l[0], l[1])
	}
}

// readSettings is the command that gives a shell the addresses and secrets. It exports none of them: an exported NATS_URL
// would be an external server to the next start from that shell. quotectl finds the file by itself in ./data; one that is
// elsewhere must be named to it.
func (s *Service) readSettings() string {
	path := displayPath(s.ClientEnv())
	if s.cfg.DataDir == defaultDataDir {
		return ". " + path
	}
	return "export QUITTANCE_ENV_FILE=" + shellQuoted(path) + `; . "$QUITTANCE_ENV_FILE"`
}

func indent(text string) string { return "   " + strings.ReplaceAll(text, "\n", "\n   ") }
