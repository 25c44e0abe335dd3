package event

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// AgentStatus is how an agent says that it stands. It travels with a head, for people to look at: nothing is decided by
// it, and a head without one is as good.
type AgentStatus struct {
	Version         Name             `json:"version"`                   // of the program
	Started         Time             `json:"started"`                   // of this run
	LinkSince       Time             `json:"link_since"`                // since when the link to Kafka stands
	Backlog         []LaneBacklog    `json:"backlog"`                   // by lane
	Urgent          int64            `json:"urgent"`                    // unsent urgent records: holds that the cloud does not know
	Clock           HostClock        `json:"clock"`                     // of the gateway
	CertificatesEnd Time             `json:"certificates_end,omitzero"` // of the first certificate in use that ends; absent = none is in use
	Sources         []SourceStanding `json:"sources"`                   // those that are not live first
	Omitted         int64            `json:"sources_omitted,omitempty"` // for lack of room
}

// LaneBacklog is what a lane has not sent. Drain and full are seconds at the rates of the last 15 minutes; absent where
// nothing is to be sent, or nothing flows.
type LaneBacklog struct {
	Lane   Lane  `json:"lane"`
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`           // that they take on disk, about
	Oldest Time  `json:"oldest,omitzero"` // when the oldest of them became durable; absent = there is none
	Drain  int64 `json:"drain_seconds,omitempty"`
	Full   int64 `json:"full_seconds,omitempty"`
}

// HostClock is what a gateway says about its clock.
type HostClock struct {
	Synchronised bool    `json:"synchronised"`     // a time service keeps it
	Offset       Decimal `json:"offset,omitempty"` // seconds that the time service has still to correct; absent = it does not tell
}

// SourceStanding is how one source stands.
type SourceStanding struct {
	ID       Name  `json:"id"`
	State    Name  `json:"state"`
	Since    Time  `json:"since"`               // of the state
	Last     Time  `json:"last,omitzero"`       // when it read something last; absent = never
	Problem  Name  `json:"problem,omitempty"`   // E-code; absent = none
	Items    int64 `json:"items,omitempty"`     // single items that it is to read; absent = it has none
	Bad      int64 `json:"bad,omitempty"`       // those of them whose newest value is not good
	OpenGaps int64 `json:"open_gaps,omitempty"` // recorded and not explained yet
}

const (
	// maxStandings bounds the sources of a status.
	maxStandings = 50
	// maxStatus bounds the status that an agent states, in bytes, so that a head stays below 4 KiB.
	maxStatus = 3 << 10
)

// Fit leaves out sources from the end, and counts them, until the status has its place in a head.
func (s *AgentStatus) Fit() {
	for len(s.Sources) > 0 && (len(s.Sources) > maxStandings || len(s.encode()) > maxStatus) {
		s.Sources = s.Sources[:len(s.Sources)-1]
		s.Omitted++
	}
}

var fillStatus = compile(reflect.TypeFor[AgentStatus]())

// Check tells whether readers would take the status. One that they refuse is better left out: it would take the head with
// it, and with that an answer for which a release may wait.
func (s *AgentStatus) Check() error {
	tree, err := ParseJSON(s.encode())
	if err != nil {
		return err
	}
	return fillStatus(tree, reflect.ValueOf(new(AgentStatus)).Elem())
}

func (s AgentStatus) check() error {
	if len(s.Sources) > maxStandings {
		return fmt.Errorf("names %d sources: want at most %d", len(s.Sources), maxStandings)
	}
	return nil
}

func (s *AgentStatus) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("event: " + err.Error()) // impossible: texts, numbers and times alone
	}
	return b
}
