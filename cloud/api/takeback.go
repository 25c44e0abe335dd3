package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Takeback is what is known to have become of a lot between its release and what took that back.
type Takeback struct {
	ReleasedAt time.Time    `json:"released_at" doc:"when all had answered for the release: from then on the lot may have moved"`
	At         time.Time    `json:"at" doc:"when the release was taken back"`
	Read       []SystemRead `json:"read" doc:"systems that have said since what moved; one that is missing was not read yet, or can't say"`
	Moved      []Movement   `json:"moved" doc:"what left the lot's stock, and what a warehouse has begun"`
}

// SystemRead is a system that has said what moved of a lot.
type SystemRead struct {
	System string    `json:"system"`
	At     time.Time `json:"at"`
}

// Movement is one thing that moved.
type Movement struct {
	System    string          `json:"system"`
	Document  string          `json:"document" doc:"the system's own name of the posting or of the task"`
	Kind      string          `json:"movement_type,omitempty" doc:"the system's own word, such as 601 or pick"`
	To        string          `json:"to,omitempty" doc:"order, delivery or place that it went to"`
	Quantity  *event.Quantity `json:"quantity,omitempty"`
	At        time.Time       `json:"at,omitzero" doc:"by the system's clock"`
	UnderWay  bool            `json:"under_way,omitempty" doc:"begun and not done: a person can still stop it"`
	Warehouse bool            `json:"warehouse,omitempty" doc:"a task of a warehouse, no posting"`
}

func takebackView(t *quality.Takeback) *Takeback {
	if t == nil {
		return nil
	}
	v := &Takeback{ReleasedAt: t.Since, At: t.At, Read: []SystemRead{}, Moved: []Movement{}}
	for _, s := range t.Read {
		v.Read = append(v.Read, SystemRead{s.System, s.At})
		for _, m := range s.Moved {
			moved := Movement{
				System: s.System, Document: m.Document, Kind: m.Kind, To: m.To, At: m.At.Time, UnderWay: m.UnderWay, Warehouse: m.Warehouse,
			}
			if m.Q.Unit != "" {
				moved.Quantity = &m.Q
			}
			v.Moved = append(v.Moved, moved)
		}
	}
	return v
}

// inWords says what is known to have moved, and who was asked.
func (t *Takeback) inWords(at func(time.Time) string) string {
	text := fmt.Sprintf("Its release of %s was taken back at %s.", at(t.ReleasedAt), at(t.At))
	var asked []string
	for _, s := range t.Read {
		asked = append(asked, s.System)
	}
	switch {
	case len(asked) == 0:
		return text + " What moved meanwhile is not known yet: no system was read since."
	case len(t.Moved) == 0:
		return text + " Nothing of it moved meanwhile, as " + strings.Join(asked, " and ") + " shows."
	}
	begun := 0
	for i := range t.Moved {
		if t.Moved[i].UnderWay {
			begun++
		}
	}
	text += fmt.Sprintf(" Movements meanwhile: %d, as %s shows; each has to be found or stopped by a person", len(t.Moved), strings.Join(asked, " and "))
	if begun > 0 {
		text += fmt.Sprintf(", %d can still be stopped", begun)
	}
	return text + "."
}
