package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// order is a line of JSON on the standard input of a role: what it is told while it runs.
type order struct {
	Do    string    `json:"do"`
	Start time.Time `json:"start,omitzero"` // of begin: when the show began
	API   string    `json:"api,omitempty"`  // of begin: base of the cloud's API
	Token string    `json:"token,omitempty"`
}

// What a role is told.
const (
	doBegin  = "begin"  // begin to play
	doFail   = "fail"   // let a part fail
	doFreeze = "freeze" // freeze the press line, or thaw it
	doERP    = "erp"    // cut the links to the ERPs, or mend them
	doQMS    = "qms"    // the same for the QMS
)

func (o order) write(to io.Writer) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := to.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("tell a role to %s: %w", o.Do, err)
	}
	return nil
}

// readOrders returns the orders on an input, and a context that ends with it.
func readOrders(ctx context.Context, input io.Reader) (context.Context, <-chan order) {
	ctx, cancel := context.WithCancel(ctx)
	orders := make(chan order)
	go func() { // ends with the input, and so before the process
		defer cancel()
		for lines := bufio.NewScanner(input); lines.Scan(); {
			var o order
			if json.Unmarshal(lines.Bytes(), &o) != nil {
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, orders
}

// perform carries out orders until ctx ends or something fails. Begin works on until its context ends, which happens
// before perform returns.
func perform(ctx context.Context, orders <-chan order, begin func(context.Context, order) error, other func(order) error) error {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	for {
		select {
		case o := <-orders:
			if o.Do == doBegin {
				working.Go(func() { failed <- begin(ctx, o) })
				continue
			}
			if err := other(o); err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}
