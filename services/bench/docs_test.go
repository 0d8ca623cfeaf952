package bench_test

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// publishDocs writes tables and plots of the run into a folder's performance.md, each between the markers that bear its name,
// and leaves everything else in the file as it is. A marker that the file lacks is an error: figures would be lost.
func publishDocs(dir string) error {
	path := filepath.Join(dir, "performance.md")
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read docs: %w", err)
	}
	text := string(b)
	blocks := map[string]*strings.Builder{}
	var order []string
	for _, t := range summary {
		block := blocks[t.marker]
		if block == nil {
			block = &strings.Builder{}
			blocks[t.marker], order = block, append(order, t.marker)
			fmt.Fprintf(block, "%s. %s; %s.\n", t.title, time.Now().UTC().Format(time.DateOnly), conditions())
		}
		block.WriteString("\n" + t.markdown())
	}
	for _, marker := range order {
		if c, ok := charts[marker]; ok {
			name := "performance-" + marker + ".svg"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(c.svg()), 0o644); err != nil {
				return fmt.Errorf("write plot: %w", err)
			}
			fmt.Fprintf(blocks[marker], "\n![%s](%s)\n", c.title, name)
		}
		if text, err = replaceBlock(text, marker, blocks[marker].String()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write docs: %w", err)
	}
	return nil
}

// replaceBlock replaces what stands between <!-- bench:name --> and <!-- /bench:name -->.
func replaceBlock(text, name, block string) (string, error) {
	open, end := "<!-- bench:"+name+" -->\n", "<!-- /bench:"+name+" -->"
	before, rest, ok := strings.Cut(text, open)
	if !ok {
		return "", fmt.Errorf("it has no marker %q", strings.TrimSpace(open))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("it has no marker %q", end)
	}
	return before + open + block + end + after, nil
}

func (t *table) markdown() string {
	var b strings.Builder
	for i, r := range t.rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(r)) + "|\n")
		}
	}
	return b.String()
}

// chart is a plot of one bar for each of those compared, with the range of the rounds as a whisker.
type chart struct {
	title string
	bars  []bar
}

type bar struct {
	name, note string
	ours       bool
	value      spread
}

// svg draws the chart. Colours carry nothing that the text does not say.
func (c chart) svg() string {
	const (
		width, left, right, row, top = 860, 300, 90, 30, 46
		span                         = width - left - right
	)
	most := 0.0
	for _, b := range c.bars {
		most = math.Max(most, b.value.greatest)
	}
	var out strings.Builder
	height := top + row*len(c.bars) + 14
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(c.title))
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&out, `<text x="12" y="24" font-size="14" font-weight="bold">%s</text>`+"\n", html.EscapeString(c.title+", per second"))
	for i, b := range c.bars {
		y := top + row*i
		at := func(v float64) float64 { return left + v/most*span }
		colour, weight := "#9aa5b1", "normal"
		if b.ours {
			colour, weight = "#1f6f5c", "bold"
		}
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="end" font-weight="%s">%s</text>`+"\n", left-8, y+15, weight, html.EscapeString(b.name))
		fmt.Fprintf(&out, `<rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/>`+"\n", left, y+2, at(b.value.median)-left, colour)
		fmt.Fprintf(&out, `<path d="M%.1f %dH%.1f" stroke="#222" stroke-width="1.5"/>`+"\n", at(b.value.least), y+11, at(b.value.greatest))
		fmt.Fprintf(&out, `<text x="%.1f" y="%d">%.0f<title>%s</title></text>`+"\n", at(b.value.greatest)+6, y+15, b.value.median, html.EscapeString(b.note))
	}
	out.WriteString("</svg>\n")
	return out.String()
}
