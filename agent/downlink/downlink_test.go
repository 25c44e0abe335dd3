package downlink

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestDownlink_Answer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(true, free(lotA, 3), held(lotB, 1))
	r.publish(true, r.control(7))
	r.start()
	r.says(lotB, Why(event.ReasonOpenHold))
	r.until("the barrier is read", func() bool { return r.down.Status().Barrier == 7 })

	// The control record may have been there for years: it does not say that the cloud lives.
	r.says(lotA, Expired)
	if n := r.metric("holdfast_agent_downlink_age_seconds"); !math.IsInf(n, 1) {
		t.Errorf("age is %v where it is not known", n)
	}
	if a := r.answer(lotA); a.AgeKnown {
		t.Fatalf("a record that was there before makes the answer fresh: %+v", a)
	}
	r.says("lot::MAT-100:L-404", UnknownLot)

	r.fresh()
	r.says(lotA, "")
	if a := r.answer(lotA); a.Expires != maxAge || a.Age != 0 {
		t.Errorf("answer is %+v, want one that holds for %s", a, maxAge)
	}

	for name, want := range map[string]float64{"up": 1, "age_seconds": 0, "lots": 2, "barrier": float64(r.down.Status().Barrier)} {
		if got := r.metric("holdfast_agent_downlink_" + name); got != want {
			t.Errorf("metric %s is %v, want %v", name, got, want)
		}
	}

	// Time goes by and the cloud says nothing.
	r.up.Add(int64(maxAge - time.Minute))
	if a := r.answer(lotA); !a.MayMove || a.Expires != time.Minute {
		t.Errorf("a minute before its end the answer is %+v", a)
	}
	r.up.Add(int64(time.Minute))
	r.says(lotA, Expired)
	r.up.Add(int64(1000 * time.Hour))
	if a := r.answer(lotB); a.MayMove || !slices.Equal(a.Why, []Why{Why(event.ReasonOpenHold)}) || a.Status.OpenHolds[0].HoldID != "hold:mes1:H-1" {
		t.Errorf("a held answer expired: %+v", a)
	}

	// It is heard again.
	r.fresh()
	r.says(lotA, "")
	r.publish(true, held(lotA, 4))
	r.says(lotA, Why(event.ReasonOpenHold))
}

// TestDownlink_Settle shows what a control record proves: nothing newer than the ends that were read before it.
func TestDownlink_Settle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(true, free(lotA, 1))
	r.start()
	r.fresh()
	r.up.Add(int64(3 * time.Hour)) // in which nothing was asked
	r.publish(true, r.control(2))
	r.until("it is read", func() bool { return r.down.Status().Version == uint64(r.version) })
	if s := r.down.Status(); !s.AgeKnown || s.Age != 3*time.Hour {
		t.Errorf("after three hours without a look, age is %v: the record may be as old as that", s.Age)
	}
	r.until("what came behind it is known", func() bool {
		r.publish(true, r.control(2))
		return r.down.Status().Age == 0
	})
}

func TestDownlink_Versions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.publish(true, held(lotA, 5))
	r.says(lotA, Why(event.ReasonOpenHold))
	r.publish(true, free(lotA, 4), free(lotB, 1)) // one that a former publisher still sent
	r.fresh()
	r.says(lotB, "")
	r.says(lotA, Why(event.ReasonOpenHold))
	r.publish(true, free(lotA, 6))
	r.says(lotA, "")

	r.publish(false, held(lotA, 7)) // an aborted transaction says nothing
	r.publish(true, held(lotB, 2))
	r.says(lotB, Why(event.ReasonOpenHold))
	r.says(lotA, "")

	older := r.control(1)
	older.Version, older.Barrier = 1, 99
	r.publish(true, older)
	r.publish(true, held(lotB, 3), free(lotA, 8))
	r.until("all of it is read", func() bool { return r.answer(lotA).Status.Version == 8 })
	if s := r.down.Status(); s.Barrier == 99 {
		t.Error("an older control record counts")
	}
	other := r.control(50)
	other.Agent = "gw2"
	r.publish(true, other)
	r.publish(true, r.control(9))
	r.until("ours is read", func() bool { return r.down.Status().Barrier == 9 })
	if n := r.down.Status().Lots; n != 2 {
		t.Errorf("%d lots: want 2", n)
	}
}

func TestDownlink_Restart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		turn func(r *rig)
		want Why
	}{
		{"within one boot the age goes on", func(r *rig) { r.up.Add(int64(time.Hour)) }, ""},
		{"within one boot it expires", func(r *rig) { r.up.Add(int64(maxAge)) }, Expired},
		{"of another boot nothing is known", func(r *rig) { r.boot.Store("boot2") }, Expired},
		{"a clock that went back proves nothing", func(r *rig) { r.up.Store(0) }, Expired},
		{"without a clock nothing is known", func(r *rig) { r.boot.Store("") }, Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.publish(true, free(lotA, 1), held(lotB, 1))
			r.start()
			r.fresh()
			r.says(lotA, "")
			r.stop()
			c.turn(r)
			r.open() // without a link
			r.says(lotA, c.want)
			r.says(lotB, Why(event.ReasonOpenHold))
			if s := r.down.Status(); s.Barrier != 1 || s.Lots != 2 || s.Up {
				t.Errorf("status is %+v", s)
			}
		})
	}
	t.Run("after a new boot the cloud has to be heard", func(t *testing.T) {
		r := newRig(t)
		r.publish(true, free(lotA, 1))
		r.start()
		r.fresh()
		r.stop()
		r.boot.Store("boot2")
		r.start()
		r.until("the topics are read", func() bool { return r.down.Status().Up })
		r.says(lotA, Expired)
		r.fresh()
		r.says(lotA, "")
	})
}

func TestDownlink_Misread(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(true, free(lotA, 1), free(lotB, 1))
	r.start()
	r.fresh()
	r.says(lotA, "")
	send := func(change func(*kgo.Record)) {
		record := r.record(held(lotA, 2))
		change(record)
		if err := r.cloud.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r.produce(record)
		if err := r.cloud.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	send(func(record *kgo.Record) { record.Value = []byte(`{"lot":"what is this"}`) })
	r.says(lotA, Unreadable)
	if a := r.answer(lotA); a.Fault == "" || a.Status.Version != 1 {
		t.Errorf("answer is %+v", a)
	}
	r.publish(true, free(lotA, 1)) // not newer than what was not understood
	send(func(record *kgo.Record) { record.Key = []byte("no lot") })
	send(func(record *kgo.Record) { record.Topic = r.cfg.Kafka.Control("p1") })
	r.publish(true, held(lotB, 2))
	r.says(lotB, Why(event.ReasonOpenHold))
	r.says(lotA, Unreadable)
	r.publish(true, free(lotA, 3))
	r.says(lotA, "")
	if n := r.metric("holdfast_agent_downlink_refused_records_total"); n < 2 {
		t.Errorf("%v refused records are counted", n)
	}

	send(func(record *kgo.Record) { record.Value = nil })
	r.says(lotA, UnknownLot)
	if n := r.down.Status().Lots; n != 1 {
		t.Errorf("%d lots after one was taken out: want 1", n)
	}
}

func TestDownlink_ForeignPlant(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	record := r.record(free(lotA, 1))
	for i := range record.Headers {
		if record.Headers[i].Key == event.HeaderPlant {
			record.Headers[i].Value = []byte("p2")
		}
	}
	if err := r.cloud.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r.produce(record)
	if err := r.cloud.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r.says(lotA, Unreadable)
}

func TestDownlink_Lots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	umlaut, err := event.NewLotKey("", "MAT-2", "Ä 1")
	if err != nil {
		t.Fatal(err)
	}
	r.publish(true, free(lotA, 1), free(lotB, 1), free("lot::MAT-9:L-1", 1), free(umlaut, 1))
	r.start()
	r.until("all are read", func() bool { return r.down.Status().Lots == 4 })
	first, err := r.down.Lots("", 2)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := r.down.Lots(first[1], 10)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, []event.LotKey{lotA, lotB}) || !slices.Equal(rest, []event.LotKey{umlaut, "lot::MAT-9:L-1"}) {
		t.Errorf("pages are %v and %v", first, rest)
	}
	for number, want := range map[string][]event.LotKey{"L-1": {lotA, "lot::MAT-9:L-1"}, "Ä 1": {umlaut}, "L": nil} {
		if got, err := r.down.Find(number, 10); err != nil || !slices.Equal(got, want) {
			t.Errorf("Find(%q) = %v, %v, want %v", number, got, err, want)
		}
	}
}

func TestDownlink_TopicMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Kafka.Prefix = "other"
	r.start()
	r.until("the missing topic is named", func() bool { return r.down.Status().LastError != "" })
	if s := r.down.Status(); s.Up {
		t.Errorf("status is %+v", s)
	}
}

// TestDownlink_Outage proves that answers go on without a broker, and that reading goes on when it is back.
func TestDownlink_Outage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.every = 50 * time.Millisecond
	r.publish(true, held(lotA, 1), free(lotB, 1))
	r.start()
	r.fresh()
	r.kafka.Close()
	r.until("the loss is seen", func() bool { return !r.down.Status().Up })
	r.says(lotA, Why(event.ReasonOpenHold))
	r.says(lotB, "")
	r.up.Add(int64(maxAge))
	r.says(lotB, Expired)

	r.broker()
	r.until("the link is up again", func() bool { return r.down.Status().Up })
	r.publish(true, free(lotA, 2))
	r.fresh()
	r.says(lotA, "")
	r.says(lotB, "")
}
