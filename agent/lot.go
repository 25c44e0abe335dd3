package agent

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// namesakes is how many lots of one number are named to a person who has to choose.
const namesakes = 10

// Lot implements [localapi.Agent].
func (o *operator) Lot(ctx context.Context, name string) (localapi.Lot, error) {
	key, err := o.resolve(name)
	if err != nil {
		return localapi.Lot{}, err
	}
	own, err := o.recorded(ctx)
	if err != nil {
		return localapi.Lot{}, err
	}
	return o.lot(key, name, own)
}

// Lots implements [localapi.Agent].
func (o *operator) Lots(ctx context.Context, after string) (localapi.Lots, error) {
	a := o.agent
	page := localapi.Lots{Format: localapi.Format, Plant: a.cfg.Plant, Agent: a.cfg.Agent, AsOf: a.now(), Lots: []localapi.Lot{}}
	keys, err := a.downlink.Lots(event.LotKey(after), localapi.MaxLots)
	if err != nil {
		return page, err
	}
	own, err := o.recorded(ctx)
	if err != nil {
		return page, err
	}
	for _, key := range keys {
		l, err := o.lot(key, string(key), own)
		if err != nil {
			return page, err
		}
		page.Lots = append(page.Lots, l)
	}
	if len(keys) == localapi.MaxLots {
		page.Next = string(keys[len(keys)-1])
	}
	return page, nil
}

// resolve returns the key of a lot that a person named; "" where no lot has the name.
func (o *operator) resolve(name string) (event.LotKey, error) {
	if key := event.LotKey(name); strings.HasPrefix(name, "lot:") {
		if _, _, _, err := key.Parts(); err != nil {
			return "", problem.New(problem.Usage, "%w", err)
		}
		return key, nil
	}
	keys, err := o.agent.downlink.Find(name, namesakes)
	switch {
	case err != nil:
		return "", err
	case len(keys) > 1:
		texts := make([]string, len(keys))
		for i, k := range keys {
			texts[i] = string(k)
		}
		return "", problem.New(problem.Usage, "several lots have the number %q: name one by its key: %s", name, strings.Join(texts, ", "))
	case len(keys) == 1:
		return keys[0], nil
	}
	return "", nil
}

// lot answers for one lot. Where its key is not known, name is its number.
func (o *operator) lot(key event.LotKey, name string, own []queue.Record) (localapi.Lot, error) {
	a := o.agent
	answer := downlink.Answer{Why: []downlink.Why{downlink.UnknownLot}}
	if key != "" {
		var err error
		if answer, err = a.downlink.Answer(key); err != nil {
			return localapi.Lot{}, err
		}
	}
	l := localapi.NewLot(answer, a.cfg.Offline.MaxAge, against(own, key, name))
	l.Format, l.Plant, l.Agent, l.AsOf = localapi.Format, a.cfg.Plant, a.cfg.Agent, a.now()
	if l.Lot == "" {
		l.Lot = name
	}
	return l, nil
}

// recorded returns the urgent records of this plant that the cloud has not taken in. The plant holds to them by itself,
// also where Kafka has them already: the lot status that the cloud gave does not know of them.
func (o *operator) recorded(ctx context.Context) (records []queue.Record, err error) {
	control, _ := o.agent.downlink.Control()
	err = o.agent.quality.EachUrgent(ctx, takenIn(o.agent.quality, control), func(r queue.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what the cloud has not taken in: %w", err)
	}
	return records, nil
}

// takenIn returns up to which seq the cloud has taken in lane quality of an epoch. It names each epoch until it has all
// of it; so one that it does not name is whole where it names a newer one, but for what is not sent.
func takenIn(quality *queue.Lane, control *event.ControlSet) func(epoch string) uint64 {
	covered, newest := map[string]uint64{}, -1
	epochs := quality.Epochs()
	if control != nil {
		for _, c := range control.Covered {
			if c.Lane == event.LaneQuality {
				covered[string(c.Epoch)] = uint64(c.Seq)
				newest = max(newest, slices.Index(epochs, string(c.Epoch)))
			}
		}
	}
	acked, unsent := quality.Acked(), map[string]bool{}
	for _, end := range quality.Ends() {
		unsent[end.Epoch] = true
	}
	return func(epoch string) uint64 {
		seq, named := covered[epoch]
		switch {
		case named:
			return seq
		case slices.Index(epochs, epoch) >= newest:
			return 0
		case unsent[epoch] && acked.Epoch == epoch:
			return acked.Seq
		case unsent[epoch]:
			return 0
		}
		return math.MaxUint64
	}
}

// against returns what those records say against moving a lot. Which lots a scope takes in only the cloud knows, so that
// a hold by scope stands against all until the cloud has it.
func against(own []queue.Record, key event.LotKey, number string) []localapi.LotReason {
	var all []localapi.LotReason
	for i := range own {
		r := &own[i]
		lot := event.LotKey(r.Key)
		_, _, last, err := lot.Parts()
		switch {
		case err != nil:
		case key != "" && lot != key, key == "" && last != number:
			continue
		}
		text := fmt.Sprintf("this plant recorded %s at %s, which the cloud has not taken in yet", typeOf(r), event.At(r.At))
		if err != nil {
			text += fmt.Sprintf("; it is about %s, which may take in this lot", r.Key)
		}
		all = append(all, localapi.LotReason{Code: localapi.ReasonLocal, Text: text})
	}
	return all
}

// superseded returns why the cloud sets this run's records aside, "" if it does not.
func (a *Agent) superseded() string {
	control, _ := a.downlink.Control()
	if control == nil {
		return ""
	}
	for _, d := range control.Epochs {
		if d.Epoch == a.epoch && d.Decision == event.EpochQuarantined {
			return d.Reason
		}
	}
	return ""
}
