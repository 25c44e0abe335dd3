package opcua

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// deskLife is a life without a connection, for what needs none.
func deskLife(t *testing.T, cfg Config) *life {
	t.Helper()
	cfg.Endpoint = "opc.tcp://press1:4840"
	s, err := New(cfg, Deps{ID: "press1", Plant: "p1", Agent: "gw1", PKI: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{Source: s, ended: make(chan error, 1)}
	l.values = values{spaces: spaces{namespaceUA, "urn:own", "urn:x"}, types: newTypes(nil), server: "urn:server", sign: l.sign}
	return l
}

// eventOf builds a delivery; more are fields by their place.
func eventOf(l *life, id string, typ uint32, at time.Time, more map[int]any) *delivery {
	fields := make([]*ua.Variant, fieldOwn+len(l.tracks[0].events.Fields))
	for i := range fields {
		fields[i] = new(ua.Variant)
	}
	fields[fieldEventID] = ua.MustVariant([]byte(id))
	fields[fieldEventType] = ua.MustVariant(numeric(0, typ))
	fields[fieldTime] = ua.MustVariant(at)
	for i, v := range more {
		fields[i] = ua.MustVariant(v)
	}
	return &delivery{watch: &watch{role: roleEvents, track: l.tracks[0]}, fields: fields, arrived: at.Add(time.Millisecond)}
}

func alarm(active bool) map[int]any {
	return map[int]any{
		fieldConditionID: ua.NewStringNodeID(2, "TorqueAlarm"), fieldConditionName: "torque", fieldActive: active, fieldRetain: true, fieldAcked: false,
	}
}

func TestLife_Event(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 14, 2, 0, time.UTC)
	plain := Config{Events: []Events{{Fields: []string{"nsu=urn:x;Count"}, Seq: "nsu=urn:x;Count"}}}
	t.Run("OK", func(t *testing.T) {
		l, b := deskLife(t, plain), source.Batch{}
		l.event(t.Context(), eventOf(l, "e1", 2041, at, map[int]any{fieldOwn: uint32(7), fieldMessage: ua.NewLocalizedText("made")}), &b)
		if len(b.Signals) != 1 {
			t.Fatalf("batch %+v", b)
		}
		s := b.Signals[0]
		if s.Kind != source.KindEvent || *s.Seq != 7 || !s.Time.Equal(at) || !strings.Contains(string(s.Raw), `"fields":{"Count":7}`) || strings.Contains(string(s.Raw), "condition") {
			t.Errorf("signal %+v with %s", s, s.Raw)
		}
	})
	t.Run("CountLeftOut", func(t *testing.T) {
		l, b := deskLife(t, plain), source.Batch{}
		l.event(t.Context(), eventOf(l, "e1", 2041, at, map[int]any{fieldOwn: uint32(7)}), &b)
		l.event(t.Context(), eventOf(l, "e2", 2041, at.Add(time.Second), map[int]any{fieldOwn: uint32(10)}), &b)
		if len(b.Gaps) != 1 || b.Gaps[0].FromSeq != 8 || b.Gaps[0].ToSeq != 9 || b.Gaps[0].Item != "events i=2253" {
			t.Errorf("gaps %+v", b.Gaps)
		}
	})
	t.Run("TwoAtOneInstant", func(t *testing.T) {
		l, b := deskLife(t, Config{Events: []Events{{}}}), source.Batch{}
		l.event(t.Context(), eventOf(l, "e1", 2041, at, nil), &b)
		l.event(t.Context(), eventOf(l, "e2", 2041, at, nil), &b)
		if len(b.Signals) != 2 || string(b.Signals[0].Raw) == string(b.Signals[1].Raw) {
			t.Errorf("signals %+v", b.Signals)
		}
	})
	t.Run("QueueOverflow", func(t *testing.T) {
		l, b := deskLife(t, plain), source.Batch{}
		l.event(t.Context(), eventOf(l, "e1", 2041, at, map[int]any{fieldOwn: uint32(7)}), &b)
		l.event(t.Context(), eventOf(l, "e2", typeEventOverflow, at.Add(time.Second), nil), &b)
		if len(b.Signals) != 1 || len(b.Gaps) != 1 || b.Gaps[0].Reason != source.GapEventOverflow || !b.Gaps[0].From.Equal(at) {
			t.Errorf("batch %+v", b)
		}
	})
	t.Run("ErrFields", func(t *testing.T) {
		l, b := deskLife(t, plain), source.Batch{}
		d := eventOf(l, "e1", 2041, at, nil)
		d.fields = d.fields[:3]
		l.event(t.Context(), d, &b)
		if l.alive() || len(b.Signals) > 0 {
			t.Errorf("an event with three fields is taken: %+v", b)
		}
	})
}

func TestLife_Refresh(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 14, 2, 0, time.UTC)
	l, b := deskLife(t, Config{Events: []Events{{}}}), source.Batch{}
	l.event(t.Context(), eventOf(l, "a1", 9341, at, alarm(true)), &b)
	if s := b.Signals[0]; s.Kind != source.KindAlarm || !strings.Contains(string(s.Raw), `"condition":{"id":"nsu=urn:x;s=TorqueAlarm","name":"torque"`) || len(l.at.Held) != 1 {
		t.Fatalf("alarm %s, held %v", s.Raw, l.at.Held)
	}
	first := string(b.Signals[0].Raw)

	b = source.Batch{}
	for _, d := range []*delivery{eventOf(l, "r1", typeRefreshStart, at, nil), eventOf(l, "a1", 9341, at, alarm(true)), eventOf(l, "r2", typeRefreshEnd, at, nil)} {
		l.event(t.Context(), d, &b)
	}
	if len(b.Signals) != 1 || string(b.Signals[0].Raw) != first || len(l.at.Held) != 1 {
		t.Errorf("a condition that stands comes again as %s", b.Signals[0].Raw)
	}

	b = source.Batch{}
	for _, d := range []*delivery{eventOf(l, "r3", typeRefreshStart, at, nil), eventOf(l, "r4", typeRefreshEnd, at, nil)} {
		l.event(t.Context(), d, &b)
	}
	if len(b.Signals) != 1 || !strings.Contains(string(b.Signals[0].Raw), `"message":"ended while unseen"`) || !strings.Contains(string(b.Signals[0].Raw), `"active":false`) || len(l.at.Held) > 0 {
		t.Errorf("a condition that has ended is %+v, held %v", b.Signals, l.at.Held)
	}
	l.event(t.Context(), eventOf(l, "a2", 9341, at, alarm(true)), &b)
	l.event(t.Context(), eventOf(l, "a3", 9341, at, alarm(false)), &b)
	if len(l.at.Held) > 0 {
		t.Errorf("held %v after its end", l.at.Held)
	}
}

// TestAnyOf reads the chain as a server does: from its first element, which must reach all types.
func TestAnyOf(t *testing.T) {
	types := []*ua.NodeID{numeric(0, 1), numeric(0, 2), numeric(0, 3), numeric(0, 4), numeric(0, 5)}
	elements := anyOf(types)
	var reached []string
	var read func(i uint32)
	read = func(i uint32) {
		e := elements[i]
		for _, o := range e.FilterOperands {
			switch o := o.Value.(type) {
			case *ua.ElementOperand:
				if o.Index <= i || int(o.Index) >= len(elements) {
					t.Fatalf("element %d names element %d: want a later one", i, o.Index)
				}
				read(o.Index)
			case *ua.LiteralOperand:
				reached = append(reached, o.Value.Value().(*ua.NodeID).String())
			}
		}
	}
	read(0)
	slices.Sort(reached)
	if !slices.Equal(reached, []string{"i=1", "i=2", "i=3", "i=4", "i=5"}) {
		t.Errorf("reached %v", reached)
	}
}

// TestValues_Fact gives one identity to one fact, live and from history, whatever bits say how it came.
func TestValues_Fact(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "nsu=urn:x;s=Torque"}}})
	w := &watch{track: l.tracks[0], typ: base(typeDouble)}
	at, now := time.Date(2026, 11, 24, 9, 14, 2, 0, time.UTC), time.Date(2026, 11, 24, 9, 14, 3, 0, time.UTC)
	read := func(value float64, status ua.StatusCode, at time.Time, flags ...string) reading {
		return l.values.value(w, &ua.DataValue{Value: ua.MustVariant(value), Status: status, SourceTimestamp: at, ServerTimestamp: now}, nil, now, flags...)
	}
	live := read(45.25, 0, at)
	for name, r := range map[string]reading{
		"overflow":            read(45.25, 0x480, at),
		"from history":        read(45.25, 0x401, at, source.FlagBackfilled), // raw, by its historian bits
		"another server time": l.values.value(w, &ua.DataValue{Value: ua.MustVariant(45.25), SourceTimestamp: at}, nil, now.Add(time.Hour)),
	} {
		if string(r.signal.Raw) != string(live.signal.Raw) {
			t.Errorf("%s: %s, live %s", name, r.signal.Raw, live.signal.Raw)
		}
	}
	for name, r := range map[string]reading{
		"another value": read(45.26, 0, at), "another time": read(45.25, 0, at.Add(1)), "another status": read(45.25, ua.StatusBadSensorFailure, at),
	} {
		if string(r.signal.Raw) == string(live.signal.Raw) {
			t.Errorf("%s has the same form: %s", name, r.signal.Raw)
		}
	}
	if a, b := read(1, 0, time.Time{}), l.values.value(w, &ua.DataValue{Value: ua.MustVariant(1.0)}, nil, now.Add(time.Second)); string(a.signal.Raw) == string(b.signal.Raw) {
		t.Errorf("equal values without a time are one fact: %s", a.signal.Raw)
	}
}
