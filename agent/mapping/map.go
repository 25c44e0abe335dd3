package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/vm"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxEvents bounds what one signal may give.
const maxEvents = 10_000

// Result is what a signal gave. Each event lacks recorded time, trace context and seal, which the agent adds; one
// without an id needs a minted one.
type Result struct {
	Events []*event.Event // in the order of mappings, then rows
	// Quarantine is the record of what was not understood, nil if all was. One signal has one, which names all errors.
	Quarantine *event.Event
	Changes    []Change // for [State.Apply], in order
	Skipped    int      // rows that a mapping's when did not take, over all mappings
	Panicked   bool     // a fault of a mapping was caught
}

// Map turns a signal into events. It never panics and never returns nothing at all: a signal gives an event, a
// quarantine record, a change, or rows skipped by a mapping's own condition.
func (m *Mapper) Map(sig source.Signal, view View) (res Result) {
	r := newRun(m, &sig, view)
	defer func() {
		if fault := recover(); fault != nil {
			r.problems = nil
			r.fail(nil, -1, "", CodeFailed, fmt.Errorf("mapping panicked: %v", fault))
			res = Result{Quarantine: r.quarantine(), Panicked: true}
		}
	}()
	return r.all()
}

func newRun(m *Mapper, sig *source.Signal, view View) *run {
	return &run{
		mapper: m, sig: sig, ordinals: map[event.ID]int{},
		scope: scope{sig: sig, tables: m.tables, state: view.State},
	}
}

// run is one call of Map.
type run struct {
	mapper   *Mapper
	sig      *source.Signal
	scope    scope
	ordinals map[event.ID]int // events so far, by the id of the first of their key

	// What expressions see and use.
	work    *work
	row     any
	stack   []any // arguments of the functions that are being called
	object  event.Object
	machine *vm.VM // nil = not needed yet
	env     map[string]any

	works    []work
	problems []failure
	hash     event.Hash // of the payload; "" = not needed yet
	result   Result
}

// work is a mapping that takes the signal.
type work struct {
	*mapping
	captures  []string // of the topic, by the order of its names
	payload   any
	undecoded bool // the payload could not be read
	rows      []any
	ids       []event.ID // by row, for causes; "" = no event
}

// failure is one thing wrong with the signal.
type failure struct {
	mapping           *mapping // nil = it concerns all
	field, text, code string
	lot               event.LotKey // of the row, if it could be told
}

func (r *run) all() Result {
	if r.accept() {
		r.decode()
		for i := range r.works {
			r.rememberAll(&r.works[i])
		}
		r.result.Changes = r.scope.own
		for i := range r.works {
			r.mapRows(&r.works[i])
		}
	}
	if len(r.result.Events) > maxEvents {
		r.fail(nil, -1, "rows", CodeFailed, fmt.Errorf("gives %d events: want at most %d", len(r.result.Events), maxEvents))
		r.result.Events = nil
	}
	if len(r.problems) > 0 {
		r.result.Quarantine = r.quarantine()
	}
	return r.result
}

// accept finds the mappings that take the signal. It returns false, with the reason noted, where it is not to be read.
func (r *run) accept() bool {
	switch {
	case r.sig.Cut != nil:
		r.fail(nil, -1, "", CodeTooLarge, fmt.Errorf("payload has %d bytes, more than its source's limit", r.sig.Cut.Length))
		return false
	case slices.Contains(r.sig.Flags, source.FlagUnsubscribed):
		r.fail(nil, -1, "", CodeForeign, errors.New("topic is not one that was subscribed to"))
		return false
	case !utf8.ValidString(r.sig.Ref) || strings.ContainsAny(r.sig.Ref, "\x00") || r.sig.Kind == source.KindMessage && strings.ContainsAny(r.sig.Ref, "+#"):
		r.fail(nil, -1, "", CodeForeign, errors.New("topic has a wildcard or characters that no topic may have"))
		return false
	}
	for i := range r.mapper.mappings {
		mp := &r.mapper.mappings[i]
		if mp.source != "" && mp.source != r.sig.Source {
			continue
		}
		captures, ok := mp.topic.match(r.sig.Ref)
		if !ok {
			continue
		}
		if other, is := mp.topic.foreign(captures, string(r.mapper.plant)); is {
			r.fail(mp, -1, "from.topic", CodeForeign, fmt.Errorf("topic names plant %.60q: this is %s", other, r.mapper.plant))
			return false
		}
		r.works = append(r.works, work{mapping: mp, captures: captures})
	}
	if len(r.works) == 0 {
		r.fail(nil, -1, "", CodeUnmapped, errors.New("no mapping takes this topic"))
	}
	return len(r.works) > 0
}

// decode reads the payload, once per decoding, and lists the rows of each mapping.
func (r *run) decode() {
	for i := range r.works {
		w := &r.works[i]
		if same := slices.IndexFunc(r.works[:i], func(other work) bool { return other.decode == w.decode }); same >= 0 {
			w.payload, w.undecoded = r.works[same].payload, r.works[same].undecoded
		} else if payload, err := w.decode.decode(r.sig.Raw); err != nil {
			w.undecoded = true
			r.fail(nil, -1, "decode", CodeFailed, err)
		} else {
			w.payload = payload
		}
		if w.undecoded {
			continue
		}
		w.rows = r.rows(w)
		w.ids = make([]event.ID, len(w.rows))
	}
}

func (r *run) rows(w *work) []any {
	if w.mapping.rows == nil {
		return []any{w.payload}
	}
	v, err := r.eval(w, nil, w.mapping.rows)
	rows, isList := v.([]any)
	switch {
	case err != nil:
	case !isList:
		err = fmt.Errorf("is %s: want a list", kind(v))
	case len(rows) > maxEvents:
		err = fmt.Errorf("has %d rows: want at most %d", len(rows), maxEvents)
	}
	if err != nil {
		r.fail(w.mapping, -1, "rows", CodeFailed, err)
		return nil
	}
	return rows
}

// takes evaluates a condition; nil is true.
func (r *run) takes(w *work, row any, condition *program) (bool, error) {
	if condition == nil {
		return true, nil
	}
	v, err := r.eval(w, row, condition)
	if err != nil {
		return false, err
	}
	yes, isBool := v.(bool)
	if !isBool {
		return false, fmt.Errorf("is %s: want true or false", kind(v))
	}
	return yes, nil
}

func (r *run) rememberAll(w *work) {
	for i, row := range w.rows {
		for j := range w.remember {
			if err := r.rememberOne(w, row, &w.remember[j]); err != nil {
				r.fail(w.mapping, i, fmt.Sprintf("remember[%d]", j), CodeFailed, err)
			}
		}
	}
}

func (r *run) rememberOne(w *work, row any, rem *remember) error {
	r.scope.at = r.sig.Time
	for _, condition := range []*program{w.when, rem.when} {
		if yes, err := r.takes(w, row, condition); !yes || err != nil {
			return err
		}
	}
	c := Change{Source: r.sig.Source, From: r.sig.Time, Arrived: r.sig.Arrived, Clock: r.sig.Clock.Synchronised}
	v, err := r.eval(w, row, rem.tag)
	if err != nil {
		return err
	}
	if c.Tag, err = text(v); err != nil || c.Tag == "" || len(c.Tag) > 256 {
		return fmt.Errorf("tag is %s: want a text of 1 to 256 bytes", kind(v))
	}
	c.Tag = strings.Clone(c.Tag) // see [Change.remember]
	if c.Good, err = r.takes(w, row, rem.good); err != nil {
		return err
	}
	c.Good = c.Good && (rem.quality || !doubtful(r.sig))
	if rem.time != nil {
		if v, err = r.eval(w, row, rem.time); err != nil {
			return err
		}
		if c.From, _, err = asTime(v); err != nil {
			return fmt.Errorf("time %w", err)
		}
	}
	if c.Good { // a bad value is often null, and nobody may use it anyway
		if v, err = r.eval(w, row, rem.value); err != nil {
			return err
		}
		if err = c.remember(v); err != nil {
			return fmt.Errorf("value %w", err)
		}
	}
	r.scope.own = append(r.scope.own, c)
	return nil
}

func (r *run) mapRows(w *work) {
	if w.typ == "" {
		return
	}
	for i, row := range w.rows {
		r.scope.at, r.scope.ages = r.sig.Time, nil
		yes, err := r.takes(w, row, w.when)
		if err != nil {
			r.fail(w.mapping, i, "when", CodeFailed, err)
			continue
		}
		if !yes {
			r.result.Skipped++
			continue
		}
		r.mapRow(w, i, row)
	}
}

// mapRow makes the event of one row, or notes everything wrong with it.
func (r *run) mapRow(w *work, i int, row any) {
	e := &event.Event{Source: r.eventSource(r.sig.System), Plant: r.mapper.plant}
	t, quality, err := r.eventTime(w, row)
	if err != nil {
		r.fail(w.mapping, i, "time", CodeFailed, err)
		return
	}
	e.Time = t
	before := len(r.problems)
	if w.strict && doubtful(r.sig) {
		r.fail(w.mapping, i, "quality", CodeQuality, fmt.Errorf("its source calls the value %s (status 0x%08X), and the mapping does not look at that", r.sig.Quality, r.sig.Status))
	}
	r.object = r.data(slices.Grow(r.object[:0], len(w.slots)+1), w, i, row, w.slots)
	if doubtful(r.sig) && passes(r.object) {
		r.fail(w.mapping, i, "quality", CodeQuality, fmt.Errorf("its source calls the value %s (status 0x%08X): nothing passes by it", r.sig.Quality, r.sig.Status))
	}
	key := r.key(w, i, row)
	raw := r.raw(w, i, row)
	if len(r.problems) == before {
		r.object = append(r.object, event.Member{Name: "provenance", Value: event.Object{{Name: "source", Value: r.sig.Source}}})
		if e.Data, err = event.FillData(w.typ, r.object); err != nil {
			r.fail(w.mapping, i, "data", CodeFailed, err)
		}
	}
	if len(r.problems) > before {
		lot := lotOf(r.object)
		for j := range r.problems[before:] {
			r.problems[before+j].lot = lot
		}
		return
	}
	*e.Data.ReadBy() = r.provenance(w.mapping, raw, quality)
	if !w.keyless {
		e.ID = r.id(w.typ, key)
		w.ids[i] = e.ID
	}
	e.Causation = r.causeOf(w, i)
	if err := fits(e, texts(r.object)); err != nil {
		r.fail(w.mapping, i, "data", CodeFailed, err)
		return
	}
	r.result.Events = append(r.result.Events, e)
}

// eventSource returns the ce_source of a system.
func (r *run) eventSource(system string) string {
	if slices.Contains(r.mapper.shared, system) {
		return "/" + system
	}
	return "/" + string(r.mapper.plant) + "/" + system
}

// id returns the natural id of the next event with this key.
func (r *run) id(typ event.Type, key []string) event.ID {
	plant := string(r.mapper.plant)
	if slices.Contains(r.mapper.shared, r.sig.System) {
		plant = ""
	}
	first := event.NaturalID(plant, r.sig.System, key, typ, 0)
	n := r.ordinals[first]
	r.ordinals[first] = n + 1
	if n == 0 {
		return first
	}
	return event.NaturalID(plant, r.sig.System, key, typ, n)
}

// causeOf returns the id of the event that the mapping named as cause made of the same row. Where that one failed, the
// effect stands without it: a failed safety value must not vanish because its record was not understood.
func (r *run) causeOf(w *work, row int) event.ID {
	if w.cause < 0 {
		return ""
	}
	cause := &r.mapper.mappings[w.cause]
	for i := range r.works {
		if r.works[i].mapping == cause && row < len(r.works[i].ids) {
			return r.works[i].ids[row]
		}
	}
	return ""
}

// eventTime returns the time of the fact, and how far it can be trusted. It also sets the time that state() looks back
// from.
func (r *run) eventTime(w *work, row any) (time.Time, event.TimeQuality, error) {
	t, suspect := r.sig.Time, false
	if w.time != nil {
		v, err := r.eval(w, row, w.time)
		if err != nil {
			return t, "", err
		}
		if t, suspect, err = asTime(v); err != nil {
			return t, "", err
		}
	}
	r.scope.at = t
	if t.IsZero() {
		return r.sig.Arrived, event.TimeMissing, nil
	}
	return t, r.timeQuality(t, suspect), nil
}

// A source time is suspect where its clock cannot be right: ahead of its arrival, or before this century.
const maxAhead = 2 * time.Second

func (r *run) timeQuality(t time.Time, suspect bool) event.TimeQuality {
	switch {
	case t.IsZero():
		return event.TimeMissing
	case suspect, t.After(r.sig.Arrived.Add(maxAhead)), t.Year() < 2000:
		return event.TimeSuspect
	case !r.sig.Clock.Synchronised:
		return event.TimeUnsynchronised
	}
	return event.TimeSynchronised
}

// data evaluates the members of an object, and appends them to it. Members that are nil are left out.
func (r *run) data(object event.Object, w *work, i int, row any, slots []slot) event.Object {
	for j := range slots {
		s := &slots[j]
		if s.kind == kindObject {
			if inner := r.data(nil, w, i, row, s.slots); len(inner) > 0 {
				object = append(object, event.Member{Name: s.name, Value: inner})
			}
			continue
		}
		v, err := r.eval(w, row, s.prog)
		if err == nil {
			v, err = s.kind.wire(v)
		}
		if err != nil {
			r.fail(w.mapping, i, s.field, CodeFailed, err)
		} else if v != nil {
			object = append(object, event.Member{Name: s.name, Value: v})
		}
	}
	return object
}

// lotOf returns the lot of data, "" if it has none.
func lotOf(data event.Object) event.LotKey {
	for _, m := range data {
		if text, isText := m.Value.(string); isText && m.Name == "lot" {
			return event.LotKey(text)
		}
	}
	return ""
}

func (r *run) key(w *work, i int, row any) []string {
	parts := make([]string, len(w.key))
	for j, prog := range w.key {
		v, err := r.eval(w, row, prog)
		if err == nil {
			parts[j], err = keyPart(v)
		}
		if err != nil {
			r.fail(w.mapping, i, fmt.Sprintf("key[%d]", j), CodeFailed, err)
		}
	}
	return parts
}

func keyPart(v any) (string, error) {
	switch v := v.(type) {
	case string:
		switch {
		case v == "":
			return "", errors.New("is an empty text")
		case !utf8.ValidString(v) || strings.ContainsFunc(v, func(c rune) bool { return c < 0x20 || c == 0x7f }):
			return "", fmt.Errorf("%.60q has control characters", v)
		}
		return v, nil
	case Number:
		return v.text, nil
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time, instant:
		t, _, err := asTime(v)
		return event.At(t).String(), err
	}
	return "", fmt.Errorf("is %s: want a text, a number or a time", kind(v))
}

// raw returns the text that the event's provenance carries; "" = the payload, if it is the one row.
func (r *run) raw(w *work, i int, row any) string {
	if w.raw == nil {
		return ""
	}
	v, err := r.eval(w, row, w.raw)
	if err == nil {
		v, err = textOf(v)
	}
	if err != nil {
		r.fail(w.mapping, i, "raw", CodeFailed, err)
		return ""
	}
	return v.(string)
}

// fits checks that an event is not too large to be sealed. Bytes is how much text its mapping gave.
func fits(e *event.Event, bytes int) error {
	read := e.Data.ReadBy()
	bytes += len(read.Raw) + len(read.RawBase64) + len(read.Item)
	for tag := range read.Ages {
		bytes += len(tag)
	}
	if bytes < event.MaxValue/8 { // escaping takes six times the room at the most
		return nil
	}
	sealed := *e
	if sealed.ID == "" {
		sealed.ID = placeholderID
	}
	return sealed.Seal("agent")
}

// texts returns how many bytes of text data holds.
func texts(data event.Object) (bytes int) {
	for _, m := range data {
		switch v := m.Value.(type) {
		case string:
			bytes += len(v)
		case event.Object:
			bytes += texts(v)
		}
	}
	return bytes
}

// placeholderID stands for an id that is minted later.
const placeholderID = event.ID("00000000-0000-7000-8000-000000000000")

// fail notes an error. Row is -1 where it concerns the whole payload.
func (r *run) fail(m *mapping, row int, field, code string, err error) {
	where := ""
	if m != nil {
		where = m.name + " v" + strconv.FormatInt(m.version, 10)
		if row >= 0 && m.rows != nil {
			where += ", row " + strconv.Itoa(row)
		}
		where += ": "
	}
	if field != "" {
		where += field + ": "
	}
	r.problems = append(r.problems, failure{mapping: m, field: field, text: where + err.Error(), code: code})
}
