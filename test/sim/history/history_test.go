package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

func TestWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	var writers []*Writer
	for range 2 { // as two processes have them
		w, err := Create(path, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		writers = append(writers, w)
	}
	const each = 200
	var wg sync.WaitGroup
	for i, w := range writers {
		for range 2 {
			wg.Go(func() {
				for n := range each {
					f := Fact{Kind: Put, By: fmt.Sprint(i), Origin: Origin{Epoch: "e", Lane: event.LaneQuality, Seq: int64(n)}}
					if err := w.Add(f, Fact{Kind: Acked, At: now.In(time.FixedZone("x", 3600)).Add(time.Hour)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	h, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if puts, acks := h.Of(Put), h.Of(Acked); len(puts) != 4*each || len(acks) != 4*each {
		t.Fatalf("%d and %d facts, want %d each", len(puts), len(acks), 4*each)
	} else if !puts[0].At.Equal(now) || puts[0].Origin.Lane != event.LaneQuality || acks[0].At != now.Add(time.Hour) {
		t.Errorf("facts %+v, %+v", puts[0], acks[0])
	}
	if h, err := ReadFile(filepath.Join(t.TempDir(), "none")); err != nil || h != nil {
		t.Errorf("a file that is not there yet: %v, %v", h, err)
	}
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want int
		err  string
	}{
		"nothing":               {"", 0, ""},
		"a line being written":  {`{"kind":"put"}` + "\n" + `{"kind":"pu`, 1, ""},
		"an unknown kind":       {`{"kind":"rumour"}` + "\n", 0, `line 1: kind "rumour" is not known`},
		"an unknown member":     {`{"kind":"put"}` + "\n" + `{"kind":"put","mood":"good"}` + "\n", 0, "line 2"},
		"a line that is broken": {"{\n", 0, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := Read(strings.NewReader(c.text))
			if c.err == "" && (err != nil || len(h) != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%d facts, %v", len(h), err)
			}
		})
	}
}

// FuzzRead proves that what is read is written again as it was.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"kind":"inbox","pos":3,"origin":{"epoch":"e","lane":"quality","seq":4},"at":"2026-11-24T06:00:00Z"}` + "\n"))
	f.Add([]byte(`{"kind":"epoch","covered":{"quality":[[1,3],[5,9]]},"closing":{"quality":9}}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for i := range h {
			line, err := json.Marshal(h[i])
			if err != nil {
				return // a year that JSON has no text for
			}
			again.Write(append(line, '\n'))
		}
		if back, err := Read(&again); err != nil || len(back) != len(h) {
			t.Errorf("%d facts are read again as %d, %v", len(h), len(back), err)
		}
	})
}

// TestKind_Known proves that no kind is forgotten by the reader: each fact of the list is written and read.
func TestKind_Known(t *testing.T) {
	all := []Kind{Offered, Acknowledged, Put, Acked, Inbox, Intent, EffectSeen, Quarantined, Parked, Gap, Epoch, Barrier, Head, Hold, Release, Ledger, Clock, Fault, Queue}
	for _, k := range all {
		if !k.known() {
			t.Errorf("kind %s is not known", k)
		}
	}
}

func TestSeqs(t *testing.T) {
	const top = 60
	rapid.Check(t, func(t *rapid.T) {
		var s Seqs
		have := map[int64]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			from := rapid.Int64Range(1, top).Draw(t, "from")
			to := rapid.Int64Range(from, min(top, from+8)).Draw(t, "to")
			s = s.And([2]int64{from, to})
			for n := from; n <= to; n++ {
				have[n] = true
			}
		}
		last := rapid.Int64Range(0, top+5).Draw(t, "last")
		missing := map[int64]bool{}
		for _, x := range s.Missing(last) {
			for n := x[0]; n <= x[1]; n++ {
				missing[n] = true
			}
		}
		for n := int64(1); n <= last; n++ {
			if missing[n] == have[n] {
				t.Fatalf("%s up to %d: %d is in both or in none", s, last, n)
			}
		}
		if back, err := ParseSeqs(s.String()); err != nil || !slices.Equal(back, s) {
			t.Fatalf("%s is read as %s, %v", s, back, err)
		}
		for i := 1; i < len(s); i++ {
			if s[i][0] <= s[i-1][1]+1 {
				t.Fatalf("%s has intervals that touch", s)
			}
		}
	})
	for _, text := range []string{"1-", "a-2", "1-2,x"} {
		if _, err := ParseSeqs(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestOfBook(t *testing.T) {
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	entries := []book.Entry{
		{At: at, Key: "MAT-100/L-1", Kind: "flag_set", Material: "MAT-100", Batch: "L-1", Reference: "HF1"},
		{At: at, Key: "lot:p5:MAT-100:L-1", Kind: "tasks_released", FreeAfter: true},
	}
	h := OfBook("s4", entries, nil)
	if len(h) != 2 || h[0].Lot != "lot::MAT-100:L-1" || h[0].Effect != "flag_set" || h[0].System != "s4" || h[0].Free || h[1].Lot != "" {
		t.Errorf("%+v", h)
	}
	if h := OfBook("wms1", entries, LotOfKey); h[0].Lot != "" || h[1].Lot != "lot:p5:MAT-100:L-1" || !h[1].Free {
		t.Errorf("%+v", h)
	}
}

// TestFact_HasNoForgottenField proves that a fact with every field set survives the file.
func TestFact_HasNoForgottenField(t *testing.T) {
	var f Fact
	fill(reflect.ValueOf(&f).Elem())
	f.Kind = Put
	path := filepath.Join(t.TempDir(), "h")
	w, err := Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(f); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := ReadFile(path)
	if err != nil || len(h) != 1 {
		t.Fatalf("%d facts, %v", len(h), err)
	}
	if !reflect.DeepEqual(h[0], f) {
		raw, _ := os.ReadFile(path)
		t.Errorf("read %+v\nof %s", h[0], raw)
	}
}

// fill sets everything to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int64, reflect.Int32:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 24, 6, 0, 0, 125, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func TestOfPeople(t *testing.T) {
	entries := []book.Entry{
		{Key: "lot::M:A", Kind: "disposition_opened", Record: "DSP-1"},
		{Key: "lot::M:A", Kind: "disposition_signed", Record: "DSP-1", Detail: "accepted"},
		{Key: "lot::M:A", Kind: "disposition_revised", Record: "DSP-2", Reference: "DSP-1", Detail: "rejected"},
		{Key: "lot::M:A", Kind: "allocated", Record: "1", Detail: "SO-1/10"},
	}
	h := OfDispositions("qms1", entries)
	if len(h) != 2 || h[0].Object != "disposition:qms1:DSP-1" || h[0].Detail != "release" || h[0].Type != event.TypeDispositionDecided || h[0].Lot != "lot::M:A" ||
		h[1].Object != "disposition:qms1:DSP-2" || h[1].Detail != "reject" || h[1].Type != event.TypeDispositionRevised {
		t.Errorf("%+v", h)
	}
	if h := OfAllocations("orders", entries); len(h) != 1 || h[0].Type != event.TypeAllocationChanged || h[0].Lot != "lot::M:A" {
		t.Errorf("%+v", h)
	}
}

func TestOfAnchors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "anchors.jsonl")
	if err := os.WriteFile(path, []byte(`{"count":7,"head":"abc","root":"r","at":"2026-11-24T06:00:00Z","key_id":"k","signature":"s"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := OfAnchors(path)
	if err != nil || len(h) != 1 || h[0].State != Anchored || h[0].Place.Offset != 7 || h[0].Chain != "abc" || h[0].At.IsZero() {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := OfAnchors(path + "x"); err == nil {
		t.Error("anchors that are not there are read")
	}
	if err := os.WriteFile(path, []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OfAnchors(path); err == nil {
		t.Error("an anchor that is broken is read")
	}
}

// FuzzOfRecord proves that no record of a topic, whoever wrote it, is more than a fact.
func FuzzOfRecord(f *testing.F) {
	f.Add("ce_type", "agent.head.stated.v1", []byte(`{"barrier":1,"epochs":[]}`))
	f.Add("ce_type", "integration.effect.requested.v1", []byte(`{}`))
	f.Add("ce_seq", "-1", []byte(nil))
	f.Fuzz(func(t *testing.T, key, header string, value []byte) {
		r := &kgo.Record{Topic: "t", Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{{Key: key, Value: []byte(header)}, {Key: "ce_plant", Value: []byte(header)}}}
		if fact := OfRecord(r); !fact.Kind.known() {
			t.Errorf("kind %q", fact.Kind)
		}
	})
}
