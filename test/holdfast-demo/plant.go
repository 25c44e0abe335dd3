package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/test/sim/gen"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// orderFail is the line on standard input of the plant that makes a part fail.
const orderFail = "fail"

// chunk is how many lots are made up at a time.
const chunk = 100

// press plays the press and the MES: the stream of the generator at its own pace, and a failed part when told to.
type press struct {
	out    *plant.Publisher
	seed   uint64
	failed int // on order
}

func plantRole() *cobra.Command {
	var url string
	p := &press{}
	c := role("plant", "play the plant: a press and its MES", func(ctx context.Context, input io.Reader) (err error) {
		if p.out, err = plant.Connect(url, "demo-plant"); err != nil {
			return err
		}
		defer p.out.Close()
		if err := (readyLine{}).write(); err != nil {
			return err
		}
		return p.play(ctx, input)
	})
	c.Flags().StringVar(&url, "mqtt", "", "URL of the broker")
	c.Flags().Uint64Var(&p.seed, "seed", 1, "seed of the generator")
	return c
}

// play ends when the input does.
func (p *press) play(ctx context.Context, input io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := make(chan string)
	go func() { // ends with the input, and so before the process
		defer cancel()
		for lines := bufio.NewScanner(input); lines.Scan(); {
			select {
			case orders <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for first := 0; ; first += chunk {
		// One lot takes six seconds. Roughly one in five has something wrong with it.
		plan := gen.Plan{
			Start: time.Now(), Lots: chunk, First: first, Parts: 20, Every: 300 * time.Millisecond, Signals: 3,
			Drifting: 60, Unsafe: 60, Failing: 40, Corrected: 20, Held: 40, Lifted: 500, Duplicated: 20, Late: 10, Swapped: 20,
		}
		stream, err := gen.Generate(p.seed+uint64(first), plan)
		if err != nil {
			return err
		}
		if err := p.send(ctx, plan.Start, stream.Messages, orders); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
}

// send publishes each message at its time, and carries out orders in between.
func (p *press) send(ctx context.Context, start time.Time, messages []gen.Message, orders <-chan string) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, m := range messages {
		timer.Reset(time.Until(start.Add(m.Offset)))
		for due := false; !due; {
			select {
			case <-timer.C:
				due = true
			case <-orders:
				if err := p.fail(); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := p.out.SendRaw(m.Topic, m.Payload); err != nil {
			return err
		}
	}
	return nil
}

// fail makes a lot of one part, and that part fails a characteristic that safety depends on.
func (p *press) fail() error {
	p.failed++
	number, now := fmt.Sprintf("L-9%04d", p.failed), plant.Stamp(time.Now())
	lot := plant.Lot{Record: "LOT-" + number, Lot: number, Material: "MAT-100", Qty: "1", Unit: "kg", Order: "4700", Equipment: "press4", At: now}
	result := plant.Result{
		Record: "R-" + number, Rev: 1, Lot: number, Material: "MAT-100", Inspection: "INS-" + number, Characteristic: "torque",
		Sample: 1, Value: "61.20", Unit: "N.m", LSL: "40.00", USL: "50.00", Safety: true, At: now,
	}
	return errors.Join(p.out.Send(plant.TopicLot, lot), p.out.Send(plant.TopicResult, result))
}
