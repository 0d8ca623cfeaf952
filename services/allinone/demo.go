package allinone

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stopTimeout bounds one stop of the tour.
const stopTimeout = time.Minute

// take goes through the tour itself: it shows each command, runs it in a shell as a reader would, shows what it says, and
// checks what must have come out. It returns an error at the first thing that did not.
func (t *tour) take(ctx context.Context, w io.Writer) error {
	var intro strings.Builder
	t.introduce(&intro)
	began := t.s.cfg.Now()
	fmt.Fprintf(w, "%s\nReady after %s. The demonstration:\n", intro.String(), rounded(began.Sub(t.s.began)))
	before, err := t.mails(ctx)
	if err != nil {
		return err
	}
	first := 1
	if t.s.sandbox != nil && t.sample.payable() {
		if err := t.paySample(ctx, w, before); err != nil {
			return fmt.Errorf("stop 1, pay the sample quote: %w", err)
		}
		before++
		first++
	}
	var quote, said string
	for i, s := range t.stops {
		fmt.Fprintf(w, "\n%d. %s\n", i+first, s.title)
		if said, err = t.run(ctx, w, quote, s.commands); err != nil {
			return fmt.Errorf("stop %d: %w", i+first, err)
		}
		if i > 0 {
			continue
		}
		if quote = publishedQuote(said); quote == "" {
			return fmt.Errorf("stop %d: no quote was published", first)
		}
	}
	if err := t.check(ctx, quote, said, before); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nAll of it came out: the card says Paid, exactly one mail, and the log explains it. The demonstration took %s.\n",
		rounded(t.s.cfg.Now().Sub(began)))
	return nil
}

// paySample goes through Check out as the customer does and waits for the card and the mail.
func (t *tour) paySample(ctx context.Context, w io.Writer, before int) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	pay := t.payStop()
	fmt.Fprintf(w, "\n1. %s\n", pay.title)
	said, err := t.run(ctx, w, t.sample.ID, pay.commands)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "back to "+t.sample.Page) {
		return errors.New("the pay page did not lead back to the quote's page")
	}
	if !strings.Contains(said, "Paid: ") {
		return errors.New("the card does not say Paid")
	}
	if t.s.mail == nil {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := t.mails(ctx)
		if err != nil {
			return err
		}
		if now > before+1 {
			return fmt.Errorf("%d mails were sent, want exactly one", now-before)
		}
		if now == before+1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the mail: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

var publishedLine = regexp.MustCompile(`(?m)^published (q_[A-Za-z0-9]+), HTTP 200$`)

func publishedQuote(said string) string {
	if m := publishedLine.FindStringSubmatch(said); m != nil {
		return m[1]
	}
	return ""
}

// nextCommand is what the shell prints before each command: a byte that no command of the tour prints.
const nextCommand = "\x1e"

// run gives the commands of one stop to a shell of their own, with the settings and the quote of the stops before. It shows
// each command and what it says, and returns what they said.
func (t *tour) run(ctx context.Context, w io.Writer, quote string, commands []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var script strings.Builder
	script.WriteString(t.stops[0].commands[0] + "\nset -e\n")
	for i, c := range commands {
		fmt.Fprintf(&script, "printf '%s%d\\n'\n%s\n", nextCommand, i, c)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", script.String()) //nolint:gosec // the tour's own commands
	cmd.Env = append(os.Environ(), "Q="+quote)                   // PATH, HOME and the rest: it is the reader's shell
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("run the commands: %w", err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("run the commands: %w", err)
	}
	said := show(w, out, commands)
	if err := cmd.Wait(); err != nil {
		return said, fmt.Errorf("run the commands: %w", err)
	}
	return said, nil
}

// show copies the shell's lines to w as they come, with the command itself in the place of each mark.
func show(w io.Writer, out io.Reader, commands []string) string {
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, mark := strings.CutPrefix(lines.Text(), nextCommand)
		if i, err := strconv.Atoi(n); mark && err == nil && i < len(commands) {
			fmt.Fprintf(w, "\n$ %s\n", commands[i])
			continue
		}
		fmt.Fprintln(w, lines.Text())
		said.WriteString(lines.Text() + "\n")
	}
	return said.String()
}

// check looks at what the last stop said and at the mail catcher: the card, one mail, and a story with every link of the
// chain from the webhook to the mail.
func (t *tour) check(ctx context.Context, quote, said string, before int) error {
	var faults []error
	if !strings.Contains(said, "Paid: ") {
		faults = append(faults, errors.New("the card does not say Paid"))
	}
	for _, link := range []string{quote, "checkout.session.completed", "quote.paid"} {
		if !strings.Contains(said, link) {
			faults = append(faults, fmt.Errorf("the story does not name %s", link))
		}
	}
	after, err := t.mails(ctx)
	if err != nil {
		faults = append(faults, err)
	}
	if t.s.mail != nil && after-before != 1 {
		faults = append(faults, fmt.Errorf("%d mails were sent, want exactly one", after-before))
	}
	if len(faults) > 0 {
		return fmt.Errorf("what came out is not what should have:\n%w", errors.Join(faults...))
	}
	return nil
}

// mails counts what the mail catcher holds; 0 where there is none.
func (t *tour) mails(ctx context.Context) (int, error) {
	if t.s.mail == nil {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.s.cfg.url(addrMailbox)+"/api/v1/messages?limit=0", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("count mails: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("count mails: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	var list struct {
		Total int `json:"total"`
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return 0, fmt.Errorf("count mails: %w", err)
	}
	return list.Total, nil
}
