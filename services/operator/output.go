package operator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/advice"
)

// The values of -o.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatJSONL = "jsonl"
)

var formats = []string{formatTable, formatWide, formatJSON, formatJSONL}

func checkFormat(format string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	return advice.Of(advice.Usage, "quotectl --help", "output format %q is none of %s", format, strings.Join(formats, ", "))
}

// table is rows for people. Columns whose name begins with "+" show only with -o wide.
type table struct {
	columns []string
	rows    [][]string
	// noHeader leaves the names of the columns out.
	noHeader bool
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// view is one result: the document for -o json, its items for -o jsonl, and what people see.
type view struct {
	document any
	items    []any // nil: the document is the one item
	before   []string
	table    table
	after    []string
}

// show prints v as -o says.
func (a *app) show(v view) error {
	switch a.format {
	case formatJSON:
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v.document)
	case formatJSONL:
		if v.items == nil {
			v.items = []any{v.document}
		}
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, item := range v.items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	for _, line := range v.before {
		b.WriteString(line + "\n")
	}
	a.writeTable(&b, v.table)
	for _, line := range v.after {
		b.WriteString(line + "\n")
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

// showAll prints several results as one: with -o json as one document, a list where there is more than one.
func (a *app) showAll(views []view) error {
	if a.format == formatJSON && len(views) != 1 {
		documents := make([]any, len(views))
		for i, v := range views {
			documents[i] = v.document
		}
		return a.show(view{document: documents})
	}
	for i, v := range views {
		if i > 0 && a.format != formatJSON && a.format != formatJSONL {
			v.before = append([]string{""}, v.before...)
		}
		if err := a.show(v); err != nil {
			return err
		}
	}
	return nil
}

// writeTable aligns the cells by their width in characters; colour is put around them afterwards.
func (a *app) writeTable(b *strings.Builder, t table) {
	var keep []int
	for i, name := range t.columns {
		if a.format == formatWide || !strings.HasPrefix(name, "+") {
			keep = append(keep, i)
		}
	}
	header := make([]string, len(t.columns))
	for i, name := range t.columns {
		header[i] = strings.TrimPrefix(name, "+")
	}
	rows := t.rows
	if !t.noHeader && len(rows) > 0 {
		rows = append([][]string{header}, rows...)
	}
	width := make([]int, len(t.columns))
	for _, row := range rows {
		for _, i := range keep {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	colour := a.colours()
	for n, row := range rows {
		var line strings.Builder
		for _, i := range keep {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(row[i])+2)
			cell := row[i]
			if colour {
				cell = paint(cell, n == 0 && !t.noHeader)
			}
			line.WriteString(cell + pad)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// The colours that words of ours get on a terminal.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

func paint(cell string, header bool) string {
	if header {
		return bold + cell + reset
	}
	switch cell {
	case "paid", "ok", "applied", "created", "sent":
		return green + cell + reset
	case "processing", "pending", "parked", "changed", "refunded", "ambiguous":
		return yellow + cell + reset
	case "review", "charged_back", "DIFFERS", "dead", "refused", "rejected":
		return red + cell + reset
	}
	return cell
}

// clock is a time for people: their zone, milliseconds, and the offset.
func (a *app) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(a.zone).Format("2006-01-02 15:04:05.000 -07:00")
}

// day is a time for lists: no finer than a minute.
func (a *app) day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(a.zone).Format("2006-01-02 15:04 -07:00")
}

// elapsed is a duration for people: three digits are enough.
func elapsed(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + elapsed(-d)
	case d == 0:
		return "0"
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

func money(amount int64, currency string) string {
	return quote.Money{Amount: amount, Currency: currency}.String()
}

// dash is a cell for what may be empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func flagsText(flags []string) string { return dash(strings.Join(flags, ",")) }

func number(n int) string { return strconv.Itoa(n) }
