package queue

import (
	"time"
)

// Stat is how a lane stands.
type Stat struct {
	Lane        string
	Epoch       string    // of this run; empty before Begin
	LastSeq     uint64    // of this run
	Depth       uint64    // unsent records
	Urgent      int       // unsent urgent records
	Bytes       int64     // on disk
	SentBytes   int64     // part of Bytes that holds sent records only and goes when space is needed
	Quota       int64     // bytes
	Reserve     int64     // bytes beyond the quota
	ReserveUsed int64     // part of Reserve in use
	Oldest      time.Time // when the oldest unsent record was recorded; zero if there is none
	Inflow      float64   // records/s over the last 15 minutes, or since Open
	Outflow     float64   // records/s confirmed, over the same time

	// FullIn is the time until the quota is reached at the present inflow, 0 if there is none. DrainIn is the time
	// until all is sent at the present outflow, 0 if nothing is unsent or nothing flows.
	FullIn, DrainIn time.Duration

	Received, Sent, Shed uint64 // records since Open
	Segments             int
	Acked                Position
}

// Stat returns how the lane stands. It reads one record from disk.
func (l *Lane) Stat() Stat {
	now := l.cfg.Clock()
	l.mu.Lock()
	s := Stat{
		Lane: l.cfg.Name, Depth: l.depth(), Urgent: l.urgent.count(), Bytes: l.bytes(), SentBytes: l.sentBytes(),
		Quota: l.cfg.Quota, Reserve: l.cfg.Reserve, Segments: len(l.segments), Acked: l.state.Acked,
		Received: l.traffic.in, Sent: l.traffic.out, Shed: l.traffic.shed,
	}
	if l.begun {
		active := l.segments[len(l.segments)-1]
		s.Epoch, s.LastSeq = active.epoch(), active.last()
	}
	rate := l.traffic.rate(now)
	oldest, found := l.locate(l.state.Acked)
	if found && l.closed {
		found = false
	}
	l.mu.Unlock()

	s.ReserveUsed = max(0, s.Bytes-s.SentBytes-s.Quota)
	s.Inflow, s.Outflow = rate.in, rate.out
	if rate.bytes > 0 {
		s.FullIn = seconds(float64(max(0, s.Quota-s.Bytes+s.SentBytes)) / rate.bytes)
	}
	if rate.out > 0 {
		s.DrainIn = seconds(float64(s.Depth) / rate.out)
	}
	if found {
		oldest.limit = 1
		if records, err := l.read(oldest); err == nil && len(records) > 0 {
			s.Oldest = records[0].At
		}
	}
	return s
}

func seconds(n float64) time.Duration {
	const most = 10 * 365 * 24 * time.Hour
	if n > most.Seconds() {
		return most
	}
	return time.Duration(n * float64(time.Second))
}

const (
	slotTime  = time.Minute
	slotCount = 15
)

// traffic counts records and keeps what came and went per minute of the last 15.
type traffic struct {
	in, out, shed uint64
	start         time.Time
	slots         [slotCount]slot
}

type slot struct {
	minute int64 // since the epoch of Unix
	flow
}

// flow is records in, records out, bytes in: counts, or rates per second.
type flow struct{ in, out, bytes float64 }

func newTraffic(now time.Time) traffic { return traffic{start: now} }

func (t *traffic) slot(now time.Time) *slot {
	minute := now.Unix() / int64(slotTime/time.Second)
	s := &t.slots[((minute%slotCount)+slotCount)%slotCount]
	if s.minute != minute {
		*s = slot{minute: minute}
	}
	return s
}

func (t *traffic) received(now time.Time, records uint64, bytes int64) {
	t.in += records
	s := t.slot(now)
	s.in += float64(records)
	s.bytes += float64(bytes)
}

func (t *traffic) sent(now time.Time, records uint64) {
	t.out += records
	t.slot(now).out += float64(records)
}

// rate returns flows per second over the time since the start, 15 minutes at most, 1 second at least.
func (t *traffic) rate(now time.Time) flow {
	newest := now.Unix() / int64(slotTime/time.Second)
	var sum flow
	for _, s := range t.slots {
		if s.minute > newest-slotCount && s.minute <= newest {
			sum.in += s.in
			sum.out += s.out
			sum.bytes += s.bytes
		}
	}
	window := min(now.Sub(t.start), (slotCount-1)*slotTime+now.Sub(now.Truncate(slotTime)))
	per := max(window, time.Second).Seconds()
	return flow{sum.in / per, sum.out / per, sum.bytes / per}
}
