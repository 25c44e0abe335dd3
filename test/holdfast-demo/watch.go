package main

import (
	"bufio"
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
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// shownLots is how many held lots are asked for.
const shownLots = 1000

// askLimit bounds one question; what does not answer in that time is shown as not answering.
const askLimit = 2 * time.Second

// facts is what the programs say of themselves, and what the ERPs' books say of them.
type facts struct {
	At       time.Time
	Agents   []agentFacts // by plant
	Cloud    api.Overview
	Held     []api.LotLine
	Waits    []releaseWait
	CloudErr error
	Blocked  blocking // the newest
	BookErr  error
}

// agentFacts is what an agent says of itself.
type agentFacts struct {
	localapi.Status
	Err error
}

// blocking is a hold that became true in the ERP.
type blocking struct {
	Lot    string
	Failed time.Time // source time of the hold
	Done   time.Time // of the first line of the ERP's book after which nothing of the lot is free
}

// watcher asks the agents over their sockets, the cloud over its API, and reads the ERPs' books.
type watcher struct {
	agents  []*localapi.Client
	base    string // of the API
	metrics string // URL of the cloud's
	token   string
	books   []*tail
	http    http.Client

	blocked map[string][]time.Time // by material/batch: after these lines nothing was free
}

func newWatcher(w *world) *watcher {
	watch := &watcher{base: w.base(), metrics: "http://" + w.cloud.Address + "/metrics", token: w.token, blocked: map[string][]time.Time{}}
	for _, p := range w.plants {
		watch.agents = append(watch.agents, localapi.NewClient(p.socket()))
	}
	for _, path := range w.books() {
		watch.books = append(watch.books, &tail{path: path})
	}
	return watch
}

// look asks everyone once.
func (w *watcher) look(ctx context.Context) facts {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	f := facts{At: time.Now(), Agents: make([]agentFacts, len(w.agents))}
	var asking sync.WaitGroup
	for i, agent := range w.agents {
		asking.Go(func() { f.Agents[i].Status, f.Agents[i].Err = agent.Status(ctx) })
	}
	var page api.LotPage
	f.CloudErr = errors.Join(
		w.get(ctx, "/overview", nil, &f.Cloud),
		w.get(ctx, "/lots", url.Values{"state": {api.LotsHeld}, "limit": {fmt.Sprint(shownLots)}}, &page),
	)
	var err error
	f.Waits, err = w.waits(ctx)
	f.CloudErr = errors.Join(f.CloudErr, err)
	asking.Wait()
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

// releaseWait is how many lots' releases wait at a plant for one reason.
type releaseWait struct {
	Plant, Reason string
	Lots          int
}

// waits reads what releases wait for, from the cloud's metrics.
func (w *watcher) waits(ctx context.Context) ([]releaseWait, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.metrics, nil)
	if err != nil {
		return nil, err
	}
	res, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	return readWaits(res.Body)
}

// readWaits picks the lines about releases out of a page of metrics.
func readWaits(page io.Reader) (all []releaseWait, err error) {
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), "holdfast_cloud_release_waits{")
		if !ok {
			continue
		}
		var r releaseWait
		var lots float64
		labels = strings.NewReplacer(`plant="`, "", `",reason="`, " ", `"}`, "").Replace(labels)
		if _, err := fmt.Sscan(labels, &r.Plant, &r.Reason, &lots); err != nil {
			return nil, fmt.Errorf("metric of waiting releases: %w", err)
		}
		if r.Lots = int(lots); r.Lots > 0 {
			all = append(all, r)
		}
	}
	return all, lines.Err()
}

// read notes the new lines of the books that left nothing free where something was.
func (w *watcher) read() error {
	var errs []error
	for _, b := range w.books {
		entries, err := b.next()
		errs = append(errs, err)
		for _, e := range entries {
			if !e.FreeAfter {
				w.blocked[e.Key] = append(w.blocked[e.Key], e.At)
			}
		}
	}
	return errors.Join(errs...)
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
