package main

import (
	"fmt"
	"strings"
	"time"
)

// Keys of what can break. Those of a plant are for the chosen one.
const (
	keyFail   = 'f' // a part fails; nothing mends that
	keyWAN    = 'w'
	keyAgent  = 'k'
	keyFreeze = 'z'
	keyERP    = 'e'
	keyQMS    = 'm'
)

// broken names something that is broken: a plant's by its index, a system's by the index -1.
type broken struct {
	key   byte
	plant int
}

// since returns since when something is broken; zero = it is whole.
func (d *demo) since(b broken) *time.Time {
	switch b.key {
	case keyERP:
		return &d.view.ERPStopped
	case keyQMS:
		return &d.view.QMSStopped
	case keyWAN:
		return &d.view.Plants[b.plant].WANCut
	case keyAgent:
		return &d.view.Plants[b.plant].Killed
	case keyFreeze:
		return &d.view.Plants[b.plant].Frozen
	}
	return nil
}

// known tells whether there is such a thing to break.
func (d *demo) known(b broken) bool {
	switch b.key {
	case keyERP, keyQMS:
		return b.plant == -1
	case keyFail, keyWAN, keyAgent:
		return b.plant >= 0 && b.plant < len(d.plants)
	case keyFreeze:
		return b.plant >= 0 && b.plant < len(d.plants) && len(d.plants[b.plant].Lines) > 0
	}
	return false
}

// turn breaks what is whole and mends what is broken, and says what that was. What is mended by hand is not mended again.
func (d *demo) turn(b broken, now time.Time) (said string, err error) {
	delete(d.until, b)
	switch b.key {
	case keyERP:
		said = toggled(d.since(b), now, "the ERPs are stopped: what they should know waits in the cloud", "the ERPs run again")
		return said, order{Do: doERP}.write(d.office)
	case keyQMS:
		said = toggled(d.since(b), now, "the QMS is stopped: what is decided there waits", "the QMS runs again")
		return said, order{Do: doQMS}.write(d.office)
	}
	p := d.plants[b.plant]
	switch b.key {
	case keyFail:
		said, err = "a part of a lot of its own fails at press 4", order{Do: doFail}.write(p.orders)
	case keyWAN:
		said = toggled(d.since(b), now, "the WAN is cut: the agent keeps what happens on its disk", "the WAN is whole again")
		if d.since(b).IsZero() {
			p.wan.Heal()
		} else {
			p.wan.Cut()
		}
	case keyAgent:
		said = toggled(d.since(b), now, "the agent is killed: the broker keeps what it had not acknowledged", "the agent is started again: it goes on where its disk says")
		if d.since(b).IsZero() {
			err = d.startAgent(p)
		} else {
			p.killAgent()
		}
	case keyFreeze:
		if !d.known(b) {
			return "plant " + p.Plant + " has no press line that speaks OPC UA", nil
		}
		said = toggled(d.since(b), now, "its press line is frozen: what is not seen becomes a gap, and its lots wait", "its press line goes on")
		err = order{Do: doFreeze}.write(p.orders)
	}
	return "plant " + p.Plant + ": " + said, err
}

// breakFor breaks something for a time. What is broken already stays so for that time from now on.
func (d *demo) breakFor(b broken, span time.Duration, now time.Time) (said string, err error) {
	since := d.since(b)
	if since == nil {
		return d.turn(b, now)
	}
	if since.IsZero() {
		said, err = d.turn(b, now)
	} else {
		said = "it stays so"
	}
	d.until[b] = now.Add(span)
	return fmt.Sprintf("%s; it is mended after %s", said, short(span)), err
}

// mendDue mends what was broken for a time that is over.
func (d *demo) mendDue(now time.Time) error {
	for b, until := range d.until {
		if now.Before(until) {
			continue
		}
		delete(d.until, b)
		if d.since(b).IsZero() {
			continue
		}
		said, err := d.turn(b, now)
		if err != nil {
			return err
		}
		d.view.Said = now.Local().Format("15:04:05") + " " + said
	}
	return nil
}

// ofKey returns what a key is for, false if for nothing.
func (d *demo) ofKey(key byte) (broken, bool) {
	switch {
	case key == keyERP || key == keyQMS:
		return broken{key, -1}, true
	case strings.IndexByte(string([]byte{keyFail, keyWAN, keyAgent, keyFreeze}), key) >= 0:
		return broken{key, d.view.Chosen}, true
	}
	return broken{}, false
}

// toggled notes since when something is off, or that it is on again, and returns the text for that.
func toggled(since *time.Time, now time.Time, off, on string) string {
	if since.IsZero() {
		*since = now
		return off
	}
	*since = time.Time{}
	return on
}
