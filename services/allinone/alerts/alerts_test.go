package alerts_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	repo  = "../../.."
	rules = repo + "/deploy/prometheus/alerts.yml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// promtool is Prometheus's own.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("promtool is not installed; `make servers` installs it (Debian: apt-get install prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = filepath.Dir(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestTheRulesFireAsTheirTestsSay(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
}

var alertLine = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)

func names(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, m := range alertLine.FindAllStringSubmatch(read(t, rules), -1) {
		all = append(all, m[1])
	}
	if len(all) < 25 {
		t.Fatalf("alerts.yml has %d alerts", len(all))
	}
	return all
}

func TestEveryAlertIsSeenToFireAndNotToFire(t *testing.T) {
	text := read(t, filepath.Dir(rules)+"/alerts_test.yml")
	for _, name := range names(t) {
		q := regexp.QuoteMeta(name)
		if !regexp.MustCompile(`alertname: ` + q + `\n +exp_alerts:\n`).MatchString(text) {
			t.Errorf("no test sees %s fire", name)
		}
		if !regexp.MustCompile(`alertname: ` + q + `\n +exp_alerts: \[\]\n`).MatchString(text) {
			t.Errorf("no test sees %s not fire", name)
		}
	}
}

// others are the runbooks that belong to no alert.
var others = []string{"README.md", "backup-and-restore.md", "disaster.md", "reconcile.md", "upgrade.md"}

func TestEveryAlertHasARunbookAndEveryRunbookAnAlert(t *testing.T) {
	found, err := filepath.Glob(repo + "/deploy/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	index := read(t, repo+"/deploy/runbooks/README.md")
	want := slices.Clone(others)
	for _, name := range names(t) {
		file := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "$1-$2")) + ".md"
		want = append(want, file)
		if !strings.Contains(read(t, rules), "runbook: deploy/runbooks/"+file+"\n") {
			t.Errorf("%s does not name its runbook %s", name, file)
		}
		if !strings.Contains(index, "["+name+"]("+file+")") {
			t.Errorf("the index of runbooks lacks %s", name)
		}
	}
	var have []string
	for _, path := range found {
		have = append(have, filepath.Base(path))
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("runbooks\n%v\nwant\n%v", have, want)
	}
}

// metric is one that the code registers.
type metric struct {
	histogram bool
	labels    []string
}

// registered reads the metrics of all services off their sources: every prometheus.…Opts with a name, and the labels beside it.
func registered(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{
		"up":                         {},
		"process_start_time_seconds": {}, // of the process collector
	}
	for _, root := range []string{repo + "/services", repo + "/libs"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					note(all, call)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// note takes in prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "…"}, []string{…}) and its kin.
func note(all map[string]metric, call *ast.CallExpr) {
	if len(call.Args) == 0 {
		return
	}
	opts, ok := call.Args[0].(*ast.CompositeLit)
	if !ok {
		return
	}
	kind, ok := opts.Type.(*ast.SelectorExpr)
	if !ok || !strings.HasSuffix(kind.Sel.Name, "Opts") {
		return
	}
	m := metric{histogram: kind.Sel.Name == "HistogramOpts"}
	if len(call.Args) == 2 {
		if labels, ok := call.Args[1].(*ast.CompositeLit); ok {
			for _, e := range labels.Elts {
				m.labels = append(m.labels, text(e))
			}
		}
	}
	for _, e := range opts.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" {
				old := all[text(kv.Value)] // quittance_messages_total is payments's and notifier's
				m.labels = append(m.labels, old.labels...)
				all[text(kv.Value)] = m
			}
		}
	}
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

var (
	usedMetric = regexp.MustCompile(`\b(quittance_\w+|process_\w+|up)\b(\{[^}]*\})?`)
	usedLabel  = regexp.MustCompile(`(\w+)(?:=~|!=|!~|=)"`)
)

func expressions(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +expr: '(.*)'$`).FindAllStringSubmatch(read(t, rules), -1) {
		all["alerts.yml"] = append(all["alerts.yml"], strings.ReplaceAll(m[1], "''", "'"))
	}
	var dashboard struct {
		UID    string `json:"uid"`
		Panels []struct {
			ID      int `json:"id"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, repo+"/deploy/grafana/quittance.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("panel %d is there twice", p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			all["quittance.json"] = append(all["quittance.json"], target.Expr)
		}
	}
	if dashboard.UID == "" || len(all["quittance.json"]) < 20 || len(all["alerts.yml"]) != len(names(t)) {
		t.Fatalf("uid %q, %d expressions in the dashboard, %d in the rules", dashboard.UID, len(all["quittance.json"]), len(all["alerts.yml"]))
	}
	return all
}

func TestEveryMetricInRulesAndDashboardExists(t *testing.T) {
	have := registered(t)
	if len(have) < 30 {
		t.Fatalf("%d metrics found in the sources", len(have))
	}
	for file, all := range expressions(t) {
		for _, expr := range all {
			for _, m := range usedMetric.FindAllStringSubmatch(expr, -1) {
				known, ok := have[m[1]]
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					if base, cut := strings.CutSuffix(m[1], suffix); cut && !ok {
						known, ok = have[base]
						ok = ok && known.histogram
					}
				}
				if !ok {
					t.Errorf("%s: no service has a metric %s: %s", file, m[1], expr)
				}
				for _, l := range usedLabel.FindAllStringSubmatch(m[2], -1) {
					if !slices.Contains([]string{"job", "service", "instance"}, l[1]) && !slices.Contains(known.labels, l[1]) {
						t.Errorf("%s: %s has no label %s: %s", file, m[1], l[1], expr)
					}
				}
			}
		}
	}
}
