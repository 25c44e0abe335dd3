package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestSource_AcknowledgesOnlyWhatIsStored(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	held := make(chan struct{}, 100)
	s, stop := start(t, k, Config{Broker: b.URL()}, func(s *Source) { s.super.Pace.Finish = 50 * time.Millisecond })
	sourcetest.Live(t, s)
	k.SetHook(func(b source.Batch) error {
		held <- struct{}{}
		return errors.New("disk is full")
	})
	newPublisher(t, b.URL()).sendMany(0, 10)
	<-held
	stop() // with the batch in hand, which cannot be stored
	if n := len(k.All()); n != 0 {
		t.Fatalf("%d signals stored", n)
	}
	k.SetHook(nil)
	start(t, k, Config{Broker: b.URL()}, nil)
	if got := payloads(k.wait(t, 10)); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
		t.Errorf("delivered again were %q", got)
	}
}

func TestSource_FinishesTheBatchInHand(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	entered, release := make(chan struct{}), make(chan struct{})
	k.SetHook(func(source.Batch) error {
		close(entered)
		<-release
		return nil
	})
	newPublisher(t, b.URL()).send("plant/a", "in hand")
	<-entered
	go func() {
		sourcetest.Until(t, "run has been told to end", func() bool { return true })
		close(release)
	}()
	stop()
	if got := payloads(k.All()); !slices.Equal(got, []string{"in hand"}) {
		t.Errorf("stored were %q", got)
	}
}

func TestSource_QueueFull(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	s, _ := start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	release := make(chan struct{})
	k.SetHook(func(source.Batch) error { <-release; return nil })
	newPublisher(t, b.URL()).sendMany(0, 500)
	sourcetest.Until(t, "state is full", func() bool { return s.Status().State == source.Full })
	if p := s.Status().Problem; !strings.Contains(p, "E-5001") {
		t.Errorf("problem is %q", p)
	}
	// The broker sends what is not acknowledged again on the same connection; that is no second fact.
	sourcetest.Until(t, "redeliveries", func() bool { return s.Status().Duplicates > 100 })
	close(release)
	// A repeat that crosses its acknowledgement on the wire comes under a new packet id: its event id then decides.
	sourcetest.Until(t, "all messages", func() bool { return len(unique(k.All())) == 500 })
	sourcetest.Until(t, "state is live", func() bool { return s.Status().State == source.Live })
	if st := s.Status(); st.Reconnects != 0 || st.Problem != "" || len(k.All()) >= 1000 {
		t.Errorf("%d signals, %d reconnects, problem %q", len(k.All()), st.Reconnects, st.Problem)
	}
}

func TestSource_LargeMessagesDoNotFillTheMemory(t *testing.T) {
	const size, n = 1 << 20, 100
	b, k := startBroker(t, broker.MQTTConfig{AckWait: sourcetest.Limit}), &sink{} // no repeats, which would wait in the broker
	s, _ := start(t, k, Config{Broker: b.URL(), MaxPayload: size}, nil)
	sourcetest.Live(t, s)
	release := make(chan struct{})
	k.SetHook(func(source.Batch) error { <-release; return nil })
	pub := newPublisher(t, b.URL())
	for i := range n {
		pub.send("plant/a", fmt.Sprint(i)+strings.Repeat(" ", size-3))
	}
	sourcetest.Until(t, "the source reads no further", func() bool { return s.Status().Received >= maxInHand/size })
	if got := s.Status().Received; got > maxInHand/size+5 { // some are between guard and handler
		t.Errorf("%d messages of %d bytes are in hand", got, size)
	}
	close(release)
	sourcetest.Until(t, "all messages", func() bool { return len(unique(k.All())) == n })
	if st := s.Status(); st.Reconnects != 0 {
		t.Errorf("%d reconnects", st.Reconnects)
	}
}

// TestSource_MoreThanInFlight: a broker that sends more without an acknowledgement than anybody expects fills its link, and
// neither our memory nor our patience: the link stays up, and in the end all is there.
func TestSource_MoreThanInFlight(t *testing.T) {
	const n = 4000
	b, k := startBroker(t, broker.MQTTConfig{MaxAckPending: 10_000, AckWait: sourcetest.Limit}), &sink{} // no repeats
	release := make(chan struct{})
	s, _ := start(t, k, Config{Broker: b.URL(), InFlight: 10}, nil)
	sourcetest.Live(t, s)
	k.SetHook(func(source.Batch) error { <-release; return nil })
	newPublisher(t, b.URL()).sendMany(0, n)
	sourcetest.Until(t, "the room is full", func() bool { return s.Status().Received >= minRoom && s.Status().State == source.Full })
	if got := s.Status().Received; got > minRoom {
		t.Errorf("%d messages are in hand, want %d at most", got, minRoom)
	}
	close(release)
	sourcetest.Until(t, "all messages", func() bool { return len(unique(k.All())) == n })
	if st := s.Status(); st.Reconnects != 0 || len(k.All()) != n {
		t.Errorf("%d signals of %d messages, %d reconnects", len(k.All()), n, st.Reconnects)
	}
}
