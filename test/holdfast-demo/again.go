package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// Where the cloud's databases stand: its own, the one that its inbox is applied to anew, and the copy that reads all
// topics once more.
const (
	ownDatabase      = "cloud-data/holdfast.db"
	rebuiltDatabase  = "cloud-rebuilt/holdfast.db"
	replayedDatabase = "cloud-replayed/holdfast.db"
)

// catchUp is how long a cloud may take to read all that stands on the topics.
const catchUp = 60 * time.Second

// The cloud is at rest when no system has had an effect for a while. What still waits for a person is tried again at
// longer intervals, and has no effect.
const (
	restQuiet = 2 * time.Second
	restLimit = 20 * time.Second // then it is ended as it is
)

// rest ends the agents, lets the cloud read what they sent at last and come to rest, and ends it, too. It returns all that
// stands on the plants' topics, of which nothing is added from here on.
func (p *proof) rest(ctx context.Context) (sent history.History, err error) {
	var ending sync.WaitGroup
	var topics []string
	for _, at := range p.Plants {
		ending.Go(func() { p.end(at.Agent) })
		topics = append(topics, "holdfast."+at.ID+".quality.v1", "holdfast."+at.ID+".telemetry.v1")
	}
	ending.Wait()
	if sent, err = history.OfTopics(ctx, p.Kafka.Addrs(), topics...); err != nil {
		return nil, err
	}
	if err := p.caughtUp(ctx, p.Path(ownDatabase), sent); err != nil {
		return nil, err
	}
	if err := p.quiet(ctx); err != nil {
		return nil, err
	}
	p.end(p.Cloud)
	return sent, nil
}

// quiet waits until nothing takes place at any system any more.
func (p *proof) quiet(ctx context.Context) error {
	effects, since := -1, time.Now()
	for deadline := since.Add(restLimit); time.Since(since) < restQuiet && time.Now().Before(deadline); {
		n := 0
		for _, entries := range p.books() {
			n += len(entries)
		}
		if n != effects {
			effects, since = n, time.Now()
		}
		if err := stack.Until(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// books are those of all systems, by their ids.
func (p *proof) books() map[string][]book.Entry {
	all := p.ERPBooks()
	all[stack.QMS], all[stack.WMS], all[stack.Notice] = p.QMS.Book(), p.WMS.Book(), p.Notices.Book()
	return all
}

// end ends a program as its supervisor would. That it does not end in order is a matter for the report.
func (p *proof) end(program *stack.Process) {
	_, err := program.Stop(stopLimit)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	if err != nil {
		p.unruly = append(p.unruly, fmt.Sprintf("%s did not end in order: %v", program.Name, err))
	}
}

// caughtUp waits until the cloud on a database has read all that was sent.
func (p *proof) caughtUp(ctx context.Context, path string, sent history.History) error {
	db, err := history.OpenStore(path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for deadline := time.Now().Add(catchUp); ; {
		read, err := db.Read(ctx)
		if err != nil {
			return err
		}
		unread := history.Unread(sent, read)
		if len(unread) == 0 {
			return nil
		}
		if err := p.Cloud.Err(); err != nil || time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("the cloud has not read topic %s[%d] behind offset %d in %s: %s", unread[0].Topic, unread[0].Partition, unread[0].Offset, catchUp, p.Cloud.Tail()), err)
		}
		if err := stack.Until(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
	}
}

// again makes the state anew in two ways at once: from the inbox alone, and by reading all topics into the full database.
func (p *proof) again(ctx context.Context, run *check.Run, sent history.History) error {
	if err := history.Rewind(ctx, p.Path(ownDatabase), p.Path(replayedDatabase)); err != nil {
		return err
	}
	return inParallel(
		func() (err error) { run.Rebuilt, err = p.rebuild(ctx); return err },
		func() (err error) { run.Replayed, err = p.replay(ctx, sent); return err },
	)
}

// replay has the copy of the finished cloud read all topics from their beginning, at the same systems, and returns the
// state and the systems' counts after it.
func (p *proof) replay(ctx context.Context, sent history.History) (*history.Dump, error) {
	path := p.Path(replayedDatabase)
	env := []string{"HOLDFAST_DATABASE_URL=sqlite:" + path, "HOLDFAST_LEDGER_ANCHOR_FILE=" + filepath.Join(filepath.Dir(path), "anchors.jsonl")}
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := p.StartCloud(starting, env...); err != nil {
		return nil, err
	}
	if err := p.caughtUp(ctx, path, sent); err != nil {
		return nil, err
	}
	p.end(p.Cloud)
	return p.dump(ctx, path, "replayed")
}

// rebuild applies the inbox of the finished cloud to an empty database, and returns the state that comes of it.
func (p *proof) rebuild(ctx context.Context) (_ *history.Dump, err error) {
	from, err := store.Open(ctx, "sqlite:"+p.Path(ownDatabase))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	into, err := store.Open(ctx, "sqlite:"+p.Path(rebuiltDatabase))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	cfg, err := p.engineConfig()
	if err != nil {
		return nil, err
	}
	if err := workflow.New(into, cfg, time.Now, zerolog.Nop(), nil).Rebuild(ctx, from); err != nil {
		return nil, err
	}
	return p.dump(ctx, p.Path(rebuiltDatabase), "rebuilt")
}

// engineConfig is what the cloud's own configuration says about plants and materials.
func (p *proof) engineConfig() (workflow.Config, error) {
	cfg, err := cloud.Load(p.Path("cloud.yaml"), os.LookupEnv)
	if err != nil {
		return workflow.Config{}, err
	}
	w := workflow.Config{Plants: map[event.PlantID]quality.Plant{}, Materials: map[string]quality.Material{}, CoverageMaxAge: cfg.Coverage.MaxAge}
	for _, at := range cfg.Plants {
		id := event.PlantID(at.ID)
		w.Plants[id] = quality.Plant{ID: id, ERP: at.ERP, QMS: at.QMS, WMS: at.WMS, Notify: at.Notify, OneSigner: at.Policies.OneSigner}
	}
	for _, m := range cfg.Materials {
		w.Materials[m.ID] = quality.Material{BaseUnit: event.Unit(m.BaseUnit), InspectionRequired: len(m.InspectionRequired) > 0, Inspections: m.InspectionRequired}
	}
	return w, nil
}

// dump is the state in a database of the cloud, with the effects that the systems have counted by now.
func (p *proof) dump(ctx context.Context, path, name string) (*history.Dump, error) {
	db, err := history.OpenStore(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	d, err := db.Dump(ctx, name)
	if err != nil {
		return nil, err
	}
	for system, entries := range p.books() {
		d.Writes[system] = written(entries)
	}
	return d, nil
}

// written counts the entries of a book by their kind.
func written(entries []book.Entry) map[string]int {
	n := map[string]int{}
	for i := range entries {
		n[entries[i].Kind]++
	}
	return n
}
