package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// errUnfit marks a row whose message would not fit its own schema.
var errUnfit = errors.New("message does not fit its schema")

// records makes the records of a batch, control records last. A row whose message is unfit stays, for a person to see; no
// other waits behind it.
func (p *Publisher) records(ctx context.Context, b *batch) (all []outgoing, err error) {
	add := func(row *store.OutboxRow) error {
		r, err := p.record(ctx, row, b)
		switch {
		case errors.Is(err, errUnfit):
			return p.trouble.refuse(ctx, row, err)
		case err != nil:
			return err
		}
		all = append(all, outgoing{row, r})
		return nil
	}
	for i := range b.rows {
		if err := add(&b.rows[i]); err != nil {
			return nil, err
		}
	}
	for i := range b.controls {
		row := &b.controls[i]
		if p.trouble.blocks(statusOf(row.Topic)) {
			continue // the plant's lot status waits
		}
		if err := add(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// outgoing is a row and the record that it is sent as; nil where there is nothing to send any more.
type outgoing struct {
	row    *store.OutboxRow
	record *kgo.Record
}

// statuses are those of the lots of one page: a lot's goes to the topics of all its plants, and is worked out once. The
// marks of the page were read before, so that each of them is answered.
type statuses map[event.LotKey]*event.LotStatusUpdated

// record makes the Kafka record of a row; nil for a mark whose object is gone.
func (p *Publisher) record(ctx context.Context, row *store.OutboxRow, b *batch) (*kgo.Record, error) {
	m := row.Message
	if m == nil {
		var err error
		if m, err = p.now(ctx, row, b); err != nil || m == nil {
			return nil, err
		}
	}
	r := &kgo.Record{Topic: p.topic(row.Topic), Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, nil
}

// logicalStatus is the logical topic of lot status; that of a plant has the plant behind a slash.
const logicalStatus = "lot-status"

// topic returns the Kafka name of a logical topic.
func (p *Publisher) topic(logical string) string {
	name, plant, _ := strings.Cut(logical, "/")
	switch {
	case name == logicalStatus && plant != "":
		return p.cfg.Kafka.PlantLotStatus(plant)
	case name == logicalStatus:
		return p.cfg.Kafka.LotStatus()
	case name == "control":
		return p.cfg.Kafka.Control(plant)
	case name == "alert":
		return p.cfg.Kafka.Alert()
	case name == "deadletter":
		return p.cfg.Kafka.Deadletter()
	case name == "audit":
		return p.cfg.Kafka.Audit()
	}
	return p.cfg.Kafka.Effect()
}

// now returns the state of now of what a mark names; nil if it is gone.
func (p *Publisher) now(ctx context.Context, row *store.OutboxRow, b *batch) (*event.Message, error) {
	if name, plant, _ := strings.Cut(row.Topic, "/"); name == "control" {
		m, err := p.control(ctx, event.PlantID(plant), row.Key, b.at)
		if err != nil {
			return nil, err
		}
		return m, p.trouble.fits(ctx, row)
	}
	return p.status(ctx, row, b.lots)
}

// control returns an agent's control record of now. Its time is that at which no lot status of the plant was due that is
// not sent before it or with it.
func (p *Publisher) control(ctx context.Context, plant event.PlantID, agent string, now time.Time) (*event.Message, error) {
	var set store.Control
	if err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		set, err = tx.Control(plant, agent, now)
		return err
	}); err != nil {
		return nil, err
	}
	key := []string{string(plant), agent, fmt.Sprint(set.Set.Version)}
	e := &event.Event{
		ID: event.NaturalID("", "holdfast", key, set.Set.Type(), 0), Source: "/holdfast", Time: now, Recorded: now, Plant: plant, Data: &set.Set,
	}
	if err := e.Seal(agent); err != nil {
		return nil, fmt.Errorf("control record of %s/%s: %w: %w", plant, agent, errUnfit, err)
	}
	m := e.Message()
	return &m, nil
}

// status returns a lot's status of now. One that does not fit its schema is told, and a poor one goes out instead, which
// says no more than that the lot may not move: an older one, which allows it, must not stay the newest, and the plant's
// agents must not wait for it.
func (p *Publisher) status(ctx context.Context, row *store.OutboxRow, lots statuses) (*event.Message, error) {
	lot := event.LotKey(row.Key)
	data, known := lots[lot]
	if !known {
		if err := p.store.View(ctx, func(tx *store.Tx) error {
			f, err := tx.Facts(lot)
			if err == nil && f.Lot.Key != "" {
				data = f.Status(p.cfg.ERP(f.Lot.Plant))
			}
			return err
		}); err != nil {
			return nil, err
		}
		lots[lot] = data
	}
	if data == nil {
		return nil, nil
	}
	_, plant, _ := strings.Cut(row.Topic, "/")
	m, err := sealStatus(data, plant)
	if err == nil {
		return m, p.trouble.fits(ctx, row)
	}
	if err := p.trouble.poor(ctx, row, err); err != nil {
		return nil, err
	}
	now := p.cfg.Now()
	poor := &event.LotStatusUpdated{
		OfLot: event.OfLot{Lot: lot}, Version: max(data.Version, 1), OpenHolds: []event.OpenHold{}, Usage: []event.SystemUsage{},
		Reasons: []event.MoveReason{event.ReasonQuarantine}, AsOf: event.At(now),
		Cause: event.NaturalID("", "holdfast", []string{"unfit", string(lot)}, data.Type(), 0),
	}
	poor.Provenance.Source = "holdfast"
	return sealStatus(poor, plant)
}

// sealStatus makes the message of a lot's status, to a plant or, where that is empty, to all.
func sealStatus(data *event.LotStatusUpdated, plant string) (*event.Message, error) {
	e := &event.Event{
		ID:     event.NaturalID("", "holdfast", []string{string(data.Lot), fmt.Sprint(data.Version)}, data.Type(), 0),
		Source: "/holdfast", Time: data.AsOf.Time, Recorded: data.AsOf.Time, Causation: data.Cause, Plant: event.PlantID(plant), Data: data,
	}
	if err := e.Seal("holdfast"); err != nil {
		return nil, fmt.Errorf("status of lot %s: %w: %w", data.Lot, errUnfit, err)
	}
	m := e.Message()
	return &m, nil
}
