package api

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Coverage says what is not known of a lot or of a plant: what keeps a release, unless data or a signature comes.
type Coverage struct {
	Lot      event.LotKey         `json:"lot,omitempty"`
	Plant    event.PlantID        `json:"plant,omitempty"`
	Zone     string               `json:"zone" doc:"time zone of the plant"`
	Release  quality.ReleaseState `json:"release,omitempty" doc:"of the lot"`
	Barrier  int64                `json:"barrier,omitempty" doc:"number that the agents have to answer for the lot; absent = not asked"`
	Gaps     []Gap                `json:"gaps" doc:"open ones that touch the lot and are not accepted for it, or those of the plant"`
	Answers  []Answer             `json:"answers" doc:"of the agents in question"`
	Accepted []Accepted           `json:"accepted" doc:"what persons have signed for, for this lot"`
}

// Gap is something that was not observed, or was lost.
type Gap struct {
	ID        event.ObjectID    `json:"id"`
	Kind      quality.GapKind   `json:"kind" doc:"observation, quarantine, loss, missing or fork"`
	Plant     event.PlantID     `json:"plant"`
	Agent     string            `json:"agent,omitempty"`
	Equipment event.EquipmentID `json:"equipment,omitempty" doc:"absent = all of the plant"`
	Lot       event.LotKey      `json:"lot,omitempty" doc:"of a record that names one: it is corrected, not accepted"`
	From      time.Time         `json:"from,omitzero"`
	To        time.Time         `json:"to,omitzero"`
	Since     time.Time         `json:"since" doc:"when the cloud knew of it"`
	Words     string            `json:"words"`
}

// Answer is how far an agent has answered.
type Answer struct {
	Plant    event.PlantID `json:"plant"`
	Agent    string        `json:"agent" doc:"empty = no agent of the plant was ever heard of"`
	Answered int64         `json:"answered" doc:"highest barrier that it has answered with all that it had on disk; 0 = none"`
	HeadAt   time.Time     `json:"stated_at,omitzero" doc:"when it last stated how much it has on disk"`
	Accepted bool          `json:"accepted,omitempty" doc:"persons have signed for its answer"`
	Missing  bool          `json:"missing" doc:"it was asked for the lot's release and has not answered"`
}

// Accepted is what persons have signed for.
type Accepted struct {
	ID      event.ID       `json:"id" doc:"of the event"`
	Gap     event.ObjectID `json:"gap,omitempty"`
	Plant   event.PlantID  `json:"plant,omitempty"`
	Agent   string         `json:"agent,omitempty"`
	Barrier int64          `json:"barrier,omitempty"`
	By      []string       `json:"by"`
	Reason  string         `json:"reason"`
	At      time.Time      `json:"at"`

	Signatures []event.Signature `json:"signatures" doc:"who signed, when, and what it means; each covers the hash of its record"`
}

type coverageInput struct {
	Lot   string `query:"lot" doc:"what a lot's release waits for"`
	Plant string `query:"plant" doc:"what is open at a plant"`
}

func (s *server) coverage(ctx context.Context, in *coverageInput) (*view[Coverage], error) {
	if (in.Lot == "") == (in.Plant == "") {
		return nil, problem.New(problem.Usage, "the request names neither a lot alone nor a plant alone")
	}
	c := Coverage{Gaps: []Gap{}, Answers: []Answer{}, Accepted: []Accepted{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		if in.Lot != "" {
			f, err := s.lot(ctx, tx, event.LotKey(in.Lot))
			if err == nil {
				c.ofLot(&f, s.zoneOf(f.Lot.Plant))
			}
			return err
		}
		return s.plantCoverage(ctx, tx, event.PlantID(in.Plant), &c)
	})
	return &view[Coverage]{c}, err
}

func (c *Coverage) ofLot(f *quality.Facts, zone string) {
	c.Lot, c.Plant, c.Zone, c.Release = f.Lot.Key, f.Lot.Plant, zone, f.Lot.Release.State
	if f.Asked() {
		c.Barrier = f.Ask.Barrier
	}
	for i := range f.Gaps {
		c.Gaps = append(c.Gaps, gapView(&f.Gaps[i]))
	}
	for i := range f.Answers {
		a := answerView(&f.Answers[i])
		a.Missing = f.Lot.Release.State == quality.Asking && f.Asked() && !f.Answers[i].Has(f.Ask.Barrier)
		c.Answers = append(c.Answers, a)
	}
	for i := range f.Acceptances {
		a := &f.Acceptances[i]
		c.Accepted = append(c.Accepted, Accepted{a.ID, a.Gap, a.Plant, a.Agent, a.Barrier, a.By, a.Reason, a.At, a.Signatures})
	}
}

func (s *server) plantCoverage(ctx context.Context, tx *store.Tx, plant event.PlantID, c *Coverage) error {
	if err := s.findPlant(ctx, tx, plant); err != nil {
		return err
	}
	c.Plant, c.Zone = plant, s.zoneOf(plant)
	gaps, err := tx.GapsAt(plant)
	if err != nil {
		return err
	}
	for i := range gaps {
		c.Gaps = append(c.Gaps, gapView(&gaps[i]))
	}
	answers, err := tx.Answers(plant)
	for i := range answers {
		c.Answers = append(c.Answers, answerView(&answers[i]))
	}
	return err
}

func gapView(g *quality.Gap) Gap {
	return Gap{
		ID: g.ID, Kind: g.Kind, Plant: g.Plant, Agent: g.Agent, Equipment: g.Equipment, Lot: g.Lot, From: g.From, To: g.To, Since: g.UpdatedAt,
		Words: g.Words(),
	}
}

func answerView(a *quality.Answer) Answer {
	return Answer{Plant: a.Plant, Agent: a.Agent, Answered: a.Answered, HeadAt: a.HeadAt, Accepted: a.Accepted}
}
