package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// measured is one run of one competitor.
type measured struct {
	Competitor  string  `json:"competitor"`
	Messages    int     `json:"messages"`
	Rate        float64 `json:"events_per_second"`
	Stored      float64 `json:"stored_per_second,omitempty"` // W2: onto the disk while Kafka is away
	CPU         float64 `json:"cpu_seconds_per_100000"`
	PeakBytes   int64   `json:"peak_bytes"`
	RecordBytes float64 `json:"record_bytes"` // key, headers and value
	WireBytes   float64 `json:"wire_bytes"`   // compressed, as the broker keeps it
	DiskBytes   float64 `json:"disk_bytes"`
	Lost        int     `json:"lost"`
	Duplicates  int     `json:"duplicates"`
	Disorder    int     `json:"out_of_order"`

	verdict *verdict
}

// calibrate lets the agent carry a few messages, so that the shape of its records is known.
func (r *rig) calibrate(ctx context.Context) error {
	if r.shape != "" {
		return nil
	}
	_, err := r.compete(ctx, holdfast(), 10*warm, false)
	if err == nil && r.shape == "" {
		return fmt.Errorf("no event of a message was found in Kafka")
	}
	return err
}

// rounds lets competitors take turns, in another order each round.
func (r *rig) rounds(ctx context.Context, part string, away bool) error {
	if err := r.calibrate(ctx); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	all := []*competitor{holdfast(), bareRaw(), barePadded()}
	for round := range r.options.rounds {
		for i := range all {
			c := all[(i+round)%len(all)]
			m, err := r.compete(ctx, c, r.options.messages, away)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, c.name, err)
			}
			say(os.Stderr, "%s round %d %-13s %7.0f/s  %.2f CPU s per 100,000  lost %d  out of order %d", part, round+1, c.name, m.Rate, m.CPU, m.Lost, m.Disorder)
			if err := r.report.add(part, round+1, m); err != nil {
				return err
			}
			if m.Lost > 0 || m.Disorder > 0 {
				return fmt.Errorf("round %d, %s: %d lost, %d out of order: want none", round+1, c.name, m.Lost, m.Disorder)
			}
		}
	}
	return nil
}

// fullSpeed is W1: what the broker has goes through the disk to Kafka as fast as it can.
func (r *rig) fullSpeed(ctx context.Context) error { return r.rounds(ctx, "W1", false) }

// outage is W2: all messages come while Kafka is away, then it is back.
func (r *rig) outage(ctx context.Context) error { return r.rounds(ctx, "W2", true) }

// median of what field says of the runs of one competitor in one part; 0 where there is none.
func median(runs []outcome, part, competitor string, field func(*measured) float64) float64 {
	var all []float64
	for i := range runs {
		if runs[i].Part == part && runs[i].Competitor == competitor {
			all = append(all, field(runs[i].measured))
		}
	}
	return middle(all)
}

// middle returns the median; 0 of none.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
