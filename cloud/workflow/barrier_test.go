package workflow

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// stating is a gateway that remembers what it stated.
type stating struct {
	*gateway
	heads []stated
	cut   bool // its records stay on its disk; its heads come through
}

type stated struct {
	barrier int64
	seq     uint64
}

func (s *stating) put(key string, data event.Data) {
	if s.cut {
		s.keep(key, data)
		return
	}
	s.drain()
	s.send(key, data)
}

func (s *stating) state() {
	barrier := s.mesh.control(s.gateway).Set.Barrier
	s.heads = append(s.heads, stated{barrier, s.seq})
	s.head(barrier)
}

// judge fails where the ERP was told to free a lot although an agent had a record on its disk, when it answered, that has
// not come; the record may be a hold.
func judge(t *testing.T, m *mesh, gateways []*stating) {
	t.Helper()
	f := m.lot(lotA)
	if m.usage(lotA) != event.Unrestricted || !f.Lot.Release.Granted() {
		return
	}
	if len(f.Open) > 0 {
		t.Fatalf("the lot is free with holds %+v", f.Open)
	}
	for _, g := range gateways {
		answered := false
		for _, h := range g.heads {
			if h.barrier < f.Lot.Release.Barrier {
				continue
			}
			answered = true
			missing := uint64(len(g.kept))
			if missing > 0 && g.seq-missing < h.seq {
				answered = false // this head states what has not come; a later one can't state less
			}
			break
		}
		if !answered {
			t.Fatalf("the lot is free, and %s/%s has not answered barrier %d with all that it had: heads %+v, on disk %d, last seq %d",
				g.plant, g.name, f.Lot.Release.Barrier, g.heads, len(g.kept), g.seq)
		}
	}
}

func TestBarrier_NoReleaseBeforeEachDiskIsHere(t *testing.T) {
	t.Parallel()
	freed := 0
	for seed := range uint64(6) {
		m, r := newMesh(t), rand.New(rand.NewPCG(seed, 3))
		gateways := []*stating{{gateway: m.gateway("p1", "gw1")}, {gateway: m.gateway("p2", "gw1")}, {gateway: m.gateway("p2", "gw2")}}
		gateways[0].put("made", made(lotA, "MI"))
		for i, g := range gateways {
			g.put(fmt.Sprint("pass", i), completed(lotA, fmt.Sprint(i), event.VerdictPass))
		}
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		was := event.UsageStatus("")
		for i := range 100 {
			g := gateways[r.IntN(len(gateways))]
			switch r.IntN(12) {
			case 0:
				if r.IntN(3) == 0 {
					g.put(fmt.Sprint("hold", i), held(lotA, fmt.Sprint(seed, "-", i)))
				} else {
					g.put(fmt.Sprint("other", i), made(fmt.Sprint("lot::M:", i), "M"))
				}
			case 1, 2, 3:
				g.state()
			case 4, 5, 6:
				for _, g := range gateways {
					g.state()
				}
				m.fireNow()
			case 7:
				if g.cut = r.IntN(3) == 0; !g.cut {
					g.drain()
				}
			case 8:
				for _, h := range m.lot(lotA).Open {
					m.say(&event.HoldLifted{
						MayLot: event.MayLot{Lot: lotA}, HoldID: h.ID, LiftedBy: "eve", LiftedAt: event.At(m.clock), Authority: event.AuthorityQuality, Reason: "polished",
					})
				}
			case 9:
				m.fireNow()
			default:
				m.work()
			}
			if now := m.usage(lotA); now != was && now == event.Unrestricted {
				freed++
				judge(t, m, gateways)
			}
			was = m.usage(lotA)
		}
	}
	if freed < 3 {
		t.Errorf("%d lots were freed: too little was tested", freed)
	}
	t.Logf("%d releases", freed)
}
