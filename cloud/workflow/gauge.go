package workflow

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// gauges read the state when they are asked:
//
//	holdfast_cloud_deadletters_open{cause}              records that wait, by their code
//	holdfast_cloud_parked_lots                          lots of which an event is parked
//	holdfast_cloud_lot_hold_oldest_age_seconds{plant}   since when the longest open hold stands; 0 = none
//	holdfast_cloud_coverage_gaps_open{plant}            what is not known of the plant, as coverage show lists it, and holes
//	                                                    in what its running agents have sent
//	holdfast_cloud_plant_silent_seconds{plant}          since the last record of the plant, of either lane
//	holdfast_cloud_epochs_undecided{plant}              epochs whose records are kept until a person decides
//
// While the database does not answer there are none: one that is invalid would take all others of the program with it.
type gauges struct {
	store    *store.Store
	plants   []event.PlantID // configured ones, which show 0
	now      func() time.Time
	arrivals *arrivals
}

// scrapeLimit is far above what counting takes, and below the time that a scrape waits.
const scrapeLimit = 2 * time.Second

var (
	deadlettersDesc = prometheus.NewDesc("holdfast_cloud_deadletters_open", "Records that were not applied and wait, by their code.", []string{"cause"}, nil)
	parkedDesc      = prometheus.NewDesc("holdfast_cloud_parked_lots", "Lots of which an event is parked.", nil, nil)
	oldestHoldDesc  = prometheus.NewDesc("holdfast_cloud_lot_hold_oldest_age_seconds", "Age of the oldest open hold; 0 = none.", []string{"plant"}, nil)
	gapsDesc        = prometheus.NewDesc("holdfast_cloud_coverage_gaps_open", "Open gaps of the plant, and holes in the sequence numbers of its running agents.", []string{"plant"}, nil)
	silentDesc      = prometheus.NewDesc("holdfast_cloud_plant_silent_seconds", "Time since the last record of the plant, of either lane.", []string{"plant"}, nil)
	undecidedDesc   = prometheus.NewDesc("holdfast_cloud_epochs_undecided", "Epochs whose records are kept until a person decides.", []string{"plant"}, nil)
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{deadlettersDesc, parkedDesc, oldestHoldDesc, gapsDesc, silentDesc, undecidedDesc} {
		ch <- d
	}
}

// figures are what the gauges show, of one state of the database.
type figures struct {
	deadletters     map[string]int64
	parked          int64
	holds           map[event.PlantID]time.Time
	gaps, undecided map[event.PlantID]int64
	last            map[event.PlantID]time.Time
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var f figures
	if err := g.store.View(ctx, func(tx *store.Tx) error { return f.read(tx, g.plants) }); err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	now := g.now()
	for code, n := range f.deadletters {
		gauge(deadlettersDesc, float64(n), code)
	}
	gauge(parkedDesc, float64(f.parked))
	for plant, last := range f.last {
		age := 0.0
		if placed, held := f.holds[plant]; held {
			age = max(0, now.Sub(placed).Seconds())
		}
		gauge(oldestHoldDesc, age, string(plant))
		gauge(gapsDesc, float64(f.gaps[plant]), string(plant))
		gauge(silentDesc, max(0, now.Sub(g.arrivals.latest(plant, last)).Seconds()), string(plant))
		gauge(undecidedDesc, float64(f.undecided[plant]), string(plant))
	}
}

func (f *figures) read(tx *store.Tx, plants []event.PlantID) (err error) {
	if f.deadletters, err = tx.CountDeadletters(); err != nil {
		return err
	}
	if f.parked, err = tx.CountParkedLots(); err != nil {
		return err
	}
	if f.holds, err = tx.OldestHolds(); err != nil {
		return err
	}
	if f.gaps, err = tx.CountHoles(); err != nil {
		return err
	}
	if f.undecided, err = tx.CountUndecided(); err != nil {
		return err
	}
	known, err := tx.Plants()
	if err != nil {
		return err
	}
	f.last = map[event.PlantID]time.Time{}
	for _, p := range append(known, plants...) {
		if _, done := f.last[p]; done {
			continue
		}
		last, err := tx.LastArrival(p)
		if err != nil {
			return err
		}
		f.last[p] = last.Accepted
		open, err := tx.GapsAt(p)
		if err != nil {
			return err
		}
		f.gaps[p] += int64(len(open))
	}
	return nil
}

// arrivals remembers when each plant's last record came, telemetry included, which leaves no row. What came before the
// start, or to another copy, only the inbox knows.
type arrivals struct {
	start time.Time // stands for a plant that nothing was heard of
	mu    sync.Mutex
	at    map[event.PlantID]time.Time
}

// note notes that records came.
func (h *arrivals) note(inputs []Input, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range inputs {
		if inputs[i].Event == nil {
			h.at[inputs[i].Plant] = now
		}
	}
}

// latest returns the time of a plant's last record; stored is that of the last one in the inbox.
func (h *arrivals) latest(plant event.PlantID, stored time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.at[plant]
	switch {
	case ok && !stored.After(at):
		return at
	case !stored.IsZero():
		return stored
	}
	return h.start
}

// register adds what the engine's state shows.
func (e *Engine) register(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	g := &gauges{store: e.store, now: e.now, arrivals: e.arrivals}
	for plant := range e.cfg.Plants {
		if plant != "" {
			g.plants = append(g.plants, plant)
		}
	}
	reg.MustRegister(g, &waits{store: e.store, now: e.now}, &retired{store: e.store, plants: g.plants})
}
