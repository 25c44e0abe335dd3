package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// shownLots is how many held lots are asked for.
const shownLots = 1000

// askLimit bounds one question; what does not answer in that time is shown as not answering.
const askLimit = 2 * time.Second

// facts is what the programs say of themselves, and what the ERP's book says of them.
type facts struct {
	At       time.Time
	Agent    localapi.Status
	AgentErr error
	Cloud    api.Overview
	Held     []api.LotLine
	CloudErr error
	Blocked  blocking // the newest
	BookErr  error
}

// blocking is a hold that became true in the ERP.
type blocking struct {
	Lot    string
	Failed time.Time // source time of the hold
	Done   time.Time // of the first line of the ERP's book after which nothing of the lot is free
}

// watcher asks the agent over its socket, the cloud over its API, and reads the ERP's book.
type watcher struct {
	agent *localapi.Client
	base  string // of the API
	token string
	book  tail
	http  http.Client

	blocked map[string][]time.Time // by material/batch: after these lines nothing was free
}

func newWatcher(w *world) *watcher {
	return &watcher{
		agent: localapi.NewClient(w.socket()), base: "http://" + w.cloud.Address + api.Base, token: w.token,
		book: tail{path: w.book()}, blocked: map[string][]time.Time{},
	}
}

// look asks everyone once.
func (w *watcher) look(ctx context.Context) facts {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	f := facts{At: time.Now()}
	f.Agent, f.AgentErr = w.agent.Status(ctx)
	var page api.LotPage
	f.CloudErr = errors.Join(
		w.get(ctx, "/overview", nil, &f.Cloud),
		w.get(ctx, "/lots", url.Values{"state": {api.LotsHeld}, "limit": {fmt.Sprint(shownLots)}}, &page),
	)
	f.Held = page.Lots
	f.BookErr = w.read()
	f.Blocked = w.newest(f.Held)
	return f
}

func (w *watcher) get(ctx context.Context, path string, query url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// read notes the new lines of the book that left nothing free where something was.
func (w *watcher) read() error {
	entries, err := w.book.next()
	for _, e := range entries {
		if !e.FreeAfter {
			w.blocked[e.Key] = append(w.blocked[e.Key], e.At)
		}
	}
	return err
}

// newest returns the held lot that was blocked last.
func (w *watcher) newest(held []api.LotLine) (last blocking) {
	for i := range held {
		l := &held[i]
		for _, at := range w.blocked[l.Material+"/"+l.Number] {
			if at.Before(l.HeldSince) {
				continue // of an earlier hold
			}
			if at.After(last.Done) {
				last = blocking{l.Number, l.HeldSince, at}
			}
			break
		}
	}
	return last
}

// tail reads a book that another process writes, from where it stopped before.
type tail struct {
	path   string
	offset int64
}

// next returns the entries that are new. A line that is still being written is left for the next time.
func (t *tail) next() ([]book.Entry, error) {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.NewSectionReader(f, t.offset, 1<<24))
	if err != nil {
		return nil, err
	}
	var entries []book.Entry
	for {
		line, rest, whole := bytes.Cut(raw, []byte("\n"))
		if !whole {
			return entries, nil
		}
		var e book.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return entries, fmt.Errorf("book of the ERP at byte %d: %w", t.offset, err)
		}
		entries, raw, t.offset = append(entries, e), rest, t.offset+int64(len(line))+1
	}
}
