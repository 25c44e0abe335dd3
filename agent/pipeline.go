package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// pipeline makes what sources read durable: map, drop what was just read, encode, split by lane, put.
type pipeline struct {
	plant   event.PlantID
	agent   string
	mapper  *mapping.Mapper
	quality *queue.Lane
	signals *queue.Lane
	now     func() time.Time
	log     zerolog.Logger
	metrics *pipelineMetrics

	// One source at a time maps and puts, so that what it remembers and its cursor go together; sources do not wait for
	// each other.
	mu      sync.Mutex // guards feeds and trouble, not what is in a feed
	feeds   map[string]*feed
	trouble []Quarantined

	damages chan laneDamage
}

// feed is what the pipeline remembers of one source.
type feed struct {
	mu     sync.Mutex // guards what follows; held over the put: a source's batches are durable in order
	recent recent
	state  mapping.State
	told   time.Time // of the newest signal that was understood; zero = not known
}

// Quarantined is a record that was not understood, as the status shows it.
type Quarantined struct {
	At     time.Time
	Source string
	Item   string
	Code   string
	Reason string
}

type laneDamage struct {
	lane   event.Lane
	damage queue.Damage
}

func newPipeline(a *Agent) *pipeline {
	return &pipeline{
		plant: event.PlantID(a.cfg.Plant), agent: a.cfg.Agent, mapper: a.mapper, quality: a.quality, signals: a.signals, now: a.now,
		log: a.log, metrics: newPipelineMetrics(a.registry), feeds: map[string]*feed{}, damages: make(chan laneDamage, 100),
	}
}

// stateCursor is the name under which a source's remembered values stand among the cursors.
const stateCursor = "state:"

// rebuild restores what was remembered before the last stop: the newest ids from the queue's tail, values from cursors.
func (p *pipeline) rebuild() error {
	tail, err := p.quality.Tail(recentIDs)
	if err != nil {
		return fmt.Errorf("read tail of queue: %w", err)
	}
	for i := range tail {
		m := event.Message{}
		for _, h := range tail[i].Headers {
			m.Headers = append(m.Headers, event.Header(h))
		}
		data, err := event.DecodeData(event.Type(m.Header(event.HeaderType)), tail[i].Value)
		if err != nil {
			continue // of a version that this one does not know: a repeat is then judged by the cloud
		}
		from := data.ReadBy()
		f := p.feed(string(from.Source))
		f.recent.add(event.ID(tail[i].ID), from.RawSHA256)
		if at, err := event.ParseTime(m.Header(event.HeaderTime)); err == nil && understood(data) {
			f.told = earlier(at.Time, from.ArrivedAt.Time)
		}
	}
	for name, value := range p.quality.Cursors() {
		id, ok := cutPrefix(name, stateCursor)
		if !ok {
			continue
		}
		var changes []mapping.Change
		if err := json.Unmarshal(value, &changes); err != nil {
			return fmt.Errorf("read remembered values of source %s: %w", id, err)
		}
		p.feed(id).state.Restore(changes)
	}
	return nil
}

// understood tells whether an event is what its source told, and not what the agent says of the source.
func understood(data event.Data) bool {
	switch data.(type) {
	case *event.RecordQuarantined, *event.GapRecorded, *event.GapClosed, *event.LossRecorded:
		return false
	}
	return true
}

// earlier returns the earlier of a fact's time and its arrival: a clock that runs ahead must not hide what came before.
func earlier(at, arrived time.Time) time.Time {
	if at.IsZero() || !arrived.IsZero() && arrived.Before(at) {
		return arrived
	}
	return at
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}

func (p *pipeline) feed(id string) *feed {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.feeds[id]
	if f == nil {
		f = &feed{}
		p.feeds[id] = f
	}
	return f
}

// emit makes a batch durable; it is the [source.Emit] of all sources. It waits while the queue is full. What a batch
// leaves in memory counts only once it is on disk: a record that is read again must meet what it met before.
func (p *pipeline) emit(ctx context.Context, b source.Batch) error {
	f := p.feed(b.Source)
	f.mu.Lock()
	defer f.mu.Unlock()
	out := batch{cursors: map[string][]byte{}, own: len(b.Signals) == 0}
	if b.Cursor != nil {
		out.cursors[b.Source] = b.Cursor
	}
	state, err := p.mapAll(&out, f, b.Signals)
	if err != nil {
		return err
	}
	if err := p.gaps(&out, &b); err != nil {
		return err
	}
	if state != nil {
		text, err := json.Marshal(state.Changes(b.Source))
		if err != nil {
			return fmt.Errorf("keep remembered values of source %s: %w", b.Source, err)
		}
		out.cursors[stateCursor+b.Source] = text
	}
	if err := p.put(ctx, &out); err != nil {
		return err
	}
	if state != nil {
		f.state = *state
	}
	p.stored(f, &b, &out)
	return nil
}

// mapAll adds what the signals become, and returns the remembered values after them; nil where they are as before.
func (p *pipeline) mapAll(out *batch, f *feed, signals []source.Signal) (*mapping.State, error) {
	var changed *mapping.State
	out.told = f.told
	for i := range signals {
		state := &f.state
		if changed != nil {
			state = changed
		}
		res := p.mapper.Map(signals[i], mapping.View{State: state})
		if len(res.Changes) > 0 && changed == nil {
			changed = f.state.Copy()
		}
		if changed != nil {
			changed.Apply(res.Changes)
		}
		if err := p.take(out, f, &signals[i], res); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// stored takes note of a batch that is on disk.
func (p *pipeline) stored(f *feed, b *source.Batch, out *batch) {
	for _, r := range out.read {
		f.recent.add(r.id, r.raw)
	}
	if len(b.Signals) > 0 {
		f.told = out.told
	}
	p.metrics.repeated.Add(float64(out.repeated))
	p.metrics.gaps.WithLabelValues(b.Source).Add(float64(len(b.Gaps)))
	p.metrics.closed.WithLabelValues(b.Source).Add(float64(len(b.Closed)))
	for _, e := range out.trouble {
		p.noteTrouble(e)
	}
}

// batch is what one emit commits.
type batch struct {
	quality []queue.Record
	signals []queue.Record
	cursors map[string][]byte
	own     bool // it holds nothing that a source told, only gaps and positions
	read    []reading
	told    time.Time // of the newest signal so far that was understood

	repeated int            // events that were read before
	trouble  []*event.Event // quarantine events
}

// take adds a signal's events. An event that can't be encoded is a fault of its mapping: quarantine.
func (p *pipeline) take(out *batch, f *feed, sig *source.Signal, res mapping.Result) error {
	if res.Panicked {
		p.log.Error().Str(telemetry.KeySource, sig.Source).Str("item", sig.Ref).Msg("mapping panicked")
	}
	for _, e := range res.Events {
		err := p.add(out, f, e)
		if err != nil && res.Quarantine == nil { // else the payload is in quarantine already
			res.Quarantine = p.mapper.Quarantine(*sig, err)
		}
	}
	if res.Quarantine == nil {
		for i, e := range res.Events {
			if at := earlier(e.Time, sig.Arrived); i == 0 || at.Before(out.told) {
				out.told = at
			}
		}
		return nil
	}
	// A source tells one thing after the other, so that what is not understood was told after this.
	res.Quarantine.Data.ReadBy().NotBefore = event.At(out.told)
	if err := p.add(out, f, res.Quarantine); err != nil {
		return fmt.Errorf("quarantine of %s: %w", sig.Ref, err)
	}
	out.trouble = append(out.trouble, res.Quarantine)
	return nil
}

// add seals an event and puts its record into the batch, unless its source has just read it.
func (p *pipeline) add(out *batch, f *feed, e *event.Event) error {
	e.Recorded = p.now()
	e.TraceParent = newTrace()
	if e.ID == "" {
		e.ID = newUUID(e.Recorded)
	}
	raw := e.Data.ReadBy().RawSHA256
	if f != nil && f.recent.has(e.ID, raw) {
		out.repeated++
		return nil
	}
	if err := e.Seal(p.agent); err != nil {
		return err
	}
	spec, _ := event.Lookup(e.Data.Type())
	r := record(e, spec.Urgent)
	if spec.Lane == event.LaneTelemetry {
		out.signals = append(out.signals, r)
		return nil
	}
	out.quality = append(out.quality, r)
	out.read = append(out.read, reading{e.ID, raw})
	return nil
}

// record is the event as the queue keeps it: the wire's bytes without the origin.
func record(e *event.Event, urgent bool) queue.Record {
	const usual = 14 // headers
	r := queue.Record{Urgent: urgent, ID: string(e.ID), At: e.Recorded, Key: []byte(e.Key), Value: e.Value, Headers: make([]queue.Header, 0, usual)}
	e.EachHeader(func(h event.Header) { r.Headers = append(r.Headers, queue.Header(h)) })
	return r
}

// put commits a batch: telemetry first, then quality with the cursors. A crash in between reads the batch again; natural
// ids make the repeat harmless in quality, telemetry may repeat.
func (p *pipeline) put(ctx context.Context, b *batch) error {
	if len(b.signals) > 0 {
		if err := p.putSignals(ctx, queue.Batch{Records: b.signals}); err != nil {
			return err
		}
		if err := failpoint.Hit("pipeline.between_lanes"); err != nil {
			return err
		}
	}
	if len(b.quality) == 0 && len(b.cursors) == 0 {
		return nil
	}
	// Positions alone take the place of older ones: telemetry must not wait for room in lane quality. Nor must a gap: what it
	// tells of a lot counts for more than what waits before it.
	return p.putQuality(ctx, queue.Batch{Records: b.quality, Cursors: b.cursors, UseReserve: b.own || len(b.quality) == 0})
}

// putQuality waits for room: lane quality is never shed.
func (p *pipeline) putQuality(ctx context.Context, b queue.Batch) error {
	for {
		_, err := p.quality.Put(ctx, b)
		if !isFull(err) {
			return err
		}
		p.metrics.waits.Inc()
		p.metrics.waiting.Inc()
		err = p.quality.WaitRoom(ctx, b)
		p.metrics.waiting.Dec()
		if err != nil {
			return err
		}
	}
}

func isFull(err error) bool {
	code := problem.CodeOf(err)
	return err != nil && (code == problem.QueueFull || code == problem.DiskFull)
}

// putSignals makes room by shedding the oldest telemetry, after the loss is recorded in lane quality.
func (p *pipeline) putSignals(ctx context.Context, b queue.Batch) error {
	for {
		_, err := p.signals.Put(ctx, b)
		if !isFull(err) {
			return err
		}
		shed, ok := p.signals.OldestShed()
		if !ok {
			if err := p.signals.WaitRoom(ctx, b); err != nil {
				return err
			}
			continue
		}
		loss := &event.LossRecorded{
			Epoch: event.Epoch(shed.Epoch), Lane: event.LaneTelemetry, FromSeq: int64(shed.FromSeq), ToSeq: int64(shed.ToSeq),
			From: event.At(shed.From), To: event.At(shed.To), Count: int64(shed.Count), Cause: event.LossShed, Sources: []event.Name{},
		}
		if err := p.own(ctx, loss, shed.Epoch, string(event.LaneTelemetry), strconv.FormatUint(shed.FromSeq, 10)); err != nil {
			return fmt.Errorf("record shed telemetry: %w", err)
		}
		if err := p.signals.Drop(shed); err != nil {
			return fmt.Errorf("shed telemetry: %w", err)
		}
	}
}

// own records one of the agent's own facts; key makes it one, with the agent as its system. It may use the reserve.
func (p *pipeline) own(ctx context.Context, data event.Data, key ...string) error {
	out := batch{}
	if err := p.add(&out, nil, p.fact(data, key...)); err != nil {
		return err
	}
	_, err := p.quality.Put(ctx, queue.Batch{Records: out.quality, UseReserve: true})
	return err
}

func (p *pipeline) fact(data event.Data, key ...string) *event.Event {
	data.ReadBy().Source = event.Name(p.agent)
	return &event.Event{
		ID:     event.NaturalID(string(p.plant), p.agent, key, data.Type(), 0),
		Source: "/" + string(p.plant) + "/" + p.agent, Time: p.now(), Plant: p.plant, Data: data,
	}
}

// damaged takes note of a record found damaged while the lane runs; run records it. It must not block.
func (p *pipeline) damaged(lane event.Lane, d queue.Damage) {
	select {
	case p.damages <- laneDamage{lane, d}:
	default:
		p.log.Error().Str(telemetry.KeyLane, string(lane)).Str(telemetry.KeyFile, d.File).Msg("damage is declared at the next start")
	}
}

// run records damages found while the agent works, until ctx ends. What is left is found again at the next start.
func (p *pipeline) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-p.damages:
			if err := p.declare(ctx, d.lane, d.damage); err != nil && ctx.Err() == nil {
				p.log.Error().Err(err).Str(telemetry.KeyFile, d.damage.File).Msg("damage could not be recorded")
				continue
			}
			lane := p.quality
			if d.lane == event.LaneTelemetry {
				lane = p.signals
			}
			if err := lane.Declared(d.damage); err != nil && !errors.Is(err, queue.ErrClosed) {
				p.log.Error().Err(err).Str(telemetry.KeyFile, d.damage.File).Msg("damage will be declared again")
			}
		}
	}
}

// declare records the missing range of a damaged file. What was acknowledged before is no loss.
func (p *pipeline) declare(ctx context.Context, lane event.Lane, d queue.Damage) error {
	p.log.Error().Str(telemetry.KeyLane, string(lane)).Str(telemetry.KeyFile, d.File).Uint64("from_seq", d.FromSeq).Uint64("to_seq", d.ToSeq).
		Uint64("salvaged", d.Salvaged).Bool("sent", d.Sent).Str("reason", d.Reason).Str(telemetry.KeyErrorCode, string(problem.QueueDamaged)).
		Msg("queue file is damaged")
	if d.Sent || d.FromSeq == 0 || !event.Epoch(d.Epoch).Valid() {
		return nil
	}
	to := max(d.ToSeq, d.FromSeq)
	now := event.At(p.now())
	loss := &event.LossRecorded{
		Epoch: event.Epoch(d.Epoch), Lane: lane, FromSeq: int64(d.FromSeq), ToSeq: int64(to), From: now, To: now,
		Count: int64(to - d.FromSeq + 1), Cause: event.LossDamaged, Sources: []event.Name{},
	}
	return p.own(ctx, loss, d.Epoch, string(lane), strconv.FormatUint(d.FromSeq, 10))
}

// act records what a person did at the agent; it is durable when act returns.
func (p *pipeline) act(ctx context.Context, act, principal, subject, reason string, detail map[string]string) error {
	data := &event.ActRecorded{
		Act: event.Name(act), Principal: event.Name(principal), About: subject, Reason: reason, Detail: maps.Clone(detail),
	}
	return p.own(ctx, data, act, principal, event.At(p.now()).String())
}

const troubles = 20

func (p *pipeline) noteTrouble(e *event.Event) {
	d, ok := e.Data.(*event.RecordQuarantined)
	if !ok {
		return
	}
	p.metrics.quarantined.WithLabelValues(string(d.Code)).Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = append(p.trouble, Quarantined{e.Recorded, string(d.Source), d.Item, string(d.Code), d.Reason})
	if len(p.trouble) > troubles {
		p.trouble = p.trouble[len(p.trouble)-troubles:]
	}
}

// troubles returns the newest quarantined records, oldest first.
func (p *pipeline) quarantined() []Quarantined {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Quarantined(nil), p.trouble...)
}

// newTrace returns a W3C trace context of its own for one event.
func newTrace() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	text := hex.AppendEncode(append(make([]byte, 0, 55), "00-"...), b[:16])
	text = hex.AppendEncode(append(text, '-'), b[16:])
	return string(append(text, "-01"...))
}

// newUUID returns a UUIDv7 (RFC 9562): time-ordered, for facts without a natural key.
func newUUID(now time.Time) event.ID {
	var b [16]byte
	_, _ = rand.Read(b[:])
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return event.ID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}

// recentIDs is how many events of a source are remembered: twice the in-flight limit of a broker set up for this
// product.
const recentIDs = 2000

// reading is one event as it was read: the same id from the same bytes is the same reading.
type reading struct {
	id  event.ID
	raw event.Hash
}

// recent remembers the newest readings of a source. Without it a message that is mapped again after a reconnect would
// meet newer remembered values and come out under the same id with another content.
type recent struct {
	set  map[reading]struct{}
	ring []reading
	next int
}

func (r *recent) has(id event.ID, raw event.Hash) bool {
	_, ok := r.set[reading{id, raw}]
	return ok && raw != ""
}

func (r *recent) add(id event.ID, raw event.Hash) {
	x := reading{id, raw}
	if _, known := r.set[x]; known || raw == "" {
		return
	}
	if r.set == nil {
		r.set = make(map[reading]struct{}, recentIDs)
	}
	if len(r.ring) < recentIDs {
		r.ring = append(r.ring, x)
	} else {
		delete(r.set, r.ring[r.next])
		r.ring[r.next] = x
		r.next = (r.next + 1) % recentIDs
	}
	r.set[x] = struct{}{}
}
