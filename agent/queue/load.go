package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// inventory is what a lane's directory holds after it has been checked and put in order.
type inventory struct {
	state    state
	segments []*segment // by ordinal
	damages  []Damage   // not declared yet
	ordinal  uint64     // the highest ever used
}

// load checks every file of the lane's directory. Nothing is changed before it is sure that no file is of a newer
// version.
func load(ctx context.Context, cfg Config) (*inventory, error) {
	names, others, err := list(cfg.Dir)
	if err != nil {
		return nil, err
	}
	st, stateErr := readState(cfg.Dir)
	if err := refuseNewer(cfg.Dir, names, stateErr); err != nil {
		return nil, err
	}
	inv := &inventory{state: st}
	if err := inv.clean(cfg, others); err != nil {
		return nil, err
	}
	if err := inv.restoreState(cfg, stateErr); err != nil {
		return nil, err
	}
	for i, name := range names {
		inv.ordinal = max(inv.ordinal, name.ordinal)
		if err := inv.add(ctx, cfg, names, i); err != nil {
			return nil, err
		}
	}
	inv.findVanished(cfg.Name)
	inv.dropDeclared()
	return inv, nil
}

// list returns the segments in dir in their order, generations of one side by side, and the names of other files.
func list(dir string) (names []segmentName, others []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		if name, ok := parseSegmentName(entry.Name()); ok {
			names = append(names, name)
		} else {
			others = append(others, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b segmentName) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.first, b.first), cmp.Compare(a.epoch, b.epoch),
			cmp.Compare(a.generation, b.generation))
	})
	return names, others, nil
}

func refuseNewer(dir string, names []segmentName, stateErr error) error {
	if problem.CodeOf(stateErr) == problem.QueueVersion {
		return stateErr
	}
	for _, name := range names {
		p, err := openPagesWith(filepath.Join(dir, name.String()), true)
		if err != nil {
			continue
		}
		var s summary
		err = s.readHead(p)
		_ = p.Close()
		if problem.CodeOf(err) == problem.QueueVersion {
			return err
		}
	}
	return nil
}

// clean deletes what an interrupted creation left, and learns of ordinals in the names of files set aside.
func (inv *inventory) clean(cfg Config, others []string) error {
	for _, other := range others {
		if strings.HasPrefix(other, tempPrefix) {
			if err := os.Remove(filepath.Join(cfg.Dir, other)); err != nil {
				return err
			}
			continue
		}
		base, _, ok := strings.Cut(other, damagedSuffix)
		if name, parsed := parseSegmentName(base); ok && parsed {
			inv.ordinal = max(inv.ordinal, name.ordinal)
		}
	}
	return nil
}

// restoreState makes a meta.db where there is none or it is damaged. Without one the acked position is unknown:
// everything on disk is sent again.
func (inv *inventory) restoreState(cfg Config, stateErr error) error {
	if stateErr != nil {
		if errors.Is(stateErr, fs.ErrPermission) {
			return stateErr
		}
		if err := setAside(cfg.Dir, stateFile); err != nil {
			return err
		}
		inv.state = state{Version: formatVersion}
		inv.damages = append(inv.damages, Damage{File: stateFile, Reason: stateErr.Error()})
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, stateFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return createState(cfg.Dir, inv.state)
}

// add takes names[i] into the inventory: checked, or salvaged.
func (inv *inventory) add(ctx context.Context, cfg Config, names []segmentName, i int) error {
	name := names[i]
	path := filepath.Join(cfg.Dir, name.String())
	if name.ordinal < inv.state.Oldest {
		return os.Remove(path)
	}
	if i+1 < len(names) && names[i+1].ordinal == name.ordinal && names[i+1].epoch == name.epoch {
		return setAside(cfg.Dir, name.String()) // its salvage is whole, or it would not have its name
	}
	s, err := checkFile(ctx, cfg, name)
	if err != nil {
		if !blames(ctx, err) {
			return fmt.Errorf("check segment %s: %w", name, err)
		}
		prev := inv.state.find(name.epoch).Prev
		var next uint64
		if i+1 < len(names) && names[i+1].epoch == name.epoch {
			next = names[i+1].first
		}
		cfg.Log.Warn().Str("file", name.String()).Err(err).Msg("segment damaged, salvaging it")
		if name, err = salvage(cfg.Dir, name, err, prev, next); err != nil {
			return err
		}
		if s, err = inspect(filepath.Join(cfg.Dir, name.String()), true); err != nil {
			return fmt.Errorf("check salvaged segment %s: %w", name, err)
		}
	}
	return inv.take(cfg.Dir, name, s)
}

// checkFile returns the segment's summary if it is sound and is what its name says.
func checkFile(ctx context.Context, cfg Config, name segmentName) (summary, error) {
	path := filepath.Join(cfg.Dir, name.String())
	if err := cfg.Check(ctx, path); err != nil {
		return summary{}, err
	}
	s, err := inspect(path, false)
	if err != nil {
		return s, err
	}
	if s.head.Ordinal != name.ordinal || s.head.Epoch != name.epoch || s.head.First != name.first {
		return s, pageErr("it is segment %d of epoch %s from %d, its name says otherwise", s.head.Ordinal, s.head.Epoch, s.head.First)
	}
	return s, nil
}

// blames tells whether err of a check says that the file is damaged.
func blames(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrNotChecked) && !errors.Is(err, fs.ErrPermission) &&
		problem.CodeOf(err) != problem.QueueVersion
}

func (inv *inventory) take(dir string, name segmentName, s summary) error {
	seg := &segment{name: name, path: filepath.Join(dir, name.String()), summary: s}
	var err error
	if seg.bytes, err = fileBytes(seg.path); err != nil {
		return err
	}
	inv.segments = append(inv.segments, seg)
	if end := inv.state.epoch(name.epoch); s.head.Prev != "" {
		end.Prev = s.head.Prev
	}
	inv.damages = append(inv.damages, inv.damageOf(seg)...)
	return nil
}

// damageOf returns what a salvaged segment says it misses.
func (inv *inventory) damageOf(seg *segment) []Damage {
	h := seg.summary.head
	if h.From == "" {
		return nil
	}
	d := Damage{File: h.From, Epoch: h.Epoch, Salvaged: seg.summary.tail.Records, Reason: h.Reason}
	if len(h.Missing) == 0 {
		return []Damage{d}
	}
	var all []Damage
	for _, m := range h.Missing {
		d.FromSeq, d.ToSeq = m.From, m.To
		all = append(all, splitSent(d, inv.sentTo(h.Epoch))...)
	}
	return all
}

// sentTo returns the last acknowledged seq of epoch as far as meta.db says: all of an epoch before the acked one.
func (inv *inventory) sentTo(epoch string) uint64 {
	acked := inv.state.Acked
	if acked.Epoch == epoch {
		return acked.Seq
	}
	if inv.state.find(epoch).Epoch != "" && inv.state.isSent(Position{epoch, 1}) {
		return allSeqs
	}
	return 0
}

// findVanished reports segments that are not there although nobody deleted them: ordinals have no holes between the
// oldest not deleted and the newest, both named by meta.db.
func (inv *inventory) findVanished(lane string) {
	due := inv.state.Oldest
	var before *segment
	for _, seg := range inv.segments {
		if due != 0 && seg.name.ordinal > due {
			inv.vanished(before, seg)
		}
		due, before = seg.name.ordinal+1, seg
	}
	newest, ok := parseSegmentName(inv.state.Newest)
	if !ok {
		return
	}
	inv.ordinal = max(inv.ordinal, newest.ordinal)
	if newest.ordinal >= inv.state.Oldest && (before == nil || before.name.ordinal < newest.ordinal) {
		d := Damage{File: newest.String(), Epoch: newest.epoch, FromSeq: newest.first, Reason: "newest segment of lane " + lane + " is not there"}
		switch {
		case before == nil:
			d.FromSeq = inv.state.find(newest.epoch).Last + 1
		case before.epoch() == newest.epoch:
			d.FromSeq = before.last() + 1
		}
		inv.damages = append(inv.damages, splitSent(d, inv.sentTo(newest.epoch))...)
	}
}

// vanished reports what is missing between two segments with a hole between their ordinals; before is nil where the
// oldest are missing.
func (inv *inventory) vanished(before, after *segment) {
	reason := "segments before " + after.name.String() + " are not there"
	report := func(epoch string, from, to uint64) {
		d := Damage{File: after.name.String(), Epoch: epoch, FromSeq: from, ToSeq: to, Reason: reason}
		inv.damages = append(inv.damages, splitSent(d, inv.sentTo(epoch))...)
	}
	sameEpoch := before != nil && before.epoch() == after.epoch()
	if before != nil && !sameEpoch {
		report(before.epoch(), before.last()+1, 0)
	}
	from := uint64(1)
	if sameEpoch {
		from = before.last() + 1
	} else if before == nil {
		from = inv.state.find(after.epoch()).Last + 1
	}
	if from < after.first() {
		report(after.epoch(), from, after.first()-1)
	}
}

func (inv *inventory) dropDeclared() {
	inv.damages = slices.DeleteFunc(inv.damages, func(d Damage) bool {
		return slices.Contains(inv.state.Declared, d.key())
	})
}
