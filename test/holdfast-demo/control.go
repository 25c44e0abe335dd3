package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

//go:embed control
var controlFiles embed.FS

// control is the page on which a visitor breaks things, and the link that logs that visitor in. Both are for this machine:
// they stand on a loopback address, below a path that only the demo and the console's users know.
type control struct {
	listener net.Listener
	secret   string // first part of every path
	password string // of the demo's users
	page     *template.Template

	mu    sync.Mutex // guards what follows
	link  string     // token of the link that logs in; empty = it was used, or there are no users yet
	base  string     // of the console, once there are users
	cause error      // why there are none
}

// openControl takes an address.
func openControl(ctx context.Context) (*control, error) {
	page, err := template.ParseFS(controlFiles, "control/control.html")
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the control page: %w", err)
	}
	return &control{listener: l, secret: rand.Text(), password: newPassword(), page: page}, nil
}

// close gives the address back.
func (c *control) close() error {
	if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (c *control) url(path string) string {
	return "http://" + c.listener.Addr().String() + "/" + c.secret + "/" + path
}

// says tells where a browser finds the console.
func (c *control) says() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause != nil:
		return fmt.Sprintf("nobody can log in: %v", c.cause)
	case c.base == "":
		return "its users are being made"
	case c.link != "":
		return c.url("enter?link="+c.link) + " (logs you in, once)"
	}
	return fmt.Sprintf("%s (users vera, otto, rita, password %s)   break something: %s", c.base, c.password, c.url(""))
}

// run makes the users, and serves the page until ctx ends. Calls are made between two steps of the show.
func (c *control) run(ctx context.Context, d *demo) error {
	var making sync.WaitGroup
	defer making.Wait()
	making.Go(func() {
		err := addUsers(ctx, d.cloud, c.password)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cause = err; err == nil {
			c.base, c.link = "http://"+d.cloud.Address, rand.Text()
		}
	})
	server := telemetry.NewServer(c.handler(d), zerolog.Nop())
	server.BaseContext = func(net.Listener) context.Context { return ctx } // so that no request waits for a show that is over
	return telemetry.Serve(ctx, c.listener, server)
}

// handler serves the page to this machine alone.
func (c *control) handler(d *demo) http.Handler {
	mux := http.NewServeMux()
	at := "/" + c.secret + "/"
	mux.HandleFunc("GET "+at+"{$}", func(w http.ResponseWriter, r *http.Request) { c.show(w, r, d) })
	mux.HandleFunc("POST "+at+"{$}", func(w http.ResponseWriter, r *http.Request) { c.act(w, r, d) })
	mux.HandleFunc("GET "+at+"enter", c.enter)
	mux.HandleFunc("GET "+at+"control.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, controlFiles, "control/control.css")
	})
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		// Another name for this address is a page of another host that a browser was led to.
		if err != nil || !from.Addr().IsLoopback() || r.Host != c.listener.Addr().String() || origins.Check(r) != nil {
			http.Error(w, "this page is for the machine that the demo runs on, by the address that it prints", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// enter logs the visitor in, once. A cookie is for a host, whatever the port: what this page sets is the console's.
func (c *control) enter(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	base, given := c.base, c.link
	good := given != "" && subtle.ConstantTimeCompare([]byte(given), []byte(r.URL.Query().Get("link"))) == 1
	if good {
		c.link = ""
	}
	c.mu.Unlock()
	if !good {
		http.Error(w, "the link is used or not ours: log in with a user of the page "+c.url(""), http.StatusNotFound)
		return
	}
	b, err := newBrowser(base)
	var cookies []*http.Cookie
	if err == nil {
		if err = b.logIn(r.Context(), users()[0].Name, c.password); err == nil {
			cookies, err = b.session()
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, k := range cookies {
		http.SetCookie(w, &http.Cookie{Name: k.Name, Value: k.Value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	http.Redirect(w, r, base+"/lots", http.StatusSeeOther)
}

// spans are for how long something may be broken, in seconds.
func spans() []int { return []int{15, 60, 300} }

// controlData is what the page shows.
type controlData struct {
	Said, Console, Password string
	Users                   []user
	Plants                  []controlPlant
	Systems                 []controlFault
	Spans                   []int
}

// controlPlant is a plant with what can break there.
type controlPlant struct {
	ID     string
	Index  int
	Faults []controlFault
}

// controlFault is something that can be broken.
type controlFault struct {
	Key, Name, Does string
	Plant           int
	For             string // how long it is broken; empty = it is whole
	Left            string // until it is mended; empty = not by itself
	Missing         bool   // this plant has none
	Once            bool   // nothing mends it
}

// data describes what stands. It is called between two steps of the show.
func (c *control) data(d *demo, now time.Time) *controlData {
	c.mu.Lock()
	v := &controlData{Said: d.view.Said, Console: c.base, Password: c.password, Users: users(), Spans: spans()}
	c.mu.Unlock()
	fault := func(key byte, plant int, name, does string) controlFault {
		b := broken{key, plant}
		f := controlFault{Key: string(key), Plant: plant, Name: name, Does: does, Missing: !d.known(b)}
		since := d.since(b)
		if f.Once = since == nil; f.Missing || f.Once || since.IsZero() {
			return f
		}
		f.For = short(now.Sub(*since))
		if until, ok := d.until[b]; ok {
			f.Left = short(until.Sub(now))
		}
		return f
	}
	for i, p := range d.plants {
		v.Plants = append(v.Plants, controlPlant{p.Plant, i, []controlFault{
			fault(keyFail, i, "Fail a part", "A part fails at press 4: its lot is held, in the ERP too."),
			fault(keyWAN, i, "Cut the WAN", "The agent keeps what happens on its disk, and sends holds first when the line is back."),
			fault(keyAgent, i, "Kill the agent", "As a power cut does. The broker keeps what was not acknowledged."),
			fault(keyFreeze, i, "Freeze the press line", "What is not seen becomes a gap, and its lots wait."),
		}})
	}
	v.Systems = []controlFault{
		fault(keyERP, -1, "Stop the ERPs", "What they should know waits in the cloud, holds first."),
		fault(keyQMS, -1, "Stop the QMS", "Decisions wait there."),
	}
	return v
}

// call makes a call between two steps of the show; false if the visitor or the show has gone.
func (d *demo) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case d.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *control) show(w http.ResponseWriter, r *http.Request, d *demo) {
	var v *controlData
	if !d.call(r.Context(), func() { v = c.data(d, time.Now()) }) {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = c.page.Execute(w, v) // the visitor may have gone
}

// act breaks or mends something, and shows the page again.
func (c *control) act(w http.ResponseWriter, r *http.Request, d *demo) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	key, plant := r.PostFormValue("key"), -1
	if text := r.PostFormValue("plant"); text != "" {
		var err error
		if plant, err = strconv.Atoi(text); err != nil {
			http.Error(w, "plant is no number", http.StatusUnprocessableEntity)
			return
		}
	}
	span, mend := 0, r.PostFormValue("mend") != ""
	if !mend {
		span, _ = strconv.Atoi(r.PostFormValue("seconds"))
	}
	var err error
	ok := len(key) == 1 && (mend || slices.Contains(spans(), span) || key[0] == keyFail)
	if !d.call(r.Context(), func() {
		b := broken{}
		if ok {
			b = broken{key[0], plant}
		}
		if ok = ok && d.known(b); ok {
			err = d.breakOrMend(b, mend, time.Duration(span)*time.Second, time.Now())
		}
	}) {
		return
	}
	switch {
	case !ok:
		http.Error(w, "there is nothing like that to break", http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		http.Redirect(w, r, c.url(""), http.StatusSeeOther)
	}
}

// breakOrMend breaks something for a time, or mends it.
func (d *demo) breakOrMend(b broken, mend bool, span time.Duration, now time.Time) (err error) {
	said := ""
	switch since := d.since(b); {
	case !mend:
		said, err = d.breakFor(b, span, now)
	case since != nil && !since.IsZero():
		said, err = d.turn(b, now)
	default:
		return nil // it was mended meanwhile
	}
	d.view.Said = now.Local().Format("15:04:05") + " " + said
	return err
}
