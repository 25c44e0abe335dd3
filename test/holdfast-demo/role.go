package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// A role is a hidden command: the part of one simulated system, played by this program as a process of its own. It ends
// when its standard input does, so that none outlives the demo, however that ends.

// readyLine is what a role writes to stderr when others may turn to it, as agent and cloud do.
type readyLine struct {
	Message string            `json:"message"` // ready
	Address string            `json:"address,omitempty"`
	Line    string            `json:"line,omitempty"`    // endpoint of a plant's press line
	Systems map[string]string `json:"systems,omitempty"` // addresses by id, of the business systems
}

func (l readyLine) write() error {
	l.Message = "ready"
	return json.NewEncoder(os.Stderr).Encode(l)
}

// role returns the command of a role. Play gets a context that ends with standard input.
func role(name, short string, play func(ctx context.Context, input io.Reader) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := play(c.Context(), os.Stdin); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		},
	}
}

func kafkaRole() *cobra.Command {
	var dir string
	c := role("kafka", "play the Kafka cluster", func(ctx context.Context, input io.Reader) error {
		log := telemetry.NewLogger(os.Stderr, telemetry.FormatJSON)
		kafka, err := broker.StartKafka(broker.KafkaConfig{Dir: dir, Log: log})
		if err != nil {
			return err
		}
		defer kafka.Close()
		if err := (readyLine{Address: kafka.Addrs()[0]}).write(); err != nil {
			return err
		}
		ctx, _ = readOrders(ctx, input)
		<-ctx.Done()
		return nil
	})
	c.Flags().StringVar(&dir, "dir", "", "where messages are kept")
	return c
}

// office plays the business systems, and the people who work in them.
type office struct {
	*stack.Systems
	seed uint64
	down map[string]bool // what was told to cut
}

func systemsRole() *cobra.Command {
	var dir string
	var o office
	c := role("systems", "play ERP, QMS, warehouse, notices and orders", func(ctx context.Context, input io.Reader) (err error) {
		cfg := stack.SystemsConfig{Plants: dialect.Sites()}
		cfg.SAP.AutoCreate, cfg.SAP.QM = true, []string{"*"}
		cfg.SAP.BookFile, cfg.QMS.BookFile = filepath.Join(dir, erpBook), filepath.Join(dir, "qms-book.jsonl")
		if o.Systems, err = stack.StartSystems(cfg); err != nil {
			return err
		}
		defer o.Close()
		if err := (readyLine{Systems: o.At()}).write(); err != nil {
			return err
		}
		o.down = map[string]bool{}
		ctx, orders := readOrders(ctx, input)
		return perform(ctx, orders, o.work, o.do)
	})
	c.Flags().StringVar(&dir, "dir", "", "where books are kept")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of what happens")
	return c
}

// do carries out an order.
func (o *office) do(got order) error {
	switch got.Do {
	case doERP:
		o.toggle(stack.ERP)
	case doQMS:
		o.toggle(stack.QMS)
	}
	return nil
}

// toggle cuts the links to all systems whose ids begin so, or mends them.
func (o *office) toggle(id string) {
	o.down[id] = !o.down[id]
	for name, link := range o.Links {
		switch {
		case !strings.HasPrefix(name, id):
		case o.down[id]:
			link.Cut()
		default:
			link.Heal()
		}
	}
}

// work plays what people do, scene by scene, until ctx ends.
func (o *office) work(ctx context.Context, begin order) error {
	staff := stack.Staff{Systems: o.Systems, Lift: stack.Desk{Base: begin.API, Token: begin.Token}.Lift}
	for n := 0; ; n++ {
		stream, start, err := scene(o.seed, begin.Start, n)
		if err != nil {
			return err
		}
		if err := stack.Until(ctx, start); err != nil {
			return err
		}
		if err := staff.Prepare(stream.Lots, stream.Acts); err != nil {
			return err
		}
		if err := staff.Play(ctx, start, stream.Acts); err != nil {
			return err
		}
	}
}
