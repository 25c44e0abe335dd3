package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// hub tells open pages that something of theirs has changed. It keeps nothing that was told: a page that comes back names
// the mark up to which it was told, and asks for itself again if there is more.
type hub struct {
	mu     sync.Mutex // guards all below
	mark   store.Mark
	looked bool // the mark is one
	all    map[*listener]bool
	ended  bool
}

// listener is one open page.
type listener struct {
	lot   event.LotKey  // what the page is about; empty = everything
	heads bool          // the page is about agents, too: a head is a change
	wake  chan struct{} // holds one token: what comes while one is there is one change
}

// How pages are kept up to date. A second joins what one event changes at many places; a comment every 15 s keeps proxies
// from closing a stream in which nothing happens.
const (
	liveStep     = time.Second // unless [Deps.LiveStep] says otherwise
	liveComment  = 15 * time.Second
	maxListeners = 1000
)

// watch tells the listeners of changes until ctx ends, then ends all streams.
func (c *Console) watch(ctx context.Context) {
	defer c.hub.end()
	tick := time.NewTicker(cmp.Or(c.LiveStep, liveStep))
	defer tick.Stop()
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.Log.Debug().Err(err).Msg("changes not looked for") // said louder by all that needs the database
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads what has changed since the last look.
func (c *Console) look(ctx context.Context) error {
	return c.Store.View(ctx, func(tx *store.Tx) error {
		now, err := tx.Newest()
		if err != nil {
			return err
		}
		was, looked := c.hub.at()
		if now == was || !looked {
			c.hub.tell(now, nil) // what is there at the start is no change
			return nil
		}
		lots, err := tx.ChangedLots(was)
		if err != nil {
			return err
		}
		c.hub.tell(now, lots)
		return nil
	})
}

func (h *hub) at() (m store.Mark, looked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mark, h.looked
}

func (h *hub) tell(now store.Mark, lots map[event.LotKey]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	headed := h.looked && h.mark.Head != now.Head
	h.mark, h.looked = now, true
	for l := range h.all {
		if len(lots) > 0 && (l.lot == "" || lots[l.lot]) || l.heads && headed {
			l.poke()
		}
	}
}

func (l *listener) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // it has not looked since the last one
	}
}

// add adds a listener; false where there are too many, or none is served any more.
func (h *hub) add(l *listener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || len(h.all) >= maxListeners {
		return false
	}
	if h.all == nil {
		h.all = map[*listener]bool{}
	}
	h.all[l] = true
	return true
}

// remove removes a listener that was not ended.
func (h *hub) remove(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, l)
}

func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for l := range h.all {
		close(l.wake)
		delete(h.all, l)
	}
}

// live streams to one page that it has to be asked for again. The stream ends with the session.
func (v *visit) live() error {
	q := v.r.URL.Query()
	l := &listener{lot: event.LotKey(q.Get("lot")), heads: q.Get("of") == "fleet", wake: make(chan struct{}, 1)}
	if !v.c.hub.add(l) {
		v.w.Header().Set("Retry-After", "30")
		http.Error(v.w, "too many open pages", http.StatusServiceUnavailable)
		return nil
	}
	defer v.c.hub.remove(l)
	out := http.NewResponseController(v.w)
	// The server's limit is for answers; this one goes on as long as the page is open.
	if err := out.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("keep the stream open: %w", err)
	}
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no")
	if was := v.r.Header.Get("Last-Event-ID"); was != "" && was != v.c.hub.id() {
		l.poke()
	}
	if _, err := fmt.Fprintf(v.w, "retry: 3000\nid: %s\n\n", v.c.hub.id()); err != nil {
		return nil // the visitor has gone
	}
	comment := time.NewTicker(liveComment)
	defer comment.Stop()
	for out.Flush() == nil {
		select {
		case _, on := <-l.wake:
			if !on {
				return nil
			}
			_, _ = fmt.Fprintf(v.w, "event: change\nid: %s\ndata:\n\n", v.c.hub.id()) // the flush tells whether it went out
		case <-comment.C:
			if !v.stillLives() {
				return nil
			}
			_, _ = fmt.Fprint(v.w, ":\n\n")
		case <-v.r.Context().Done():
			return nil
		}
	}
	return nil
}

// id names a mark in a stream.
func (h *hub) id() string {
	m, _ := h.at()
	return fmt.Sprintf("%d-%d-%d-%s", m.Ledger, m.Inbox, m.Letter, m.Head)
}

// stillLives tells whether the session has not ended meanwhile.
func (v *visit) stillLives() bool {
	on := false
	err := v.c.Store.View(v.r.Context(), func(tx *store.Tx) error {
		row, err := tx.Session(hashOf(v.token))
		if err != nil || row == nil {
			return err
		}
		user, err := tx.User(row.Name)
		on = err == nil && v.c.lives(row, user, v.c.Now())
		return err
	})
	return err == nil && on
}
