package console

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// chromiumVariable names the browser: a path, or "require" for a run in which none must be missing.
const chromiumVariable = "HOLDFAST_CHROMIUM"

// findChromium returns the path of the browser. Where there is none the test is skipped, and fails where one is required.
func findChromium(t testing.TB) string {
	t.Helper()
	wanted := os.Getenv(chromiumVariable)
	if wanted != "" && wanted != "require" {
		return wanted
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if wanted == "require" {
		t.Fatal("no Chromium in PATH: install the package chromium, or name the program in " + chromiumVariable)
	}
	t.Skip("no Chromium in PATH: pages are not looked at by a browser; install the package chromium, or name the program in " + chromiumVariable)
	return ""
}

// stepLimit bounds one step of a browser, for a machine that does much else.
const stepLimit = 30 * time.Second

// tab is one tab of a browser of its own, with no memory of any other.
type tab struct {
	t    testing.TB
	base string // of the console
	ctx  context.Context

	mu      sync.Mutex // guards all below
	left    []string   // addresses elsewhere that pages asked for; none was let through
	said    []string   // what pages complained about on the console
	refused bool       // the next pages are refusals, which the browser complains about
}

// browse opens a browser. Whatever asks for something elsewhere, or complains, fails the test at its end.
func (h *house) browse() *tab {
	h.t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(h.t)), chromedp.UserDataDir(h.t.TempDir()), chromedp.NoSandbox, // it cannot make one as root
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB"), chromedp.Env("TZ=UTC"),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &tab{t: h.t, base: h.base, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		stop()
		h.t.Fatalf("start the browser: %v", err)
	}
	var watching sync.WaitGroup
	h.t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // it may have died
		cancel()
		stop()
		watching.Wait()
		b.judge()
	})
	requests, messages := chromedp.Events(ctx, fetch.RequestPaused), chromedp.Console(ctx)
	watching.Go(func() {
		for r, err := range requests {
			if err != nil {
				return
			}
			b.guard(&r)
		}
	})
	watching.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.hear(m)
		}
	})
	b.do(call(fetch.Enable, fetch.EnableParams{}))
	return b
}

// call makes a step of a command of the browser's protocol.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// guard lets a request through to the console, and stops any other.
func (b *tab) guard(r *fetch.EventRequestPaused) {
	var err error
	if strings.HasPrefix(r.Request.URL, b.base+"/") {
		_, err = chromedp.Call(b.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: r.RequestID})
	} else {
		b.mu.Lock()
		b.left = append(b.left, r.Request.Method+" "+r.Request.URL)
		b.mu.Unlock()
		_, err = chromedp.Call(b.ctx, fetch.FailRequest, fetch.FailRequestParams{RequestID: r.RequestID, ErrorReason: network.ErrorReasonBlockedByClient})
	}
	if err != nil && b.ctx.Err() == nil && !strings.Contains(err.Error(), "Invalid InterceptionId") { // the page was left meanwhile
		b.t.Errorf("answer the request %s: %v", r.Request.URL, err)
	}
}

// hear keeps what a page complains about. That the server refuses something is no complaint of the page's.
func (b *tab) hear(m chromedp.ConsoleMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	loud := m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleWarning
	if loud && (!b.refused || m.Source != "network") {
		b.said = append(b.said, m.URL+": "+m.String())
	}
}

// judge fails the test for what was seen on the way.
func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.left {
		b.t.Errorf("a page asked another host: %s", u)
	}
	for _, m := range b.said {
		b.t.Errorf("a page complained: %s", m)
	}
}

// expectRefusal tells that the pages from now on may be refusals.
func (b *tab) expectRefusal(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = on
}

func (b *tab) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, stepLimit)
}

// do runs steps.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.where())
	}
}

// where tells what the tab shows, for messages.
func (b *tab) where() string {
	ctx, cancel := b.step()
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string, opts ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.where())
	}
	return v
}

// visit goes to a page.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
}

// follow clicks what a selector finds first, and returns when the page behind it is there.
func (b *tab) follow(selector string) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(selector, chromedp.NodeVisible)); err != nil {
		b.t.Fatalf("follow %s: %v\n%s", selector, err, b.where())
	}
}

// click clicks what a selector finds first.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(selector, chromedp.NodeVisible))
}

// fill types into a field that a selector finds, in the place of what stands there.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.Focus(selector, chromedp.NodeVisible))
	eval[chromedp.Void](b, `document.activeElement.select()`)
	b.do(chromedp.SendKeys(selector, text))
}

// shows waits until the page shows all of some texts.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	missing := ""
	deadline, tick := time.After(stepLimit), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		page := strings.Join(strings.Fields(b.where()), " ")
		missing = ""
		for _, s := range texts {
			if !strings.Contains(strings.ToLower(page), strings.ToLower(s)) {
				missing = s
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-deadline:
			b.t.Fatalf("the page does not show %q:\n%s", missing, page)
		case <-tick.C:
		}
	}
}

// path is where the tab is.
func (b *tab) path() string {
	b.t.Helper()
	u, err := url.Parse(eval[string](b, "location.href"))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}

// logIn logs in from wherever the tab is, as a person does.
func (b *tab) logIn(p person) {
	b.t.Helper()
	b.visit("/login")
	b.fill("#name", p.name)
	b.fill("#password", p.password)
	b.follow(`//main//form//button`)
	b.shows(p.printed)
}

// logOut leaves.
func (b *tab) logOut() {
	b.t.Helper()
	b.follow(`//header//form[contains(@action, "/logout")]//button`)
	b.shows("Log in")
}

// looks has the browser prefer a colour scheme and no motion, in a window of a width.
func (b *tab) looks(scheme string, width int64) {
	b.t.Helper()
	height := int64(900)
	if width < 500 {
		height = 760
	}
	b.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}), chromedp.EmulateViewport(width, height))
}

// provesGuard lets a page ask another host: once it is stopped by the console's own policy, and once, without it, by the guard
// of these tests.
func (b *tab) provesGuard() {
	b.t.Helper()
	const ask = `fetch("http://192.0.2.1/elsewhere", {mode: "no-cors"}).then(() => "went out", e => "stopped")`
	b.visit("/login")
	policy := eval[string](b, ask, chromedp.EvalAwaitPromise)
	b.do(call(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}))
	b.visit("/login")
	guard := eval[string](b, ask, chromedp.EvalAwaitPromise)
	b.do(call(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: false}))
	b.visit("/login")
	b.mu.Lock()
	defer b.mu.Unlock()
	if policy != "stopped" || guard != "stopped" || len(b.said) == 0 || len(b.left) != 1 {
		b.t.Errorf("with the policy the request %s, without it %s; pages asked for %q and said %q", policy, guard, b.left, b.said)
	}
	b.left, b.said = nil, nil
}
