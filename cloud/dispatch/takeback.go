package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// askMovesAgain is how long it takes until a system is asked again for what it could not say.
const askMovesAgain = time.Minute

// listMoves adds what the system says to have moved of a lot whose release was taken back. It is asked after the lot is
// held there, so that the list is whole and the hold has not waited for it. A list that can't be read now is for later: it
// keeps no hold from counting as enforced.
func (a *attempt) listMoves(ctx context.Context, s *workflow.Settlement, end *Ending) {
	done := end.Outcome == event.Applied || end.Outcome == event.AlreadyApplied
	switch {
	case a.movedSince.IsZero():
	case a.row.Kind == quality.TasksGate && end.View.Kind == connector.ObjectTasks:
		s.Moved, s.MovedSince = taskMoves(end.View.Tasks), a.movedSince
	case a.row.Kind == quality.LotUsageSet && done:
		v, _, err := a.target.system.Read(ctx, connector.Object{Kind: connector.ObjectMoves, Lot: a.row.Lot, Since: a.movedSince})
		var r connector.Result
		switch {
		case err == nil:
			s.Moved, s.MovedSince = v.Moved, a.movedSince
		case errors.As(err, &r) && r.Outcome == event.Rejected: // the system can't say
		default:
			a.movesUnread = true
			a.dispatcher.log.Info().Err(err).Str(telemetry.KeyEffect, a.row.ID).Str(telemetry.KeyBackoff, askMovesAgain.String()).
				Msg("what moved since the release was not read yet")
		}
	}
}

// askMoves has the system asked again where it could not say what moved.
func (a *attempt) askMoves(ctx context.Context) {
	if !a.movesUnread {
		return
	}
	due := a.dispatcher.cfg.Now().Add(askMovesAgain)
	if err := a.dispatcher.store.Update(ctx, func(tx *store.Tx) error { return tx.LookAgain(a.row.ID, due) }); err != nil {
		a.dispatcher.log.Error().Err(err).Str(telemetry.KeyEffect, a.row.ID).Msg("what moved since the release is not asked for again")
	}
}

// taskMoves lists the tasks that no gate holds any more: those that have started, which a person can still stop, and those
// that are done.
func taskMoves(tasks []connector.Task) (moved []event.Movement) {
	for _, t := range tasks {
		if t.State == connector.TaskStarted || t.State == connector.TaskDone && t.Kind != putaway {
			moved = append(moved, event.Movement{
				Document: t.ID, Kind: t.Kind, To: t.Order, UnderWay: t.State == connector.TaskStarted, Warehouse: true,
			})
		}
	}
	return moved
}

// told tells whether the lot's state has what the system says to have moved.
func told(lot *quality.Lot, system string, s *workflow.Settlement) bool {
	if lot.Takeback == nil || s.MovedSince.IsZero() {
		return true
	}
	return slices.ContainsFunc(lot.Takeback.Read, func(r quality.SystemMoves) bool {
		return r.System == system && slices.Equal(r.Moved, s.Moved)
	})
}
