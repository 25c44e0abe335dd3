package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// floor plays a plant: its broker, its machines and its MES, which say what the scenes make up; and a failed part when
// told to.
type floor struct {
	site   dialect.Site
	seed   uint64
	out    *plant.Publisher
	line   *opcua.Press // nil = it has none
	frozen bool
	failed int // on order
}

func plantRole() *cobra.Command {
	var dir, id string
	f := &floor{}
	c := role("plant", "play a plant: its broker, its machines and its MES", func(ctx context.Context, input io.Reader) error {
		i := slices.IndexFunc(dialect.Sites(), func(s dialect.Site) bool { return s.Plant == id })
		if i < 0 {
			return usageError{fmt.Errorf("there is no plant %q", id)}
		}
		f.site = dialect.Sites()[i]
		log := telemetry.NewLogger(os.Stderr, telemetry.FormatJSON)
		mqtt, err := broker.StartMQTT(broker.MQTTConfig{Dir: filepath.Join(dir, "mqtt"), Log: log})
		if err != nil {
			return err
		}
		defer mqtt.Close()
		if f.out, err = plant.Connect(mqtt.URL(), "demo-"+id); err != nil {
			return err
		}
		defer f.out.Close()
		ready := readyLine{Address: mqtt.URL()}
		if f.line, err = stack.StartLine(f.site); err != nil {
			return err
		}
		if f.line != nil {
			defer f.line.Close()
			ready.Line = f.line.URL()
		}
		if err := ready.write(); err != nil {
			return err
		}
		ctx, orders := readOrders(ctx, input)
		return perform(ctx, orders, f.work, f.do)
	})
	c.Flags().StringVar(&dir, "dir", "", "where messages are kept")
	c.Flags().StringVar(&id, "plant", "", "id of the plant")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of what happens")
	return c
}

// do carries out an order.
func (f *floor) do(got order) error {
	switch {
	case got.Do == doFail:
		return f.fail()
	case got.Do != doFreeze || f.line == nil:
	case f.frozen:
		f.line.Thaw()
		f.frozen = false
	default:
		f.line.Freeze()
		f.frozen = true
	}
	return nil
}

// work lets happen what is made up, scene by scene, until ctx ends.
func (f *floor) work(ctx context.Context, begin order) error {
	for n := 0; ; n++ {
		stream, start, err := scene(f.seed, begin.Start, n)
		if err != nil {
			return err
		}
		playing := []func() error{func() error { return stack.Play(ctx, f.out, f.site.Plant, start, stream.Messages) }}
		if f.line != nil {
			playing = append(playing, func() error { return stack.PlayLine(ctx, f.line, f.site.Plant, start, stream.Parts) })
		}
		if err := inParallel(playing...); err != nil {
			return err
		}
	}
}

// ordered is the first record of those that fail on order: the scenes come nowhere near it.
const ordered = 900_000_000

// fail makes a lot of one part, and that part fails a characteristic that safety depends on.
func (f *floor) fail() error {
	f.failed++
	at := dialect.Stamp(time.Now())
	number := fmt.Sprintf("F%s-%04d", f.site.Plant[1:], f.failed)
	of := func(n int) dialect.Of {
		return dialect.Of{Record: dialect.Record(ordered + 2*f.failed + n), Lot: number, Material: "MAT-100", At: at}
	}
	limits, _ := dialect.LimitsOf("torque")
	return errors.Join(
		f.say(dialect.Made{Of: of(0), Kilograms: "1", Order: strconv.Itoa(ordered + f.failed), Equipment: "press4"}),
		f.say(dialect.Measured{
			Of: of(1), Rev: 1, Inspection: dialect.InProcess(number), Characteristic: "torque", Sample: 1, Value: "61.20", Unit: limits.Unit,
			LSL: limits.LSL, USL: limits.USL, Safety: true, Equipment: "press4",
		}),
	)
}

func (f *floor) say(fact dialect.Fact) error {
	m, err := f.site.Say(fact)
	if err != nil {
		return err
	}
	return f.out.SendRaw(m.Topic, m.Payload)
}
