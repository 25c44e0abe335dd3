package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// BoardStage is a column of the board.
type BoardStage string

// Board stages, in the order in which a lot passes them, those that need a person first.
const (
	BoardHeld        BoardStage = "held"
	BoardInspection  BoardStage = "inspection"
	BoardDisposition BoardStage = "disposition"
	BoardReleasing   BoardStage = "releasing"
	BoardReleased    BoardStage = "released"
	BoardRejected    BoardStage = "rejected"
)

// BoardStages lists the columns of the board.
func BoardStages() []BoardStage {
	return []BoardStage{BoardHeld, BoardInspection, BoardDisposition, BoardReleasing, BoardReleased, BoardRejected}
}

// states returns the release states that a column shows.
func (s BoardStage) states() []quality.ReleaseState {
	switch s {
	case BoardHeld:
		return []quality.ReleaseState{quality.Held}
	case BoardInspection:
		return []quality.ReleaseState{quality.AwaitingInspection, quality.Evaluating}
	case BoardDisposition:
		return []quality.ReleaseState{quality.AwaitingDisposition}
	case BoardReleasing:
		return []quality.ReleaseState{quality.Asking, quality.Releasing}
	case BoardReleased:
		return []quality.ReleaseState{quality.Released}
	}
	return []quality.ReleaseState{quality.Rejected}
}

// over tells that lots stay in the column: nobody waits for the oldest.
func (s BoardStage) over() bool { return s == BoardReleased || s == BoardRejected }

// Board says where all lots stand.
type Board struct {
	At      time.Time       `json:"at"`
	Plants  []event.PlantID `json:"plants" doc:"that the caller may see, and of which lots are known"`
	Columns []BoardColumn   `json:"columns"`
}

// BoardColumn is the lots of one stage: those first that are there longest, where nobody waits for them those that came last.
type BoardColumn struct {
	Stage BoardStage `json:"stage"`
	Count int64      `json:"count" doc:"lots of the stage"`
	Lots  []LotLine  `json:"lots"`
	Next  string     `json:"next,omitempty" doc:"cursor of the next page; absent = these are all"`
}

// BoardList is one column of the board as a list.
type BoardList struct {
	BoardColumn
	Plants []event.PlantID `json:"plants" doc:"that the caller may see, and of which lots are known"`
}

type boardInput struct {
	Plant string `query:"plant" doc:"only lots of this plant"`
	Limit int    `query:"limit" default:"10" minimum:"1" maximum:"100" doc:"lots a column"`
}

type stageInput struct {
	Stage  string `path:"stage" enum:"held,inspection,disposition,releasing,released,rejected"`
	Plant  string `query:"plant" doc:"only lots of this plant"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
	Cursor string `query:"cursor" maxLength:"600" doc:"next of the page before"`
}

func (s *server) board(ctx context.Context, in *boardInput) (*view[Board], error) {
	b := Board{At: s.cfg.Now().UTC(), Plants: []event.PlantID{}, Columns: []BoardColumn{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		counts, err := s.countStages(tx, callerOf(ctx), event.PlantID(in.Plant), &b)
		for _, stage := range BoardStages() {
			if err != nil {
				return err
			}
			column := BoardColumn{Stage: stage, Count: counts[stage]}
			err = s.fillColumn(ctx, tx, &column, event.PlantID(in.Plant), store.BoardPlace{}, in.Limit)
			b.Columns = append(b.Columns, column)
		}
		return err
	})
	return &view[Board]{b}, err
}

func (s *server) boardStage(ctx context.Context, in *stageInput) (*view[BoardList], error) {
	list := BoardList{BoardColumn: BoardColumn{Stage: BoardStage(in.Stage)}}
	place, err := placeOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		b := Board{Plants: []event.PlantID{}}
		counts, err := s.countStages(tx, callerOf(ctx), event.PlantID(in.Plant), &b)
		if err != nil {
			return err
		}
		list.Count, list.Plants = counts[list.Stage], b.Plants
		return s.fillColumn(ctx, tx, &list.BoardColumn, event.PlantID(in.Plant), place, in.Limit)
	})
	return &view[BoardList]{list}, err
}

// countStages counts what the caller may see, and names the plants on the board.
func (s *server) countStages(tx *store.Tx, c *Caller, plant event.PlantID, b *Board) (map[BoardStage]int64, error) {
	rows, err := tx.CountStages()
	counts := map[BoardStage]int64{}
	for _, r := range rows {
		if !c.sees(r.Plant) {
			continue
		}
		if r.Plant != "" && !slices.Contains(b.Plants, r.Plant) {
			b.Plants = append(b.Plants, r.Plant)
		}
		for _, stage := range BoardStages() {
			if slices.Contains(stage.states(), r.State) && (plant == "" || plant == r.Plant) {
				counts[stage] += r.Count
			}
		}
	}
	slices.Sort(b.Plants)
	return counts, err
}

// fillColumn puts the lots behind a place into a column.
func (s *server) fillColumn(ctx context.Context, tx *store.Tx, column *BoardColumn, plant event.PlantID, after store.BoardPlace, limit int) error {
	column.Lots = []LotLine{}
	places, err := stagePlaces(tx, callerOf(ctx), column.Stage, plant, after, limit+1)
	if err != nil {
		return err
	}
	if len(places) > limit {
		places = places[:limit]
		column.Next = cursorOf(places[limit-1])
	}
	for _, p := range places {
		f, err := tx.Facts(p.Key)
		if err != nil {
			return err
		}
		column.Lots = append(column.Lots, s.lotLine(&f))
	}
	return nil
}

// stagePlaces merges what each state and plant of a stage has behind a place.
func stagePlaces(tx *store.Tx, c *Caller, stage BoardStage, plant event.PlantID, after store.BoardPlace, limit int) (all []store.BoardPlace, err error) {
	plants := []event.PlantID{plant}
	switch {
	case plant != "" && !c.sees(plant):
		return nil, nil
	case plant == "" && !c.seesAll():
		plants = c.Plants
	}
	next, order := tx.StageLots, 1
	if stage.over() {
		next, order = tx.NewestLots, -1
	}
	for _, state := range stage.states() {
		for _, p := range plants {
			some, err := next(state, p, after, limit)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	slices.SortFunc(all, func(a, b store.BoardPlace) int {
		if o := a.Since.Compare(b.Since); o != 0 {
			return order * o
		}
		return order * strings.Compare(string(a.Key), string(b.Key))
	})
	return all[:min(limit, len(all))], nil
}

func cursorOf(p store.BoardPlace) string {
	return p.Since.UTC().Format(time.RFC3339Nano) + "|" + string(p.Key)
}

func placeOf(cursor string) (p store.BoardPlace, err error) {
	if cursor == "" {
		return p, nil
	}
	since, key, ok := strings.Cut(cursor, "|")
	if p.Since, err = time.Parse(time.RFC3339Nano, since); err != nil || !ok {
		return p, problem.New(problem.Usage, "cursor %.80q is none of this list", cursor)
	}
	p.Key = event.LotKey(key)
	return p, nil
}
