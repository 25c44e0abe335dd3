// Package reconcile brings in through the cloud's own door what other systems decided or changed: dispositions that a
// quality engineer signed in the QMS, what customers' orders count on, and usages that someone changed in an ERP. It
// follows each system's feed of changes.
//
// Guarantees: what a feed shows becomes an event once, by an id made of the system, its record and that record's
// version, however often it is read. The cursor is stored after the events are, so that a crash in between repeats a
// page and loses nothing. A decision is read again at its system before it counts. What can't become an event is kept
// with its reason and tried again. While a system is down its feed grows old, which a metric shows, and goes on at the
// cursor; at every start, and once a week, everything is read once more, beside the feed.
//
// It never writes to a system and never releases anything: what a system shows makes the engine look again.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
)

// Config is the key feed of an entry of systems in cloud.yaml.
type Config struct {
	Interval time.Duration `yaml:"interval" doc:"time between two looks at what changed; a decision waits half of it on average"`
	Page     int           `yaml:"page" doc:"records asked for at once"`
	Full     time.Duration `yaml:"full" doc:"how often everything is read once more; it is at every start as well"`
}

// DefaultConfig looks four times a minute, which a system made for people does not feel, and leaves fifteen minutes to
// a release. A page of 100 has some 60 kB. Everything is read once a week.
func DefaultConfig() Config {
	return Config{Interval: 15 * time.Second, Page: 100, Full: 7 * 24 * time.Hour}
}

// WithDefaults returns c with its zero values replaced by those of [DefaultConfig].
func (c Config) WithDefaults() Config {
	d := DefaultConfig()
	c.Interval, c.Page, c.Full = cmp.Or(c.Interval, d.Interval), cmp.Or(c.Page, d.Page), cmp.Or(c.Full, d.Full)
	return c
}

// Check returns what no feed can be followed by.
func (c Config) Check() error {
	switch {
	case c.Interval < 0 || c.Full < 0:
		return errors.New("interval or full is negative")
	case c.Page < 1 || c.Page > 1000:
		return fmt.Errorf("page is %d: want 1 to 1000", c.Page)
	}
	return nil
}

// Feed is a system whose changes are followed.
type Feed struct {
	ID     string           // of the configured system
	System connector.System // behind its guard, whose breaker and rate this package obeys
	Config Config           // zero values are those of DefaultConfig
}

// Deps are what a reconciler needs besides its feeds.
type Deps struct {
	Owner  string // names this process in the leases: one copy follows a feed at a time
	Store  *store.Store
	Engine *workflow.Engine
	Now    func() time.Time
	Log    zerolog.Logger
	Reg    prometheus.Registerer // nil = no metrics
}

// Reconciler follows all feeds.
type Reconciler struct {
	followers []*follower
}

// New returns a reconciler of the systems that have a feed; the others are left out. It makes no call.
func New(feeds []Feed, deps Deps) (*Reconciler, error) {
	r := &Reconciler{}
	m := newMetrics(deps.Reg)
	for _, feed := range feeds {
		if !feed.System.Caps().Feed {
			continue
		}
		feed.Config = feed.Config.WithDefaults()
		if err := feed.Config.Check(); err != nil {
			return nil, fmt.Errorf("feed of system %s: %w", feed.ID, err)
		}
		f := newFollower(feed, deps, m)
		m.watch(deps.Reg, f)
		r.followers = append(r.followers, f)
	}
	return r, nil
}

// Run follows the feeds until ctx ends, also where there is none. Trouble with a system or the database is waited out.
func (r *Reconciler) Run(ctx context.Context) error {
	var running errgroup.Group
	running.Go(func() error { <-ctx.Done(); return nil })
	for _, f := range r.followers {
		running.Go(func() error { f.run(ctx); return nil })
	}
	return running.Wait()
}
