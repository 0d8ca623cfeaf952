package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Level says how bad something is.
type Level string

// The levels, from good to bad.
const (
	OK Level = "ok"
	// Unknown: something could not be looked at. It is neither well nor a fault, and hides no fault that was found.
	Unknown  Level = "unknown"
	Warning  Level = "warning"
	Critical Level = "critical"
)

var badness = map[Level]int{OK: 0, Unknown: 1, Warning: 2, Critical: 3}

// Worst is the worst of levels, OK of none.
func Worst(levels ...Level) Level {
	worst := OK
	for _, l := range levels {
		if badness[l] > badness[worst] {
			worst = l
		}
	}
	return worst
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`
	// Next is the command that shows more or repairs it.
	Next string `json:"next,omitempty"`
}

// Measure is a figure for a monitoring system to draw. Unit is s for seconds or empty for a count.
type Measure struct {
	Name           string  `json:"name"`
	Value          float64 `json:"value"`
	Unit           string  `json:"unit,omitempty"`
	Warn, Critical float64 `json:"-"`
}

// Verdict is what a check came to.
type Verdict struct {
	Check    string    `json:"check"`
	Level    Level     `json:"level"`
	Summary  string    `json:"summary"`
	Findings []Finding `json:"findings"`
	Measures []Measure `json:"measures"`
	// NotChecked says what was not looked at for want of a setting that is not demanded. What could not be looked at although
	// it was asked for is a finding of level Unknown.
	NotChecked []string `json:"not_checked"`
}

func newVerdict(name string) *Verdict {
	return &Verdict{Check: name, Findings: []Finding{}, Measures: []Measure{}, NotChecked: []string{}}
}

func (v *Verdict) find(l Level, next, format string, args ...any) {
	v.Findings = append(v.Findings, Finding{l, fmt.Sprintf(format, args...), next})
}

func (v *Verdict) skip(format string, args ...any) {
	v.NotChecked = append(v.NotChecked, fmt.Sprintf(format, args...))
}

// close orders the findings, the worst first, and says how it stands: good is the summary where nothing was found.
func (v *Verdict) close(good string) *Verdict {
	slices.SortStableFunc(v.Findings, func(a, b Finding) int { return cmp.Compare(badness[b.Level], badness[a.Level]) })
	v.Level, v.Summary = OK, good
	if len(v.Findings) > 0 {
		v.Level, v.Summary = v.Findings[0].Level, v.Findings[0].What
	}
	if n := len(v.Findings) - 1; n > 0 {
		v.Summary += fmt.Sprintf(" (and %d more)", n)
	}
	return v
}

// Line is the verdict in the one line that Nagios and its kin expect: NAME LEVEL - text | measures.
func (v *Verdict) Line() string {
	line := strings.ToUpper(v.Check) + " " + strings.ToUpper(string(v.Level)) + " - " + strings.NewReplacer("|", "/", "\n", "; ").Replace(v.Summary)
	for i, m := range v.Measures {
		sep := " "
		if i == 0 {
			sep = " | "
		}
		line += sep + m.Name + "=" + short(m.Value) + m.Unit + ";" + short(m.Warn) + ";" + short(m.Critical)
	}
	return line
}

func short(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Limits are from when on a wait is worth a warning and from when on it is critical.
type Limits struct{ Warn, Critical time.Duration }

// Level judges a wait. A wait of zero is always OK.
func (l Limits) Level(d time.Duration) Level {
	switch {
	case d <= 0:
		return OK
	case d >= l.Critical:
		return Critical
	case d >= l.Warn:
		return Warning
	}
	return OK
}

func (l Limits) seconds(name string, d time.Duration) Measure {
	return Measure{Name: name, Value: float64(int64(d.Seconds())), Unit: "s", Warn: l.Warn.Seconds(), Critical: l.Critical.Seconds()}
}

// wait is a duration for people.
func wait(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
