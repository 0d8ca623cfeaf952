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
	s *Service
	// sample is the quote that it opens with; the zero one where there is none.
	sample sample
	stops  []stop
}

func newTour(s *Service, opening sample) *tour {
	ctl := s.cfg.Quotectl
	look := []string{ctl + ` quotes card "$Q"`}
	if s.mail != nil {
		look = append(look, `curl -s "$MAILBOX_URL/view/latest.txt"`)
	}
	return &tour{s: s, sample: opening, stops: []stop{
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
	t.open(&b)
	b.WriteString("\nThe same in three pastes, from this folder in another terminal:\n")
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

// open tells how the sample quote is paid, in a browser.
func (t *tour) open(b *strings.Builder) {
	if t.sample.Page == "" {
		return
	}
	if !t.sample.payable() {
		fmt.Fprintf(b, "\nThe sample quote (%s) is %s already; the commands below make another one.\n", t.sample.Page, t.sample.Status)
		return
	}
	fmt.Fprintf(b, "\nA sample quote is published. In a browser:\n\n")
	steps := []string{
		"Open it as its customer:  " + t.sample.Page,
		"Press Check out: Stripe's page opens in a new window; pay there with the card 4242 4242 4242 4242.",
		"Watch the quote's page turn to Paid.",
	}
	if t.s.sandbox != nil {
		steps[1] = "Press Check out: the sandbox's pay page opens, which stands in for Stripe's; press Pay by card."
	}
	if t.s.mail != nil {
		steps = append(steps, "Read the one mail that its owner got:  "+t.s.cfg.url(addrMailbox))
	}
	for i, text := range steps {
		fmt.Fprintf(b, "   %d. %s\n", i+1, text)
	}
}

// payStop is the same without a browser: what Check out answers, and the form of the sandbox's pay page.
func (t *tour) payStop() stop {
	return stop{"The customer of the sample quote presses Check out and pays on the sandbox's page, which stands in for Stripe's.", []string{
		"PAGE=" + shellQuoted(t.sample.Page),
		`PAY=$(curl -sS -o /dev/null -w '%{redirect_url}' -X POST "$PAGE/checkout"); echo "Check out leads to $PAY"`,
		`curl -sS -o /dev/null -w 'paid, and back to %{redirect_url}\n' "$PAY" -d action=pay -d email=jan@nowak.example`,
		`until curl -sS "$QUOTES_URL/v1/quotes/$Q/card" -H "Authorization: Bearer $API_TOKEN" | grep -q Paid; do sleep 0.2; done`,
		t.s.cfg.Quotectl + ` quotes card "$Q"`,
	}}
}

// introduce says what runs where.
func (t *tour) introduce(b *strings.Builder) {
	c := t.s.cfg
	b.WriteString("\nQuittance is running, with everything it needs on this machine.\n\n")
	lines := [][2]string{
		{"quotes", c.publicURL() + "/signin  (the seller's pages; sign in with the API token)"},
		{"console", c.url(addrConsole) + "  (for operators; sign in with the API token)"},
		{"webhook", c.url(addrIngress) + "/webhooks/stripe"},
	}
	if t.s.mail != nil {
		lines = append(lines, [2]string{"mail", c.url(addrMailbox) + "  (every mail ends here)"})
	}
	if t.s.sandbox != nil {
		lines = append(lines, [2]string{"sandbox", c.url(addrSandbox) + "  (stands in for Stripe)"})
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
