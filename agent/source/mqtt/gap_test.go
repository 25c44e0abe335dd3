package mqtt

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// TestSource_Restart proves that a restart of the agent is a gap before anything is read, and that a kept session closes it
// once what waited is stored.
func TestSource_Restart(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{AckWait: sourcetest.Limit}), &sink{} // no repeats, however slow the host is
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	pub := newPublisher(t, b.URL())
	pub.send("plant/a", "before")
	last := k.wait(t, 1)[0]
	stop()
	if len(k.Gaps()) != 0 {
		t.Fatalf("the first start is a gap: %+v", k.Gaps())
	}
	pub.sendMany(0, 1500)
	var stored int
	k.SetHook(func(b source.Batch) error {
		if len(b.Closed) > 0 {
			stored = len(k.All())
		}
		return nil
	})
	s, stop = start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) == 1 })
	stop()
	if stored != 1501 {
		t.Errorf("the gap was closed when %d of 1501 messages were stored", stored)
	}
	if len(k.Gaps()) != 1 {
		t.Fatalf("gaps %+v: want one", k.Gaps())
	}
	g := k.Gaps()[0]
	if g.Reason != source.GapAgentRestart || g.Equipment != "press4" || !g.From.Equal(last.Arrived) || !g.To.IsZero() || g.Found.IsZero() {
		t.Errorf("gap is %+v, want one from %s on", g, last.Arrived)
	}
	if c := k.Closings()[0]; !reflect.DeepEqual(c.Gap, g) || c.Reason == "" || c.Filled < 1500 {
		t.Errorf("closing is %+v", c)
	}
	if n := s.Status().OpenGaps; n != 0 {
		t.Errorf("%d gaps are open", n)
	}
}

// TestSource_WhatWaits plays a broker that takes its time to send what waits. The gap is closed when all of it is stored: not
// by the subscription, not by an answer that a message came before.
func TestSource_WhatWaits(t *testing.T) {
	present := []byte{typeConnack << 4, 2, 1, 0}
	b := newScript(t, func(_ int, c session) {
		c.send(present)
		questions := 0
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.SubscribePacket:
				c.send([]byte{typeSuback << 4, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
				time.AfterFunc(100*time.Millisecond, func() { c.send(publish(7, 1, "plant/a", []byte("first"))) })
			case *packets.UnsubscribePacket:
				if questions++; questions == 1 {
					c.send(publish(8, 1, "plant/a", []byte("second")))
				}
				ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
				ack.MessageID = p.MessageID
				_ = ack.Write(c)
			}
		}
	})
	k := &sink{}
	known, err := json.Marshal(cursor{Until: time.Now().Add(-time.Minute), Filters: []string{"plant/#"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Emit(t.Context(), source.Batch{Cursor: known}); err != nil {
		t.Fatal(err)
	}
	var then []string // what was stored when the gap was closed
	k.SetHook(func(b source.Batch) error {
		if len(b.Closed) > 0 {
			then = payloads(k.All())
		}
		return nil
	})
	_, stop := start(t, k, Config{Broker: b.url()}, nil)
	sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) == 1 })
	stop()
	if !slices.Equal(then, []string{"first", "second"}) {
		t.Errorf("when the gap was closed %q were stored", then)
	}
}

// TestSource_NoAnswer gives up a connection whose broker answers nothing: it may hold back what waits, too.
func TestSource_NoAnswer(t *testing.T) {
	b := newScript(t, func(_ int, c session) {
		c.send([]byte{typeConnack << 4, 2, 1, 0})
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			if p, ok := p.(*packets.SubscribePacket); ok {
				c.send([]byte{typeSuback << 4, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
			}
		}
	})
	k := &sink{}
	if err := k.Emit(t.Context(), source.Batch{Cursor: []byte(`{"until":"2026-11-24T06:00:00Z"}`)}); err != nil {
		t.Fatal(err)
	}
	start(t, k, Config{Broker: b.url()}, func(s *Source) { s.pace.answer = 500 * time.Millisecond })
	sourcetest.Until(t, "it connects anew", func() bool { return b.connections() > 1 })
	if len(k.Closings()) != 0 {
		t.Errorf("closed %+v", k.Closings())
	}
}

// TestSource_Busy closes a gap although messages never cease to come.
func TestSource_Busy(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	stop()
	pub, quit := newPublisher(t, b.URL()), make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				pub.c.Publish("plant/a", 1, false, "x")
			case <-quit:
				return
			}
		}
	})
	defer busy.Wait()
	defer close(quit)
	start(t, k, Config{Broker: b.URL()}, func(s *Source) { s.pace.busy = time.Second })
	sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) == 1 })
}

// TestSource_BrokerOutOfReach proves what a broker that cannot be reached leaves: a gap that no start closes or repeats, closed
// when it is back with what it kept.
func TestSource_BrokerOutOfReach(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	p := startProxy(t, b)
	cfg := Config{Broker: "tcp://" + p.Addr(), DisconnectGap: time.Second}
	s, stop := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	pub := newPublisher(t, b.URL())
	pub.send("plant/a", "before")
	k.wait(t, 1)
	p.Cut()
	sourcetest.Until(t, "the gap is recorded", func() bool { return len(k.Gaps()) == 1 })
	if g := k.Gaps()[0]; g.Reason != source.GapDisconnect || !g.To.IsZero() || s.Status().OpenGaps != 1 {
		t.Errorf("gap is %+v, %d are open", g, s.Status().OpenGaps)
	}
	pub.send("plant/a", "meanwhile")
	for range 2 {
		stop()
		s, stop = start(t, k, cfg, nil)
		sourcetest.Until(t, "the broker is missed", func() bool { return s.Status().State == source.BackingOff })
	}
	p.Heal()
	sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) == 1 })
	if len(k.Gaps()) != 1 || len(k.Unclosed()) != 0 || !unique(k.All())["meanwhile"] || s.Status().OpenGaps != 0 {
		t.Errorf("gaps %+v, closed %+v, stored %q", k.Gaps(), k.Closings(), payloads(k.All()))
	}
}

// TestSource_ShortLoss leaves no gap: the broker has kept all.
func TestSource_ShortLoss(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	p := startProxy(t, b)
	s, stop := start(t, k, Config{Broker: "tcp://" + p.Addr(), DisconnectGap: time.Second}, func(s *Source) { s.pace.short = 0 })
	sourcetest.Live(t, s)
	p.Reset()
	sourcetest.Until(t, "the connection is new", func() bool { return s.Status().Reconnects == 1 })
	sourcetest.Live(t, s)
	<-time.After(1500 * time.Millisecond) // longer than it may be away
	stop()
	if len(k.Gaps()) != 0 {
		t.Errorf("gaps %+v", k.Gaps())
	}
}

// TestConnection_Whole says what the broker's word on the session makes of the time before.
func TestConnection_Whole(t *testing.T) {
	from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		lost   bool
		open   string // reason of the gap that is open
		kept   bool
		reason string // of the gap that is recorded
		asks   bool   // for what waits
	}{
		{"a restart that the broker bridged", false, source.GapAgentRestart, true, "", true},
		{"a restart with QoS 0 only", false, source.GapAgentRestart, false, source.GapAgentRestart, false},
		{"an outage with QoS 0 only", false, source.GapDisconnect, false, source.GapDisconnect, false},
		{"a lost session", true, "", true, source.GapSessionLost, false},
		{"a session lost over a restart", true, source.GapAgentRestart, true, source.GapSessionLost, false},
		{"nothing happened", false, "", true, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &sink{}
			deps := Deps{ID: "mes", Plant: "p1", Agent: "gw1", Cursor: []byte("{}")}
			if c.open != "" {
				deps.Open = &source.Gap{From: from, Found: from.Add(time.Hour), Reason: c.open}
			}
			s, err := New(Config{Broker: "tcp://127.0.0.1:1", Subscribe: []string{"a"}}, deps)
			if err != nil {
				t.Fatal(err)
			}
			s.cursor = cursor{Until: from.Add(time.Minute), Filters: []string{"a"}, Lost: c.lost}
			conn := &connection{Source: s}
			if err := conn.whole(t.Context(), k.Emit, c.kept); err != nil {
				t.Fatal(err)
			}
			if asks := conn.calm.beat() != nil; asks != c.asks {
				t.Errorf("asks the broker: %t", asks)
			}
			if c.reason == "" {
				if len(k.Gaps()) != 0 || k.Cursor() != nil || (s.super.Open() != nil) != (c.open != "") {
					t.Errorf("gaps are %+v, open is %+v", k.Gaps(), s.super.Open())
				}
				return
			}
			want := from.Add(time.Minute)
			closed := 0
			if c.open != "" {
				want, closed = from, 1
			}
			if len(k.Gaps()) != 1 || k.Gaps()[0].Reason != c.reason || !k.Gaps()[0].From.Equal(want) || k.Gaps()[0].To.IsZero() || len(k.Closings()) != closed {
				t.Errorf("gaps are %+v, closed %+v", k.Gaps(), k.Closings())
			}
			if s.Status().OpenGaps != 1 || s.super.Open() != nil || s.cursor.Lost {
				t.Errorf("afterwards: %+v, %+v", s.Status(), s.cursor)
			}
		})
	}
}

func TestSource_BrokerRestart(t *testing.T) {
	dir, k := t.TempDir(), &sink{}
	first := startBroker(t, broker.MQTTConfig{Dir: dir})
	s, _ := start(t, k, Config{Broker: first.URL()}, func(s *Source) { s.pace.short = 0 })
	sourcetest.Live(t, s)
	pub := newPublisher(t, first.URL())
	pub.sendMany(0, 100)
	k.wait(t, 100)
	pub.c.Disconnect(50)
	first.Close()
	t.Run("SessionKept", func(t *testing.T) {
		b := startBroker(t, broker.MQTTConfig{Dir: dir, Addr: first.Addr()})
		newPublisher(t, b.URL()).sendMany(100, 200)
		k.wait(t, 200)
		if len(k.Gaps()) != 0 {
			t.Errorf("gaps %+v", k.Gaps())
		}
		sourcetest.Until(t, "live", func() bool { return s.Status().State == source.Live })
	})
	t.Run("SessionLost", func(t *testing.T) {
		b := startBroker(t, broker.MQTTConfig{Addr: first.Addr()}) // an empty directory
		sourcetest.Until(t, "a gap", func() bool { return len(k.GapsOf(source.GapSessionLost)) > 0 })
		g := k.GapsOf(source.GapSessionLost)[0]
		if g.Reason != source.GapSessionLost || g.Equipment != "press4" || !g.To.After(g.From) {
			t.Errorf("gap is %+v", g)
		}
		sourcetest.Live(t, s)
		newPublisher(t, b.URL()).send("plant/a", "after")
		sourcetest.Until(t, "the message after it", func() bool { return unique(k.All())["after"] })
	})
}

func TestSource_SessionLostWhileAway(t *testing.T) {
	k := &sink{}
	first := startBroker(t, broker.MQTTConfig{})
	s, stop := start(t, k, Config{Broker: first.URL()}, nil)
	sourcetest.Live(t, s)
	stop()
	first.Close()

	b := startBroker(t, broker.MQTTConfig{Addr: first.Addr()})
	// A crash between finding the session lost and recording the gap must not hide it.
	crashed := errors.New("crashed")
	k.SetHook(func(b source.Batch) error {
		if len(b.Gaps) > 0 && b.Gaps[0].Reason == source.GapSessionLost {
			return crashed
		}
		return nil
	})
	_, stop = start(t, k, Config{Broker: b.URL()}, func(s *Source) { s.super.Pace.Finish = time.Millisecond })
	sourcetest.Until(t, "cursor says lost", func() bool {
		var c cursor
		return json.Unmarshal(k.Cursor(), &c) == nil && c.Lost
	})
	stop()
	k.SetHook(nil)
	s, _ = start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	if g := k.Unclosed(); len(g) != 1 || g[0].Reason != source.GapSessionLost || g[0].To.IsZero() {
		t.Errorf("open gaps are %+v, want one of %s", g, source.GapSessionLost)
	}
}
