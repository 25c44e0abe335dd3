package opcua

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Fields that every event is asked for; those that it lacks come as null. The order is that of the select clauses.
const (
	fieldEventID = iota
	fieldEventType
	fieldSourceNode
	fieldSourceName
	fieldTime
	fieldReceiveTime
	fieldMessage
	fieldSeverity
	fieldConditionName
	fieldBranchID
	fieldRetain
	fieldActive
	fieldAcked
	fieldConditionID
	fieldOwn // the configured ones, in their order
)

// Event types that are messages of the server about events (OPC 10000-5, 6.4; OPC 10000-9, 5.11).
const (
	typeRefreshStart    = 2787
	typeRefreshEnd      = 2788
	typeRefreshRequired = 2789
	typeEventOverflow   = 3035
)

// filter selects fields and types. A type is taken with its subtypes: many are abstract.
func (l *life) filter(e *Events) (*ua.EventFilter, error) {
	base := func(name ...string) *ua.SimpleAttributeOperand {
		return operand(numeric(0, id.BaseEventType), 0, ua.AttributeIDValue, name...)
	}
	condition := func(name ...string) *ua.SimpleAttributeOperand {
		return operand(numeric(0, id.ConditionType), 0, ua.AttributeIDValue, name...)
	}
	f := &ua.EventFilter{
		SelectClauses: []*ua.SimpleAttributeOperand{
			base("EventId"), base("EventType"), base("SourceNode"), base("SourceName"), base("Time"), base("ReceiveTime"), base("Message"), base("Severity"),
			condition("ConditionName"), condition("BranchId"), condition("Retain"),
			operand(numeric(0, id.AlarmConditionType), 0, ua.AttributeIDValue, "ActiveState", "Id"),
			operand(numeric(0, id.AcknowledgeableConditionType), 0, ua.AttributeIDValue, "AckedState", "Id"),
			operand(numeric(0, id.ConditionType), 0, ua.AttributeIDNodeID),
		},
		WhereClause: &ua.ContentFilter{Elements: []*ua.ContentFilterElement{}},
	}
	for _, text := range e.Fields {
		own, err := parseField(text)
		if err != nil {
			return nil, err
		}
		index, err := l.values.spaces.index(own.uri)
		if err != nil {
			return nil, err
		}
		f.SelectClauses = append(f.SelectClauses, operand(numeric(0, id.BaseEventType), index, ua.AttributeIDValue, own.path...))
	}
	if len(e.Types) == 0 {
		return f, nil
	}
	types := []*ua.NodeID{numeric(0, typeRefreshStart), numeric(0, typeRefreshEnd), numeric(0, typeRefreshRequired), numeric(0, typeEventOverflow)}
	for _, text := range e.Types {
		node, err := l.find(text)
		if err != nil {
			return nil, fmt.Errorf("event type %s: %w", text, err)
		}
		types = append(types, node)
	}
	f.WhereClause.Elements = anyOf(types)
	return f, nil
}

// operand names a field. Its path is never nil: one null path stops all events of some servers, for every client.
func operand(typ *ua.NodeID, index uint16, attribute ua.AttributeID, path ...string) *ua.SimpleAttributeOperand {
	o := &ua.SimpleAttributeOperand{TypeDefinitionID: typ, AttributeID: attribute, BrowsePath: []*ua.QualifiedName{}}
	for _, name := range path {
		o.BrowsePath = append(o.BrowsePath, &ua.QualifiedName{NamespaceIndex: index, Name: name})
	}
	return o
}

// anyOf is a chain: the first is of the type, or the rest of the chain holds. Operands name elements by their place.
func anyOf(types []*ua.NodeID) []*ua.ContentFilterElement {
	n := len(types)
	ors := make([]*ua.ContentFilterElement, 0, 2*n-1)
	for i := range n - 1 { // or(i) = ofType(i), or(i+1); the last one has ofType(n-1)
		next := uint32(i + 1)
		if i == n-2 {
			next = uint32(n - 1 + n - 1)
		}
		ors = append(ors, &ua.ContentFilterElement{FilterOperator: ua.FilterOperatorOr, FilterOperands: []*ua.ExtensionObject{
			ua.NewExtensionObject(&ua.ElementOperand{Index: uint32(n - 1 + i)}), ua.NewExtensionObject(&ua.ElementOperand{Index: next}),
		}})
	}
	for _, t := range types {
		ors = append(ors, &ua.ContentFilterElement{FilterOperator: ua.FilterOperatorOfType, FilterOperands: []*ua.ExtensionObject{
			ua.NewExtensionObject(&ua.LiteralOperand{Value: ua.MustVariant(t)}),
		}})
	}
	return ors
}

// event takes an event in.
func (l *life) event(ctx context.Context, d *delivery, b *source.Batch) {
	t := d.watch.track
	if len(d.fields) < fieldOwn+len(t.events.Fields) {
		l.end(problem.New(problem.SourceDown, "server %s sent an event with %d fields", l.cfg.Endpoint, len(d.fields)))
		return
	}
	get := func(i int) any {
		if d.fields[i] == nil {
			return nil
		}
		return d.fields[i].Value()
	}
	if kind, ok := get(fieldEventType).(*ua.NodeID); ok && kind.Namespace() == 0 {
		switch kind.IntID() {
		case typeRefreshStart:
			l.refresh = map[string]bool{}
			return
		case typeRefreshEnd:
			l.refreshed(t, b)
			return
		case typeRefreshRequired:
			if err := l.refreshAll(ctx); err != nil {
				l.end(err)
			}
			return
		case typeEventOverflow:
			b.Gaps = append(b.Gaps, l.itemGap(t.gap(source.GapEventOverflow, d.arrived.Add(l.values.skew))))
			return
		}
	}
	l.happened(t, get, d, b)
}

// happened turns an event into a signal.
func (l *life) happened(t *track, get func(int) any, d *delivery, b *source.Batch) {
	r := reading{usable: true}
	if at, ok := get(fieldTime).(time.Time); ok && !missing(at) {
		r.at = at
	}
	r.ahead = r.at.After(d.arrived.Add(l.values.skew + mostAhead))
	s := l.sign()
	s.Ref, s.Kind, s.Quality, s.Time, s.Arrived = t.name, source.KindEvent, source.Good, r.at, d.arrived
	if at, ok := get(fieldReceiveTime).(time.Time); ok && !missing(at) {
		s.Server = at
	}
	own := make(object, 0, len(t.events.Fields))
	for i, text := range t.events.Fields {
		f, _ := parseField(text) // was checked
		x, err := l.values.unpack(nil, get(fieldOwn+i))
		if err != nil {
			r.usable = false
			s.Raw = fmt.Appendf(nil, "field %s %v: ", f.label(), err)
			x = nil
		}
		own = append(own, member{f.label(), x})
		if text == t.events.Seq {
			if n, ok := number(x); ok {
				r.seq = &n
			}
		}
	}
	body := l.eventBody(t, get, own, &s)
	text, err := l.values.spaces.appendJSON(nil, body, 0)
	if err != nil {
		r.usable = false
		text = fmt.Appendf(nil, "event %v", err)
	}
	s.Raw = append(s.Raw, text...)
	s.Seq = r.seq
	if r.ahead || r.at.Year() < 2000 {
		s.Flags = append(s.Flags, source.FlagTimeSuspect)
	}
	r.signal = s
	v := t.observe(&r)
	if r.seq != nil {
		l.explainBy(t, &r, v, b)
	}
	l.take(t, r, b) // without a number two events at one instant are two
}

// eventBody returns the event as mappings see it, and notes what it says about a condition.
func (l *life) eventBody(t *track, get func(int) any, own object, s *source.Signal) object {
	eventID, _ := get(fieldEventID).([]byte)
	body := object{
		{"id", ""}, {"node", t.name}, {"event_id", eventID}, {"type", get(fieldEventType)}, {"source_node", get(fieldSourceNode)},
		{"source_name", get(fieldSourceName)}, {"time", get(fieldTime)}, {"message", get(fieldMessage)}, {"severity", get(fieldSeverity)},
		{"fields", own},
	}
	condition, ok := get(fieldConditionID).(*ua.NodeID)
	if !ok || condition == nil {
		body[0].value = identityOf(l.values.server, t.name, base64.StdEncoding.EncodeToString(eventID))
		return body
	}
	s.Kind = source.KindAlarm
	branch := ""
	if b, ok := get(fieldBranchID).(*ua.NodeID); ok && b != nil && b.String() != "i=0" {
		branch = l.values.spaces.name(b)
	}
	name := l.values.spaces.name(condition)
	body[0].value = identityOf(l.values.server, name, branch, base64.StdEncoding.EncodeToString(eventID))
	active, _ := get(fieldActive).(bool)
	text, _ := get(fieldConditionName).(string)
	l.conditionIs(name+" "+branch, active, held{Event: base64.StdEncoding.EncodeToString(eventID), Source: name, Name: text})
	return append(body, member{"condition", object{
		{"id", name}, {"name", get(fieldConditionName)}, {"branch", branch}, {"retain", get(fieldRetain)}, {"active", get(fieldActive)},
		{"acked", get(fieldAcked)},
	}})
}

// conditionIs remembers the conditions that are active.
func (l *life) conditionIs(key string, active bool, h held) {
	if l.refresh != nil {
		l.refresh[key] = true
	}
	switch {
	case !active:
		delete(l.at.Held, key)
	case len(l.at.Held) < maxHeld:
		l.at.Held[key] = h
	}
}

// refreshed ends a refresh: what was active and did not come again has ended while nobody looked.
func (l *life) refreshed(t *track, b *source.Batch) {
	if l.refresh == nil {
		return
	}
	now := l.deps.Now()
	for key, h := range l.at.Held {
		if l.refresh[key] {
			continue
		}
		s := l.sign()
		s.Ref, s.Kind, s.Quality, s.Arrived = t.name, source.KindAlarm, source.Good, now
		body := object{
			{"id", identityOf(l.values.server, key, h.Event, "ended while unseen")}, {"node", t.name}, {"message", "ended while unseen"},
			{"condition", object{{"id", h.Source}, {"name", h.Name}, {"active", false}}},
		}
		text, err := l.values.spaces.appendJSON(nil, body, 0)
		if err != nil {
			continue // cannot be: texts of the cursor
		}
		s.Raw = text
		delete(l.at.Held, key)
		b.Signals = append(b.Signals, s)
	}
	l.refresh = nil
}

// refreshAll asks for the conditions that stand. It is the only call that this program makes at a server.
func (l *life) refreshAll(ctx context.Context) error {
	asked := map[int]bool{}
	for _, w := range l.watches {
		if w.role != roleEvents || w.trouble != nil || asked[w.sub] || l.server.noRefresh {
			continue
		}
		asked[w.sub] = true
		res, err := l.client.Call(ctx, &ua.CallMethodRequest{
			ObjectID: numeric(0, id.ConditionType), MethodID: numeric(0, id.ConditionType_ConditionRefresh),
			InputArguments: []*ua.Variant{ua.MustVariant(l.subs[w.sub].SubscriptionID)},
		})
		if err != nil && !refuses(err) {
			return l.explain(err)
		}
		l.server.noRefresh = err != nil // the library has ended the connection by now: the next life does without
		if err != nil || quality(res.StatusCode) == source.Bad {
			l.deps.Log.Info().Err(err).Msg("opcua server keeps no conditions")
		}
	}
	return nil
}
