package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// Config is the section console of cloud.yaml.
type Config struct {
	BasePath string        `yaml:"base_path" doc:"path in front of every page, such as /holdfast behind a proxy; empty = none"`
	Idle     time.Duration `yaml:"idle" doc:"how long a session may rest before it ends"`
	Longest  time.Duration `yaml:"longest" doc:"how long a session lasts at the most"`
	Links    []Link        `yaml:"links" doc:"links at the foot of each page, such as to a dashboard; only users who are logged in see them"`
}

// Link leads from the console to another page.
type Link struct {
	Text string `yaml:"text" doc:"what it is called"`
	URL  string `yaml:"url" doc:"where it leads, by http or https"`
}

// check tells what is wrong with a link.
func (l Link) check() error {
	u, err := url.Parse(l.URL)
	switch {
	case l.Text == "" || len(l.Text) > 60:
		return fmt.Errorf("link to %.200q: want a text of 1 to 60 bytes", l.URL)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return fmt.Errorf("link %q leads to %.200q: want an address by http or https, without user and password", l.Text, l.URL)
	}
	return nil
}

// DefaultConfig ends a session an hour after its last page, so that a forgotten browser is locked after a break, and after
// twelve hours in any case: the longest shift.
var DefaultConfig = Config{Idle: time.Hour, Longest: 12 * time.Hour}

var basePattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

// Check tells what is wrong with the configuration.
func (c Config) Check() error {
	switch {
	case !basePattern.MatchString(c.BasePath):
		return fmt.Errorf("base_path %q: want a path like /holdfast, without a slash at its end", c.BasePath)
	case c.BasePath == api.Base || strings.HasPrefix(c.BasePath+"/", api.Base+"/"):
		return fmt.Errorf("base_path %q is the API's", c.BasePath)
	case c.Idle <= 0 || c.Longest < c.Idle:
		return fmt.Errorf("idle %v and longest %v: want idle above 0, and longest no shorter", c.Idle, c.Longest)
	}
	for _, l := range c.Links {
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}

// Deps is what the console works on.
type Deps struct {
	Desk  *api.Desk
	Store *store.Store
	Now   func() time.Time
	Log   zerolog.Logger
	First func(path string) // is told the link that makes the first administrator, where there is no user
	// LiveStep is how often open pages are told at the most that there is something new; 0 = once a second.
	LiveStep time.Duration
}

// Console serves the pages.
type Console struct {
	Deps
	cfg     Config
	pages   map[string]*template.Template
	words   words
	assets  assets
	zones   zones
	knocks  knocks
	hub     hub
	origins *http.CrossOriginProtection

	mu    sync.Mutex // guards first
	first firstLink
}

// firstLink is the link that makes the first administrator.
type firstLink struct {
	token string // empty = there is none
	until time.Time
}

// firstLinkLife is how long the link may be used: long enough to come back from lunch, not to be found in a log of last
// week.
const firstLinkLife = 24 * time.Hour

// New reads the templates and words that are part of the program.
func New(cfg Config, deps Deps) (*Console, error) {
	c := &Console{Deps: deps, cfg: cfg, origins: http.NewCrossOriginProtection()}
	var err error
	if c.words, err = readWords("en"); err != nil {
		return nil, err
	}
	if c.assets, err = readAssets(cfg.BasePath); err != nil {
		return nil, err
	}
	c.pages, err = readPages()
	return c, err
}

// Register adds the pages to a mux.
func (c *Console) Register(mux *http.ServeMux) {
	base := c.cfg.BasePath
	mux.Handle("GET "+base+"/static/", c.headers(http.HandlerFunc(c.static)))
	open := func(pattern string, h func(*visit) error) { c.handle(mux, pattern, h, false) }
	page := func(pattern string, h func(*visit) error) { c.handle(mux, pattern, h, true) }
	open("GET /login", (*visit).loginPage)
	open("POST /login", (*visit).logIn)
	open("GET /first", (*visit).firstPage)
	open("POST /first", (*visit).makeFirst)
	open("POST /display", (*visit).setDisplay)
	open("/", (*visit).nothing)
	page("GET /{$}", (*visit).home)
	page("GET /live", (*visit).live)
	page("POST /logout", (*visit).logOut)
	page("GET /account", (*visit).accountPage)
	page("POST /account/password", (*visit).changePassword)
	page("GET /users", (*visit).usersPage)
	page("POST /users", (*visit).addUser)
	page("POST /users/{name}/disable", (*visit).disableUser)
	page("POST /users/{name}/enable", (*visit).enableUser)
	page("POST /users/{name}/password", (*visit).givePassword)
	page("GET /search", (*visit).search)
	page("GET /lots", (*visit).boardPage)
	page("GET /lots/list", (*visit).lotList)
	page("GET /lots/list.csv", (*visit).lotCSV)
	page("GET /fleet", (*visit).fleetPage)
	page("GET /fleet.csv", (*visit).fleetCSV)
	page("GET /plants/{plant}", (*visit).plantPage)
	page("POST /plants/{plant}/epoch", (*visit).decideEpoch)
	page("GET /exceptions", (*visit).exceptionsPage)
	page("GET /exceptions.csv", (*visit).exceptionsCSV)
	page("GET /exceptions/cause/{id}", (*visit).causePage)
	page("POST /exceptions/cause/{id}/redrive", (*visit).redriveCause)
	page("GET /exceptions/raw/{id}", (*visit).rawException)
	page("GET /exceptions/unread/{id}", (*visit).unreadPage)
	page("GET /exceptions/unread/{id}/raw", (*visit).rawUnread)
	page("GET /exceptions/{id}", (*visit).exceptionPage)
	page("POST /exceptions/{id}/check", (*visit).checkFix)
	page("POST /exceptions/{id}/fix", (*visit).fix)
	page("POST /exceptions/{id}/redrive", (*visit).redrive)
	page("POST /exceptions/{id}/drop", (*visit).drop)
	page("GET /systems", (*visit).systemsPage)
	page("POST /systems/dispatch", (*visit).dispatchAll)
	page("GET /systems/{id}", (*visit).systemPage)
	page("POST /systems/{id}/pause", (*visit).pauseSystem)
	page("POST /systems/{id}/resume", (*visit).resumeSystem)
	page("POST /systems/{id}/dispatch", (*visit).dispatchSystem)
	page("GET /audit", (*visit).auditPage)
	page("GET /audit.csv", (*visit).auditCSV)
	page("GET /audit.jsonl", (*visit).auditLines)
	page("GET /lots/{key}", (*visit).lotPage)
	page("POST /lots/{key}/hold", (*visit).holdLot)
	page("POST /lots/{key}/lift", (*visit).liftHold)
	page("POST /lots/{key}/accept", (*visit).acceptEvidence)
}

// Run tells the link that makes the first administrator where there is no user, and tells open pages of
// changes until ctx ends. Their streams end then.
func (c *Console) Run(ctx context.Context) error {
	link, err := c.firstLink(ctx)
	if err != nil {
		return err
	}
	if link != "" {
		c.First(link)
	}
	c.watch(ctx)
	return nil
}

// firstLink makes the link, empty where there is a user. It works once, and for a day.
func (c *Console) firstLink(ctx context.Context) (string, error) {
	none := false
	err := c.Store.View(ctx, func(tx *store.Tx) error {
		users, err := tx.Users()
		none = len(users) == 0
		return err
	})
	if err != nil || !none {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first = firstLink{token: rand.Text(), until: c.Now().Add(firstLinkLife)}
	return c.cfg.BasePath + "/first?token=" + c.first.token, nil
}

// maxForm bounds the body of a request, in bytes.
const maxForm = 1 << 20

// handle adds a page. Where it needs a user, a visitor who is not logged in is sent to do so.
func (c *Console) handle(mux *http.ServeMux, pattern string, h func(*visit) error, needsUser bool) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = "", pattern
	} else {
		method += " "
	}
	mux.Handle(method+c.cfg.BasePath+path, c.headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v, err := c.visit(w, r)
		if err == nil && needsUser && v.User == nil {
			v.askLogIn()
			return
		}
		if err == nil && r.Method == http.MethodPost {
			err = v.checkToken()
		}
		if err == nil {
			err = h(v)
		}
		if err != nil {
			v.fail(err)
		}
	})))
}

// headers sets what keeps a page to itself: nothing is loaded from, sent to or framed by another host.
func (c *Console) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// errGone is returned where there is no page.
var errGone = errors.New("there is no such page")

func (v *visit) nothing() error { return errGone }

func (v *visit) home() error { return v.goTo("/lots") }
