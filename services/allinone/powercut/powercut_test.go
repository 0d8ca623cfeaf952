//go:build powercut && linux

package powercut_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"quittance.internal/libs/platform/natsstream"
)

// row is a line of the summary.
type row struct {
	name       string
	cuts       int
	acked      int
	lost       int
	facts      int // of batches, acknowledged
	took       time.Duration
	note       string
	mustLose   bool
	proves     bool // counts among the demanded cuts
	unfinished bool
}

// plan says how many cuts each setup gets of the CUTS that are demanded; the controls and the sabotage come on top.
type plan struct {
	setup
	cuts int
}

func plans(cuts int) []plan {
	share := func(percent int) int { return max(1, (cuts*percent+99)/100) }
	always, barrier, lazy := natsstream.DurabilityServer, natsstream.DurabilityBarrier, natsstream.DurabilityRelaxed
	return []plan{
		{setup{name: "1 server, default sync (must lose)", nodes: 1, lazy: true, durability: lazy}, max(3, cuts/20)},
		{setup{name: "1 server, sync_interval always", nodes: 1, durability: always, facts: true}, share(35)},
		{setup{name: "1 server, default sync, barrier; payments too", nodes: 1, lazy: true, durability: barrier, folded: true}, share(43)},
		{setup{name: "3 servers, sync_interval always, all cut", nodes: 3, durability: always, facts: true}, share(12)},
		{setup{name: "Redis alone, appendfsync everysec", nodes: 1, durability: always, folded: true, redisOnly: true}, share(10)},
	}
}

// TestPowerCut is `make powercut`.
func TestPowerCut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a power cut needs root, loop devices and ext4 (mount, losetup, the shutdown ioctl): sudo make powercut")
	}
	cuts, seed := number(t, "CUTS", 200), uint64(number(t, "SEED", int(time.Now().Unix())))
	t.Cleanup(func() { _ = os.Remove(folder(t)) })
	fmt.Printf("powercut: SEED=%d CUTS=%d\n", seed, cuts)
	var rows []*row
	defer func() { summarize(t, rows, seed) }()
	for _, synced := range []bool{true, false} {
		r := &row{name: "control: write without fsync (must lose)", mustLose: !synced}
		if synced {
			r.name = "control: write and fsync"
		}
		rows = append(rows, r)
		if !t.Run(r.name, func(t *testing.T) { control(t, r, synced, max(5, cuts/4), seed) }) {
			t.Fatal("the simulated disk is not honest here: nothing that follows would mean anything")
		}
	}
	for _, p := range plans(cuts) {
		r := &row{name: p.name, proves: !strings.Contains(p.name, "must lose"), mustLose: strings.Contains(p.name, "must lose")}
		rows = append(rows, r)
		t.Run(p.name, func(t *testing.T) { try(t, r, p, seed) })
	}
	total := 0
	for _, r := range rows {
		if r.proves {
			total += r.cuts
		}
	}
	if total < cuts {
		t.Errorf("%d cuts, want %d", total, cuts)
	}
}

// try cuts one setup.
func try(t *testing.T, r *row, p plan, seed uint64) {
	t.Helper()
	began := time.Now()
	r.unfinished = true
	w := newWorld(t, p.setup, seed, func() store { return newDisk(t) })
	var lost []int
	for r.cuts < p.cuts {
		acked := w.round()
		r.cuts++
		fresh := w.missing(webhooks, acked)
		lost = append(lost, fresh...)
		published := w.batches.acknowledged()
		if gone := w.missing(facts, published[r.facts:]); len(gone) > 0 {
			t.Fatalf("cut %d lost %d acknowledged facts of a batch, %s first", r.cuts, len(gone), factSubject(gone[0]))
		}
		r.facts = len(published)
		if p.redisOnly {
			w.equal()
		}
		r.acked, r.lost, r.took = len(w.stripe.acknowledged()), len(lost), time.Since(began)
		if r.cuts%10 == 0 || r.cuts == p.cuts {
			fmt.Printf("powercut: %s: %d of %d cuts, %d acknowledged, %d lost, %s\n", p.name, r.cuts, p.cuts, r.acked, r.lost, r.took.Round(time.Second))
		}
		if len(fresh) > 0 && !r.mustLose {
			t.Fatalf("cut %d lost %d of %d acknowledged events, %s first", r.cuts, len(fresh), len(acked), subject(fresh[0]))
		}
	}
	if !r.mustLose {
		if gone := w.missing(webhooks, w.stripe.acknowledged()); len(gone) > 0 {
			r.lost = len(gone)
			t.Fatalf("%d events that had outlived their own cut are gone by the end, %s first", len(gone), subject(gone[0]))
		}
	}
	if p.facts {
		r.note = fmt.Sprintf("and %d facts in batches, none lost", r.facts)
		if gone := w.missing(facts, w.batches.acknowledged()); len(gone) > 0 || r.facts == 0 {
			t.Fatalf("of %d acknowledged facts %d are gone by the end", r.facts, len(gone))
		}
	}
	if p.folded {
		w.equal()
		r.note = "Redis equals the fold"
	}
	if p.redisOnly {
		r.note += fmt.Sprintf(" after each cut; it had lost %d keys", w.gone)
		if p.cuts >= 10 && w.gone <= 0 {
			t.Error("Redis lost nothing in any cut: this proves no repair")
		}
	}
	if r.mustLose && r.lost == 0 {
		t.Error("nothing was lost: this harness could not see a loss")
	}
	r.took, r.unfinished = time.Since(began), false
}

// control shows what the disk does with a program of three lines.
func control(t *testing.T, r *row, synced bool, cuts int, seed uint64) {
	t.Helper()
	began, rnd := time.Now(), rand.New(rand.NewPCG(seed, 7))
	r.unfinished = true
	d := newDisk(t)
	for n := range cuts {
		path := filepath.Join(d.dir(), "records-"+strconv.Itoa(n))
		told := &tail{}
		sync := "no"
		if synced {
			sync = "yes"
		}
		p := newProcess(t, "writer", os.Args[0], nil, roleVar+"=writer", "POWERCUT_FILE="+path, "POWERCUT_SYNC="+sync)
		p.out = told
		p.start()
		for deadline := time.Now().Add(patience); told.String() == ""; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the writer wrote nothing within %s", patience)
			}
		}
		time.Sleep(time.Duration(10+rnd.IntN(100)) * time.Millisecond)
		p.kill()
		d.cut()
		acked := lastNumber(t, told.String()) + 1
		r.acked += acked
		r.lost += max(0, acked-intact(t, path))
		r.cuts++
	}
	r.took, r.unfinished = time.Since(began), false
	fmt.Printf("powercut: %s: %d cuts, %d acknowledged, %d lost, %s\n", r.name, r.cuts, r.acked, r.lost, r.took.Round(time.Second))
	if r.mustLose && r.lost == 0 {
		t.Error("nothing was lost without fsync: the cut does not cut")
	}
	if !r.mustLose && r.lost > 0 {
		t.Errorf("%d of %d records are lost although fsync had returned", r.lost, r.acked)
	}
}

// lastNumber is the last whole line that the writer has told.
func lastNumber(t *testing.T, told string) int {
	t.Helper()
	told = told[:strings.LastIndex(told, "\n")]
	n, err := strconv.Atoi(told[strings.LastIndex(told, "\n")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// intact counts the records from the file's beginning on; a file that is not there has none.
func intact(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	n := 0
	for want := fmt.Sprintf(recordFormat, n); strings.HasPrefix(string(b[n*len(want):]), want); want = fmt.Sprintf(recordFormat, n) {
		n++
	}
	return n
}

func number(t *testing.T, name string, fallback int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: it must be a number above zero", name, v)
	}
	return n
}

// summarize prints the table, also of a run that failed.
func summarize(t *testing.T, rows []*row, seed uint64) {
	t.Helper()
	fmt.Printf("\nSEED=%d, %s\n", seed, time.Now().UTC().Format("2006-01-02"))
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "setup\tcuts\tacknowledged\tlost\ttook\t")
	total, lost := 0, 0
	for _, r := range rows {
		if r.proves {
			total, lost = total+r.cuts, lost+r.lost
		}
		if r.unfinished {
			r.note = "NOT FINISHED"
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%s\t%s\n", r.name, r.cuts, r.acked, r.lost, r.took.Round(time.Second), r.note)
	}
	_ = out.Flush()
	fmt.Printf("%d cuts of what must not lose: %d acknowledged events lost\n", total, lost)
}
