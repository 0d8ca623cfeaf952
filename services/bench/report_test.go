package bench_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// spread is what several rounds gave.
type spread struct{ median, least, greatest float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{median: (sorted[(n-1)/2] + sorted[n/2]) / 2, least: sorted[0], greatest: sorted[n-1]}
}

// ratios compares round with round: what disturbed one of the two has mostly disturbed the other.
func ratios(of, to []float64) spread {
	all := make([]float64, len(of))
	for i := range of {
		all[i] = of[i] / to[i]
	}
	return spreadOf(all)
}

// format writes median and range.
func (s spread) format(verb string) string {
	return fmt.Sprintf(verb+" ["+verb+"-"+verb+"]", s.median, s.least, s.greatest)
}

// short writes the median alone.
func (s spread) short(verb string) string { return fmt.Sprintf(verb, s.median) }

func each[T any](rounds []T, figure func(T) float64) []float64 {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = figure(r)
	}
	return all
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// table is one comparison for people.
type table struct {
	marker, title string // marker names its place in the docs
	rows          [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// summary and charts collect what the run gives.
var (
	summary []*table
	charts  = map[string]chart{}
)

func summarize(marker, title string, columns ...string) *table {
	t := &table{marker: marker, title: title, rows: [][]string{columns}}
	summary = append(summary, t)
	return t
}

func slicesWith[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(all, func(v T) bool { return !keep(v) })
}

// conditions tells what a run was made on.
func conditions() string {
	return fmt.Sprintf("%d cores, shared with the load; load average %s; %s", runtime.NumCPU(), loadAverage(), runtime.Version())
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}

// printSummary writes all tables; it writes nothing when no benchmark ran.
func printSummary(out io.Writer) {
	if len(summary) == 0 {
		return
	}
	fmt.Fprintf(out, "\nMedians of the rounds [least-greatest]; each ratio is taken within a round. %s.\n", conditions())
	for _, t := range summary {
		fmt.Fprintf(out, "\n%s\n", t.title)
		w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		for _, r := range t.rows {
			fmt.Fprintln(w, strings.Join(r, "\t"))
		}
		_ = w.Flush()
	}
	fmt.Fprintln(out)
}
