package downlink

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestOpen_Damaged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(true, free(lotA, 1))
	r.start()
	r.fresh()
	r.stop()
	path := filepath.Join(r.cfg.Dir, fileName)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"cut":          func() error { return os.Truncate(path, info.Size()/2) },
		"cut to a bit": func() error { return os.Truncate(path, 100) },
		"no database":  func() error { return os.WriteFile(path, make([]byte, 64<<10), 0o600) },
		"empty":        func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			r.t = t
			r.start()
			r.fresh()
			r.says(lotA, "")
			r.stop()
		})
	}
}

// TestOpen_Spoiled spoils each page of the file in turn: what is wrong is found before it is used.
func TestOpen_Spoiled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var all []event.Data
	for n := range 100 {
		all = append(all, held(event.LotKey(fmt.Sprintf("lot::MAT-1:L-%03d", n)), 1))
	}
	r.publish(true, all...)
	r.start()
	r.until("all are read", func() bool { return r.down.Status().Lots == len(all) })
	r.stop()
	path := filepath.Join(r.cfg.Dir, fileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, refused := os.Getpagesize(), 0
	for at := 0; at < len(sound); at += page {
		spoiled := slices.Clone(sound)
		for i := range page {
			spoiled[at+i] ^= 0xa5
		}
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		r.open()
		if lots := r.down.Status().Lots; lots < len(all) {
			refused++
		}
		for _, lot := range []event.LotKey{"lot::MAT-1:L-000", "lot::MAT-1:L-099"} {
			if a := r.answer(lot); a.MayMove || a.Fault != "" {
				t.Errorf("page %d: answer is %+v", at/page, a)
			}
		}
		r.stop()
	}
	if refused < 3 {
		t.Errorf("%d of %d spoiled pages were found", refused, len(sound)/page)
	}
}

func TestOpen_ErrLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.open()
	d, err := Open(r.cfg, zerolog.Nop(), nil)
	if problem.CodeOf(err) != problem.QueueLocked {
		t.Errorf("got %v, want %s", err, problem.QueueLocked)
	}
	if err == nil {
		_ = d.Close()
	}
}
