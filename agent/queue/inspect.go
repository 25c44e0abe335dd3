package queue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Inspect returns how the lane in cfg.Dir stands while no process has it open, and which of its files are damaged. It
// changes nothing but the lock file: nothing is salvaged, set aside or deleted. Depth and bytes leave damaged files
// out. Its errors are those of [Open].
func Inspect(ctx context.Context, cfg Config) (s Stat, damages []Damage, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return s, nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return s, nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	names, _, err := list(cfg.Dir)
	if err != nil {
		return s, nil, err
	}
	var inv inventory
	var stateErr error
	if inv.state, stateErr = readState(cfg.Dir); stateErr != nil {
		inv.damages = append(inv.damages, Damage{File: stateFile, Reason: stateErr.Error()})
	}
	if err := refuseNewer(cfg.Dir, names, stateErr); err != nil {
		return s, nil, err
	}
	for i, name := range names {
		replaced := i+1 < len(names) && names[i+1].ordinal == name.ordinal && names[i+1].epoch == name.epoch
		if replaced || name.ordinal < inv.state.Oldest {
			continue // Open sets it aside, or finishes its deletion
		}
		sum, err := checkFile(ctx, cfg, name)
		switch {
		case err == nil:
			err = inv.take(cfg.Dir, name, sum)
		case blames(ctx, err):
			inv.damages = append(inv.damages, Damage{File: name.String(), Epoch: name.epoch, Reason: err.Error()})
			continue
		}
		if err != nil {
			return s, nil, fmt.Errorf("check segment %s: %w", name, err)
		}
	}
	inv.findVanished(cfg.Name)
	inv.dropDeclared()
	s, err = statOf(cfg, &inv)
	return s, inv.damages, err
}

// statOf lets a lane that has no writing goroutine say how it stands.
func statOf(cfg Config, inv *inventory) (Stat, error) {
	l := newLane(cfg, inv)
	size, err := fileBytes(filepath.Join(cfg.Dir, stateFile))
	if err == nil { // else there is none yet
		l.stateLen = size
	}
	s := l.Stat()
	if l.warm == nil {
		return s, nil
	}
	return s, l.warm.release()
}
