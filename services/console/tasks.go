package console

import (
	"context"
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/mask"
)

const (
	// tasksKept is how many tasks are remembered; the journal has them all.
	tasksKept = 200
	// rowsKept is how many results of one are shown.
	rowsKept = 500
	// settleTime is how long a form waits for its task, so that short ones come
	// back finished.
	settleTime = 2 * time.Second
)

// The states of a task.
const (
	taskRunning = "running"
	taskDone    = "done"
	taskFailed  = "failed"
)

// task is something that an operator has started, over many things one by one. It
// lives in this instance alone: what it did is in the journal.
type task struct {
	ID, Title, Nav, Back string
	Who, Reason          string
	Begun, Ended         time.Time
	Total, Done, Failed  int
	State                string
	// Fault is why it ended early, Next what to do about that.
	Fault, Next string
	Rows        []taskRow
}

// taskRow is what came of one thing.
type taskRow struct{ What, Href, Outcome, Fault, Note string }

// Percent is how far it is.
func (t task) Percent() int {
	if t.Total == 0 {
		return 100
	}
	return t.Done * 100 / t.Total
}

// tasks are all that this instance has started and remembers.
type tasks struct {
	now    func() time.Time
	random io.Reader

	mu     sync.Mutex
	byID   map[string]*task
	order  []string
	ending chan struct{} // closed when the service ends
	ended  bool
	group  sync.WaitGroup
}

func newTasks(now func() time.Time, random io.Reader) *tasks {
	return &tasks{now: now, random: random, byID: map[string]*task{}, ending: make(chan struct{})}
}

// run waits for the end of ctx, and then for the tasks, which stop between two of
// their steps.
func (ts *tasks) run(ctx context.Context) {
	<-ctx.Done()
	ts.mu.Lock()
	ts.ended = true
	close(ts.ending)
	ts.mu.Unlock()
	ts.group.Wait()
}

// start carries work out beyond the request that asks for it. done is closed at
// its end.
func (ts *tasks) start(ctx context.Context, t task, work func(ctx context.Context, told func(taskRow)) error) (id string, done <-chan struct{}, err error) {
	var b [10]byte
	if _, err := io.ReadFull(ts.random, b[:]); err != nil {
		return "", nil, fmt.Errorf("draw random bits: %w", err)
	}
	t.ID = strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	t.Begun, t.State = ts.now(), taskRunning
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.ended {
		return "", nil, advice.New("send the form once more", "the console is being stopped; nothing was done")
	}
	ts.byID[t.ID] = &t
	ts.order = append(ts.order, t.ID)
	if len(ts.order) > tasksKept {
		delete(ts.byID, ts.order[0])
		ts.order = ts.order[1:]
	}
	// It outlives the request, and ends with the service.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	finished := make(chan struct{})
	ts.group.Go(func() {
		defer cancel()
		defer close(finished)
		err := work(ctx, func(r taskRow) { ts.told(&t, r) })
		ts.finish(&t, err)
	})
	ts.group.Go(func() {
		select {
		case <-ts.ending:
			cancel()
		case <-finished:
		}
	})
	return t.ID, finished, nil
}

func (ts *tasks) told(t *task, r taskRow) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	r.Fault, r.Note = mask.Text(r.Fault), mask.Text(r.Note)
	t.Done++
	if r.Fault != "" {
		t.Failed++
	}
	if len(t.Rows) < rowsKept {
		t.Rows = append(t.Rows, r)
	}
}

func (ts *tasks) finish(t *task, err error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.Ended, t.State = ts.now(), taskDone
	if err != nil {
		t.State, t.Fault, t.Next = taskFailed, mask.Text(err.Error()), advice.Next(err)
	}
}

// find returns a task as it is now.
func (ts *tasks) find(id string) (task, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.byID[id]
	if !ok {
		return task{}, false
	}
	copied := *t
	copied.Rows = append([]taskRow{}, t.Rows...)
	return copied, true
}

// start begins a task and leads to its page.
func (s *Service) start(w http.ResponseWriter, c *call, t task, work func(ctx context.Context, told func(taskRow)) error) error {
	return s.startAt(w, c, t, "/tasks/", work)
}

// startAt begins a task and leads to the address that its id completes.
func (s *Service) startAt(w http.ResponseWriter, c *call, t task, page string, work func(ctx context.Context, told func(taskRow)) error) error {
	t.Who = c.token.Name
	id, done, err := s.tasks.start(c.Context(), t, func(ctx context.Context, told func(taskRow)) error {
		err := work(ctx, told)
		if err != nil {
			s.logger.Warn("task ended early", zap.String("task", t.Title), zap.String("token_name", t.Who), zap.String("error", mask.Text(err.Error())))
		}
		return err
	})
	if err != nil {
		return err
	}
	settled := time.NewTimer(settleTime)
	defer settled.Stop()
	select {
	case <-done:
	case <-settled.C:
	case <-c.Context().Done():
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, page+id, http.StatusSeeOther)
	return nil
}

// taskPage shows a task.
type taskPage struct {
	frame
	Task task
}

func (s *Service) showTask(w http.ResponseWriter, c *call) error {
	t, ok := s.tasks.find(c.PathValue("id"))
	if !ok {
		return &problem{Status: http.StatusNotFound, Heading: "This task is not known here", Detail: "Another instance has started it, or this one has started anew since. What was done is in the journal.", Next: "quotectl journal list"}
	}
	page := taskPage{frame: s.frame(c, t.Nav, t.Title), Task: t}
	if t.State == taskRunning {
		page.frame = page.live(true)
		page.Live = 2
	}
	return s.render(w, http.StatusOK, "task.html", page)
}
