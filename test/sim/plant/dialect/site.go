package dialect

import (
	"encoding/json"
	"fmt"
	"time"
	_ "time/tzdata" // plants' time zones, where the host knows none

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Site is one plant with its way of saying things.
type Site struct {
	Plant  string   // id
	Zone   string   // IANA name
	System string   // its MES, as it enters event ids
	Scope  string   // first part of its lot keys: empty where the ERP numbers batches per material
	Lines  []string // presses that report over OPC UA
	zone   *time.Location
	say    func(*voice, Fact) (topic string, payload any)
	topics func(plant string) Topics
}

// Presses are the machines of every plant, Lab the place where finished lots are inspected.
const Lab = "lab1"

// Presses returns the ids of a plant's presses.
func Presses() []string { return []string{"press1", "press2", "press3", "press4"} }

// Sites returns the five plants, p1 to p5. The last one numbers its lots for itself alone.
func Sites() []Site {
	sites := []Site{
		{Plant: "p1", Zone: "Europe/London", System: "mes1", say: sayFlat, topics: flatTopics},
		{Plant: "p2", Zone: "Europe/Berlin", System: "mes2", Lines: []string{"line1"}, say: sayNested, topics: nestedTopics},
		{Plant: "p3", Zone: "America/Chicago", System: "mes3", say: sayCoded, topics: codedTopics},
		{Plant: "p4", Zone: "Asia/Tokyo", System: "mes4", Lines: []string{"line1"}, say: sayRows, topics: rowsTopics},
		{Plant: "p5", Zone: "America/Sao_Paulo", System: "mes5", Scope: "p5", say: saySplit, topics: splitTopics},
	}
	for i := range sites {
		zone, err := time.LoadLocation(sites[i].Zone)
		if err != nil {
			panic(err) // the zones are named above, and their rules are built in
		}
		sites[i].zone = zone
	}
	return sites
}

// Message is what a plant's system publishes.
type Message struct {
	Topic   string
	Payload []byte
}

// Say returns the message about a fact.
func (s *Site) Say(f Fact) (Message, error) {
	g, garbled := f.(Garbled)
	if garbled { // what is left of a reading whose message broke off
		f = Measured{Of: Of{Record: record(int(g.At.UnixMilli())), Lot: "L", Material: "M", At: g.At}, Rev: 1, Value: "0.00", LSL: "0.00", USL: "0.00", Equipment: g.Equipment}
	}
	topic, payload := s.say(&voice{plant: s.Plant, zone: s.zone}, f)
	if topic == "" {
		return Message{}, fmt.Errorf("plant %s has no words for a %T", s.Plant, f)
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return Message{}, fmt.Errorf("plant %s: %w", s.Plant, err)
	}
	if garbled {
		text = text[:len(text)/3]
	}
	return Message{topic, text}, nil
}

// LotKey returns the key of a lot of the plant.
func (s *Site) LotKey(material, lot string) (event.LotKey, error) {
	return event.NewLotKey(s.Scope, material, lot)
}

// Object returns the id of an object that the plant's MES knows.
func (s *Site) Object(kind, native string) event.ObjectID {
	id, err := event.NewObjectID(kind, s.System, native)
	if err != nil {
		panic(err) // facts are made up by us: their ids are plain
	}
	return id
}

// record writes the id of a record.
func record(n int) string { return fmt.Sprintf("%018d", n) }

// Record returns the id of the n-th record of a plant's systems.
func Record(n int) string { return record(n) }
