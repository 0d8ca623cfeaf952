package journey_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// person is somebody with a browser: cookies and windows of his own.
type person struct {
	t    *testing.T
	home cdp.BrowserContextID

	mu      sync.Mutex
	faults  []string
	allowed []string
}

// tab is one window.
type tab struct {
	*person
	ctx context.Context
}

// arrive opens a browser for a person, with one empty window.
func arrive(t *testing.T) *tab {
	t.Helper()
	p := &person{t: t}
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			if !slices.ContainsFunc(p.allowed, func(s string) bool { return strings.Contains(fault, s) }) {
				t.Errorf("the browser says: %s", fault)
			}
		}
	})
	w := p.window(browser(t), chromedp.WithNewBrowserContext())
	p.home = chromedp.FromContext(w.ctx).BrowserContextID
	return w
}

// window opens a window, or gets hold of one, and notes from its first message on what goes wrong in it.
func (p *person) window(parent context.Context, option chromedp.ContextOption) *tab {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(parent, option, chromedp.WithListener(p.hear))
	p.t.Cleanup(cancel)
	w := &tab{person: p, ctx: ctx}
	// The first call makes the window, which lives as long as its context: no time limit here.
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		p.t.Fatalf("open a window: %v", err)
	}
	return w
}

// hear notes what the browser complains of, and whom it talks to.
func (p *person) hear(e any) {
	switch e := e.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var text []string
			for _, a := range e.Args {
				text = append(text, fmt.Sprint(a.Value)+a.Description)
			}
			p.fault("console: " + strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		p.fault("exception: " + (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded: // refusals of the content security policy among them
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.fault(fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme != "data" && u.Hostname() != "127.0.0.1" {
			p.fault("request to another machine: " + e.Request.URL)
		}
	}
}

func (p *person) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// allow lets the browser complain of what the test brings about itself, such as an answer 422.
func (p *person) allow(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, text)
}

// do carries actions out, with patience.
func (w *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, w.text())
	}
}

// text is what the page says, for a person to read in a failure.
func (w *tab) text() string {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// open goes to an address.
func (w *tab) open(address string) {
	w.t.Helper()
	w.do("open "+address, chromedp.Navigate(address))
}

// until waits until an expression of JavaScript is true. While the window is on its way elsewhere, it is not.
func (w *tab) until(what, expression string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !w.is(expression); pause() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s\n%s", patience, what, w.text())
		}
	}
}

// is evaluates an expression of JavaScript.
func (w *tab) is(expression string) bool {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
	return err == nil && yes
}

// says is whether the page says text; whatever space stands between words.
func says(text string) string {
	return fmt.Sprintf(`document.body.innerText.replace(/\s+/g, " ").includes(%q)`, text)
}

// sees waits for a text on the page.
func (w *tab) sees(text string) {
	w.t.Helper()
	w.until("the page says "+text, says(text))
}

// pressable are the buttons and links with a text that a person sees.
func pressable(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("button, a")].filter(b => b.checkVisibility() && b.offsetWidth > 1 && !b.closest("[aria-hidden]") && b.innerText.includes(%q))`, text)
}

// buttons counts them.
func buttons(text string) string { return pressable(text) + ".length" }

// press clicks the first of them.
func (w *tab) press(text string) {
	w.t.Helper()
	w.click("press "+text, pressable(text)+"[0]")
}

// clickOn clicks what a selector of CSS finds.
func (w *tab) clickOn(selector string) {
	w.t.Helper()
	w.click("click "+selector, fmt.Sprintf("document.querySelector(%q)", selector))
}

// click clicks an element as a person does, who needs to see it: it is not clicked as long as something covers it. To find, to look and
// to click are one step, since the page may change itself in between.
func (w *tab) click(what, element string) {
	w.t.Helper()
	script := fmt.Sprintf(`(() => {
		const e = %s;
		if (!e || e.disabled) return false;
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getClientRects()[0];
		const top = r && document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		if (!top || !e.contains(top)) return false;
		e.focus();
		e.click();
		return true;
	})()`, element)
	for deadline := time.Now().Add(patience); ; pause() {
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
		clicked, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script, func(p *runtime.EvaluateParams) { yes := true; p.UserGesture = &yes }))
		cancel()
		if err == nil && clicked {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s (%v)\n%s", patience, what, err, w.text())
		}
	}
}

// enter writes into the fields of a form, by name; of a choice it takes the value.
func (w *tab) enter(fields ...[2]string) {
	w.t.Helper()
	for _, f := range fields {
		field := chromedp.CSS(fmt.Sprintf(`[name=%q]`, f[0]))
		element := fmt.Sprintf(`document.querySelector(%q)`, string(field))
		w.until("there is a field "+f[0], element)
		if w.is(element + `.matches("select, [type=date]")`) {
			w.do("choose "+f[0], chromedp.SetValue(field, f[1]))
			continue
		}
		// A page that is still loading may move the focus while keys are pressed.
		eventually(w.t, f[0]+" is filled in", func() bool {
			w.do("fill in "+f[0], chromedp.Evaluate[chromedp.Void](element+`.value = ""`), chromedp.SendKeys(field, f[1]))
			return w.is(fmt.Sprintf(`%s.value === %q`, element, f[1]))
		})
	}
}

// path is where the window is.
func (w *tab) path() string {
	w.t.Helper()
	path, err := chromedp.Run(w.ctx, chromedp.Evaluate[string]("location.pathname"))
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// pressForWindow presses a button that opens a window, and returns the window.
func (w *tab) pressForWindow(text string) *tab {
	w.t.Helper()
	before := w.windows()
	w.press(text)
	var opened target.ID
	eventually(w.t, text+" opens a window", func() bool {
		for _, id := range w.windows() {
			if !slices.Contains(before, id) {
				opened = id
			}
		}
		return opened != ""
	})
	return w.window(w.ctx, chromedp.WithTargetID(opened))
}

// windows are those that the person has open.
func (w *tab) windows() (ids []target.ID) {
	w.t.Helper()
	infos, err := chromedp.Targets(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range infos {
		if i.Type == "page" && i.BrowserContextID == w.home {
			ids = append(ids, i.TargetID)
		}
	}
	return ids
}

// mark remembers that this very document is shown: a reload forgets it.
func (w *tab) mark() {
	w.t.Helper()
	w.do("mark the page", chromedp.Evaluate[chromedp.Void](`window.marked = true`))
}

func (w *tab) notReloaded() {
	w.t.Helper()
	if !w.is("window.marked") {
		w.t.Error("the page was loaded anew; it should have changed by itself")
	}
}

// look checks that the page fits a narrow and a wide screen, and leaves pictures of it where a folder is given for them.
func (w *tab) look(name string) {
	w.t.Helper()
	dir := os.Getenv("JOURNEY_SCREENSHOTS")
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	w.do("bring the window to the front", call(page.BringToFront, cdp.Empty{})) // one behind another is not painted
	for _, width := range []int64{360, 1440} {
		w.do("set the width", call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1}))
		if !w.is("document.documentElement.scrollWidth <= innerWidth") {
			w.t.Errorf("%s is wider than %d pixels", name, width)
		}
		for _, scheme := range []string{"light", "dark"} {
			if dir == "" {
				break
			}
			w.do("set the colours", call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, // no picture half-way
			}}))
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				w.t.Fatalf("take a picture: %v", err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.do("set the width back", chromedp.ResetViewport(), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}))
}

// call makes a command of the protocol an action.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}
