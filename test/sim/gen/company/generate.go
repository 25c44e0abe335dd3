package company

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// generator makes up one stream.
type generator struct {
	plan   Plan
	random *rand.Rand
	sites  []dialect.Site
	out    Stream

	records map[string]int   // made so far, by plant
	series  map[string]int64 // parts made so far, by plant and line
}

// Generate returns the stream of a seed and a plan. It is a pure function.
func Generate(seed uint64, plan Plan) (*Stream, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	g := &generator{
		plan: plan, random: rand.New(rand.NewPCG(seed, 0x66697665706c616e)), sites: dialect.Sites(),
		records: map[string]int{}, series: map[string]int64{},
	}
	for at := range g.sites {
		lots := plan.Lots / len(g.sites)
		if at < plan.Lots%len(g.sites) {
			lots++
		}
		for i := range lots {
			if err := g.lot(&g.sites[at], i); err != nil {
				return nil, err
			}
		}
	}
	if err := g.speak(); err != nil {
		return nil, err
	}
	g.disturb()
	g.expect()
	return &g.out, nil
}

func (p *Plan) check() error {
	switch {
	case p.Parts < 4:
		return fmt.Errorf("a lot of %d parts is too small: want 4 at least", p.Parts)
	case p.Every < 20*time.Millisecond:
		return fmt.Errorf("%s from part to part is too short: want 20 ms at least", p.Every)
	case p.Pause < 4*p.Every:
		return fmt.Errorf("%s between two lots is too short: want 4 times %s at least", p.Pause, p.Every)
	case p.Delay <= 0:
		return errors.New("the engineer needs a time to decide in")
	case !p.Start.Equal(dialect.Stamp(p.Start)):
		return fmt.Errorf("start %s has more than milliseconds, which no dialect says", p.Start)
	}
	sum := 0
	for _, s := range p.shares() {
		sum += s.inThousand
	}
	if sum > 1000 {
		return fmt.Errorf("the shares of all stories come to %d in a thousand", sum)
	}
	return nil
}

// chance is true in so many of a thousand cases.
func (g *generator) chance(inThousand int) bool { return g.random.IntN(1000) < inThousand }

// story draws what happens to a lot. A line reports over OPC UA, one safety value a part, and nothing is misspelt; a part
// that a press does not report could not be noticed.
func (g *generator) story(line bool) story {
	draw := g.random.IntN(1000)
	for _, s := range g.plan.shares() {
		if draw -= s.inThousand; draw >= 0 {
			continue
		}
		elsewhere := s.story == wrongUnit || s.story == contrary || s.story == garbled || s.story == corrected || s.story == lateFail || s.story == failing
		if line && elsewhere || !line && s.story == missing {
			return plain
		}
		return s.story
	}
	return plain
}

// Material is one that the company makes.
type Material struct {
	ID          string
	Unit        string   // UCUM
	Inspections []string // types that a lot of it has to pass
}

// Materials returns those that the company makes. All of them want a final inspection.
func Materials() []Material {
	return []Material{
		{"MAT-100", "kg", []string{"final"}}, {"MAT-200", "kg", []string{"in_process", "final"}}, {"000000000000012345", "kg", []string{"final"}},
	}
}

// UnknownMaterial is the code of a material that no master data has.
const UnknownMaterial = "MAT-999"

// number returns the number of a plant's i-th lot. The first and the fifth plant use the same numbers, which are two
// lots all the same: the fifth one's are scoped by the plant.
func number(plant string, i int) string {
	switch plant {
	case "p2":
		return fmt.Sprintf("%010d", 200000+i)
	case "p3":
		return fmt.Sprintf("%010d", 300000+i)
	case "p4":
		return fmt.Sprintf("T%06d", i)
	}
	return fmt.Sprintf("L-%06d", i)
}

// lot makes up a plant's i-th lot.
func (g *generator) lot(site *dialect.Site, i int) error {
	machines := append(dialect.Presses(), site.Lines...)
	at := i % len(machines)
	line := at >= len(dialect.Presses())
	round := time.Duration(g.plan.Parts)*g.plan.Every + g.plan.Pause
	m := &making{
		g: g, site: site, other: site, machine: machines[at], line: line, story: g.story(line), failed: map[string]bool{},
		// Machines begin one after the other, so that the company is busy all the time.
		began: time.Duration(i/len(machines))*round + time.Duration(at)*g.plan.Every/time.Duration(len(machines)) + time.Duration(g.random.IntN(20))*time.Millisecond,
	}
	m.began = m.began.Truncate(time.Millisecond)
	m.lot = Lot{
		Plant: site.Plant, Number: number(site.Plant, g.plan.First+i+1), Material: Materials()[i%len(Materials())].ID, Story: string(m.story),
	}
	if m.story == unknownMat {
		m.lot.Material = UnknownMaterial
	}
	if g.chance(g.plan.Shared) {
		m.other = g.partner(site)
	}
	var err error
	if m.lot.Key, err = site.LotKey(m.lot.Material, m.lot.Number); err != nil {
		return err
	}
	m.make()
	g.out.Lots = append(g.out.Lots, m.lot)
	return nil
}

// partner returns the plant that inspects a lot finally instead of its own. A plant that numbers lots for itself has
// none: nobody else knows its lots.
func (g *generator) partner(site *dialect.Site) *dialect.Site {
	if site.Scope != "" {
		return site
	}
	var others []*dialect.Site
	for i := range g.sites {
		if other := &g.sites[i]; other.Scope == "" && other.Plant != site.Plant {
			others = append(others, other)
		}
	}
	return others[g.random.IntN(len(others))]
}

// record returns the id of a new record of a plant's systems.
func (g *generator) record(site *dialect.Site) string {
	g.records[site.Plant]++
	return dialect.Record(g.plan.First*100 + g.records[site.Plant])
}

// speak puts all facts into words, and says what must come of each.
func (g *generator) speak() error {
	for i := range g.out.Lots {
		l := &g.out.Lots[i]
		for _, s := range l.facts {
			if err := g.say(l, s); err != nil {
				return err
			}
		}
		g.out.Acts = append(g.out.Acts, l.acts...)
	}
	slices.SortStableFunc(g.out.Acts, func(a, b Act) int { return cmp.Compare(a.Offset, b.Offset) })
	slices.SortStableFunc(g.out.Parts, func(a, b Part) int { return cmp.Compare(a.Offset, b.Offset) })
	return nil
}

func (g *generator) say(l *Lot, s said) error {
	if s.part != nil {
		if s.missed {
			return nil
		}
		var all []Offer
		for _, e := range s.site.PartIDs(s.line, s.part) {
			all = append(all, Offer{ID: e.ID, Type: e.Data.Type(), Lot: l.Key})
		}
		g.out.Parts = append(g.out.Parts, Part{
			Offset: s.part.At.Sub(g.plan.Start), Plant: s.site.Plant, Line: s.line, Part: *s.part, Lot: l.Key, Offers: all,
		})
		return nil
	}
	m, err := s.site.Say(s.fact)
	if err != nil {
		return err
	}
	events, err := s.site.Events(s.fact)
	if err != nil {
		return err
	}
	about := l.Key
	if _, telemetry := s.fact.(dialect.Sampled); telemetry {
		about = ""
	}
	g.out.Messages = append(g.out.Messages, Message{
		Offset: s.fact.When().Sub(g.plan.Start) + s.late, Plant: s.site.Plant, Topic: m.Topic, Payload: m.Payload, Lot: about,
		Offers: offers(events), Quarantined: len(events) == 0, passing: passing(s.fact),
	})
	return nil
}

// passing tells whether a fact is a reading within its limits.
func passing(f dialect.Fact) bool {
	r, ok := f.(dialect.Measured)
	return ok && !r.WrongUnit && !dialect.Outside(r.Value, r.LSL, r.USL)
}

// offers returns what stands in a history of each event. The agent mints the ids of telemetry.
func offers(events []*event.Event) []Offer {
	var all []Offer
	for _, e := range events {
		if e.ID != "" {
			all = append(all, Offer{ID: e.ID, Type: e.Data.Type(), Lot: e.Data.Concerns(), Hash: e.ContentHash})
		}
	}
	return all
}
