package mqtt

import (
	"crypto/sha256"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// row is what the table knows of a packet id.
type row struct {
	id    uint16
	hash  [sha256.Size]byte // of topic and payload
	acked bool
	// message is the newest delivery of the packet: its handle is the one that the broker waits for.
	message paho.Message
}

// table recognises packets that come twice within one connection, in which a packet id means something: one that is in
// hand is not to be stored again, one that was acknowledged is to be acknowledged again. It is made anew for each
// connection, since a broker that was restarted gives the same ids to other messages.
type table struct {
	mu    sync.Mutex
	rows  map[uint16]*row // the newest row of each id
	order []*row          // oldest first
	limit int
}

func newTable(limit int) *table { return &table{rows: map[uint16]*row{}, limit: limit} }

// arrival is what the table says of a message.
type arrival int

const (
	fresh  arrival = iota // to be stored, then acknowledged
	inHand                // being stored: nothing to do
	again                 // stored and acknowledged before: to be acknowledged again
)

// arrive takes a message of QoS 1 or more in. An acknowledged row counts only for a message with the DUP flag: without
// it the broker has freed the id and given it to a new fact.
func (t *table) arrive(m paho.Message, sum [sha256.Size]byte) (arrival, *row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[m.MessageID()]; r != nil && r.hash == sum {
		switch {
		case !r.acked:
			r.message = m
			return inHand, r
		case m.Duplicate():
			return again, nil
		}
	}
	r := &row{id: m.MessageID(), hash: sum, message: m}
	t.rows[r.id] = r
	t.order = append(t.order, r)
	t.trim()
	return fresh, r
}

// trim forgets the oldest rows that are acknowledged or have been overtaken.
func (t *table) trim() {
	for len(t.order) > t.limit {
		oldest := t.order[0]
		if t.rows[oldest.id] == oldest {
			if !oldest.acked {
				return
			}
			delete(t.rows, oldest.id)
		}
		t.order[0] = nil
		t.order = t.order[1:]
	}
}

// acknowledge marks a row and returns the handle to acknowledge by.
func (t *table) acknowledge(r *row) paho.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.acked = true
	return r.message
}
