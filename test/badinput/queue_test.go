package badinput

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestB055_SecondProcess starts a second agent on the same queue.
func TestB055_SecondProcess(t *testing.T) {
	r := wide(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := stack.Start(ctx, "second-agent", r.Path(""), filepath.Join(world.bin, "holdfast-agent"), nil, "run", "--config", r.Path("agent.yaml"))
	if err == nil {
		t.Fatal("a second agent runs on the same queue")
	}
	for _, want := range []string{string(problem.QueueLocked), "process " + strconv.Itoa(r.Agent.Pid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("its last words lack %q: %v", want, err)
		}
	}
	r.flows(t)
}

// full returns the plant with a small queue.
func full(t *testing.T) *rig {
	t.Helper()
	return world.full.get(t, func() (*rig, error) {
		return newRig("full", stack.Config{Disk: "32MiB"}, func(r *rig) error {
			hold, bulk := fmt.Sprintf(holdSource, r.MQTT.URL()), sourceText("bulk", r.MQTT.URL())
			return r.include("sources:\n" + bulk + hold + strings.TrimPrefix(wideMapping, "mappings:\n"))
		})
	})
}

// holdSource reads an operator's holds apart from the press, so that they wait behind nothing.
const holdSource = `  - { id: holds, system: mes1, mqtt: { broker: %q, subscribe: ["acme/p1/andon/hold"] } }
mappings:
  - name: andon-hold
    version: 1
    from: { source: holds, topic: "{enterprise}/{site}/andon/hold" }
    event:
      type: quality.hold.placed.v1
      lot: lot("", p.material, p.lot)
      time: rfc3339(p.at)
      key: ['"hold"', p.record]
      data: { hold_id: 'id("hold", p.record)', hold_kind: '"quality"', reason: p.reason, placed_by: p.by, placed_at: rfc3339(p.at), authority: '"operator"' }
    samples:
      - name: an operator holds a lot
        payload: '{"record":"H-1","lot":"L-1","material":"MAT-100","reason":"oil","by":"operator 7","at":"2026-11-24T06:30:00.125Z"}'
        want: [{ lot: "lot::MAT-100:L-1" }]
      - name: no reason
        payload: '{"record":"H-1","lot":"L-1","material":"MAT-100","by":"operator 7","at":"2026-11-24T06:30:00.125Z"}'
        want_error: reason
`

// TestB057_QuotaReached fills a queue while the link is cut: lane quality is not acknowledged, a hold goes into the
// reserve, telemetry sheds its oldest records and says so. With the link back all of quality is there.
func TestB057_QuotaReached(t *testing.T) {
	r := full(t)
	r.WAN.Cut()
	defer r.WAN.Heal()
	sent := r.fill(t)
	t.Run("QualityIsNotAcknowledged", func(t *testing.T) {
		eventually(t, "the source says that the queue is full", func() bool { return sourceOf(r.status(t), "bulk").State == source.Full })
		if s := sourceOf(r.status(t), "bulk"); !strings.Contains(s.Problem, string(problem.QueueFull)) {
			t.Errorf("problem is %q", s.Problem)
		}
		if l := laneOf(r.status(t), event.LaneQuality); l.Shed != 0 || l.Bytes > l.Quota+l.Reserve || int(l.Depth) >= sent {
			t.Errorf("lane is %+v, %d records were sent", l, sent)
		}
	})
	hold := encode(t, plant.Hold{Record: "H-57", Lot: "L-1", Material: "MAT-100", Reason: "oil", By: "operator 7", At: plant.Stamp(time.Now())})
	t.Run("UrgentUsesTheReserve", func(t *testing.T) {
		if err := r.press.SendRaw("acme/p1/andon/hold", hold); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the hold is queued", func() bool { return laneOf(r.status(t), event.LaneQuality).Urgent == 1 })
	})
	t.Run("TelemetrySheds", r.shed)
	r.WAN.Heal()
	r.inbox(t, event.TypeHoldPlaced, hold)
	arrived := func() int {
		return r.number(t, `SELECT COUNT(*) FROM inbox WHERE type = ?`, string(event.TypeCharacteristicRecorded))
	}
	for before := arrived(); before < sent; before = arrived() { // as long as more comes
		eventually(t, fmt.Sprintf("another of %d events after %d", sent, before), func() bool { return arrived() > before })
	}
	if n := arrived(); n != sent {
		t.Errorf("%d events arrived of %d", n, sent)
	}
	lost := r.number(t, `SELECT COUNT(*) FROM inbox WHERE type = ? AND CAST(value AS TEXT) LIKE '%"cause":"shed"%'`, string(event.TypeLossRecorded))
	if lost == 0 {
		t.Error("the loss of telemetry did not arrive")
	}
}

// fill sends large results until lane quality takes no more.
func (r *rig) fill(t *testing.T) (sent int) {
	t.Helper()
	const page = 200
	note := `,"note":"` + strings.Repeat("x", 16<<10) + `"}`
	isFull := func() bool { return counter(t, r.Agent, "holdfast_agent_queue_full_waits_total") > 0 }
	for !isFull() {
		var waits []func() error
		for range page {
			waits = append(waits, r.press.Start(topicWide, append(bytes.TrimSuffix(encode(t, r.result()), []byte("}")), note...)))
		}
		for _, wait := range waits {
			if err := wait(); err != nil {
				t.Fatal(err)
			}
		}
		if sent += page; sent > 30*page {
			t.Fatal("the queue does not fill")
		}
		eventually(t, "the agent reads what was sent, or no more", func() bool { return sourceOf(r.status(t), "bulk").Received >= uint64(sent) || isFull() })
	}
	return sent
}

// shed sends more signals than lane telemetry holds.
func (r *rig) shed(t *testing.T) {
	signal := plant.Signal{Tag: strings.Repeat("pressure", 20), Value: "1.5", Unit: "bar", At: plant.Stamp(time.Now())}
	var waits []func() error
	for range 12000 {
		waits = append(waits, r.press.Start(plant.TopicSignal, encode(t, signal)))
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "telemetry is shed", func() bool { return laneOf(r.status(t), event.LaneTelemetry).Shed > 0 })
	if s := sourceOf(r.status(t), "press4-signals"); s.State != source.Live {
		t.Errorf("source is %+v", s)
	}
}

// TestB058_NewerQueue makes each lane say in turn that a newer version wrote it: the agent refuses to start and touches
// nothing.
func TestB058_NewerQueue(t *testing.T) {
	r := full(t)
	if _, err := r.Agent.Stop(limit); err != nil {
		t.Fatal(err)
	}
	for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
		t.Run(string(lane), func(t *testing.T) {
			state := r.Path("agent-data/queue/" + string(lane) + "/meta.db")
			setVersion(t, state, 1, 9)
			before := files(t, r.Path("agent-data/queue"))
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := r.StartAgent(ctx)
			if err == nil || !strings.Contains(err.Error(), string(problem.QueueVersion)) {
				t.Errorf("the agent gives %v: want %s", err, problem.QueueVersion)
			}
			if diff := cmp.Diff(before, files(t, r.Path("agent-data/queue"))); diff != "" {
				t.Errorf("the queue was touched (-before +after):\n%s", diff)
			}
			setVersion(t, state, 9, 1)
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.live(ctx, "press4"); err != nil {
		t.Fatal(err)
	}
	r.flows(t)
}

// setVersion changes the format version in a lane's state. Its value is a frame: 8 bytes of head, CRC32C of head and
// body, body in JSON.
func setVersion(t *testing.T, path string, from, to int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, frame []byte) error {
				old, now := fmt.Appendf(nil, `"version":%d`, from), fmt.Appendf(nil, `"version":%d`, to)
				changed += bytes.Count(frame, old)
				frame = bytes.Replace(frame, old, now, 1)
				table := crc32.MakeTable(crc32.Castagnoli)
				binary.BigEndian.PutUint32(frame[8:], crc32.Update(crc32.Checksum(frame[:8], table), table, frame[12:]))
				return b.Put(key, frame)
			})
		})
	})
	if err = errors.Join(err, db.Close()); err != nil || changed != 1 {
		t.Fatalf("changed %d versions: %v", changed, err)
	}
}

// files returns the hash of each file below a directory but the locks, which name who had them last.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = sum(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
