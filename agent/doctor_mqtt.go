package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// probeLimit bounds the probe of one broker: some send again only after half a minute what was not acknowledged.
	probeLimit = 90 * time.Second
	// fewInFlight is a tenth of what a broker set up for this product allows.
	fewInFlight = 100
)

// mqtt probes each broker once, and then asks for the topics of its other sources, too.
func (e *examiner) mqtt(ctx context.Context) {
	probed := map[string]string{}
	for i := range e.cfg.Sources {
		s := &e.cfg.Sources[i]
		if s.MQTT == nil {
			continue
		}
		broker := s.MQTT.Broker + " as " + s.MQTT.User
		first, again := probed[broker]
		if !again {
			probed[broker] = s.ID
		}
		e.broker(ctx, s, first)
	}
}

// broker probes the broker of one source; what it does is reported with the first of its sources alone.
func (e *examiner) broker(ctx context.Context, s *Source, first string) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	look := mqtt.Probe
	if first != "" {
		look = mqtt.ProbeFilters
	}
	p, err := look(ctx, *s.MQTT, mqtt.Deps{ID: s.ID, Plant: e.cfg.Plant, Agent: e.cfg.Agent, Log: zerolog.Nop()})
	if err != nil {
		e.problem(StateFail, s.ID, err)
		return
	}
	switch {
	case len(p.Refused) > 0:
		e.find(StateFail, s.ID, "give the agent's user the right to read these topics", problem.SourceRefused, "broker refuses the subscription to %s", strings.Join(p.Refused, ", "))
	case len(p.Weak) > 0:
		e.find(StateFail, s.ID, "let the broker grant QoS 1", problem.SourceRefused, "broker grants only QoS 0 to %s: what comes while the agent is away is lost", strings.Join(p.Weak, ", "))
	default:
		// Mosquitto grants what its list of rights then holds back, so that this is all that a grant proves.
		e.ok(s.ID, "broker %s grants the subscription to what is configured; that it delivers, RECEIVED in holdfast-agent status shows", s.MQTT.Broker)
	}
	if first == "" {
		e.keeps(s, &p)
	}
}

// keeps judges how a broker treats what it acknowledges.
func (e *examiner) keeps(s *Source, p *mqtt.Probed) {
	if p.Kept < p.Sent {
		e.find(StateFail, s.ID, "in Mosquitto: max_queued_messages 0, with max_queued_bytes as the budget", problem.BrokerLoses,
			"of %d messages for a client that was away the broker acknowledged all and kept %d", p.Sent, p.Kept)
	} else {
		e.ok(s.ID, "broker kept all of %d messages for a client that was away", p.Sent)
	}
	inFlight := fmt.Sprint(p.InFlight)
	if p.InFlight >= p.Sent {
		inFlight += " or more"
	}
	if p.InFlight < fewInFlight {
		e.find(StateWarn, s.ID, problem.Explain(problem.BrokerSlow).Next, problem.BrokerSlow, "broker sends %s messages without an acknowledgement", inFlight)
	} else {
		e.ok(s.ID, "broker sends %s messages without an acknowledgement", inFlight)
	}
	if p.Open {
		e.find(StateWarn, s.ID, problem.Explain(problem.BrokerOpen).Next, problem.BrokerOpen, "broker lets our user write where nothing of it belongs")
	} else {
		e.ok(s.ID, "what our user writes to a topic that is not its own does not come back")
	}
	if p.Will {
		e.ok(s.ID, "broker publishes the will of a client whose connection dies")
	} else {
		e.find(StateWarn, s.ID, problem.Explain(problem.BrokerWill).Next, problem.BrokerWill, "broker did not publish the will of a client whose connection died")
	}
	switch p.Large {
	case mqtt.Lost:
		e.find(StateFail, s.ID, fmt.Sprintf("in Mosquitto: max_packet_size %d, and no message_size_limit", s.MQTT.MaxPayload), problem.BrokerLoses,
			"broker acknowledged a message above max_payload (%s) and dropped it", s.MQTT.MaxPayload)
	case mqtt.Delivered:
		e.ok(s.ID, "broker delivers a message above max_payload (%s), of which the agent keeps head and hash", s.MQTT.MaxPayload)
	default:
		e.ok(s.ID, "broker refuses a message above max_payload (%s), and its publisher knows it", s.MQTT.MaxPayload)
	}
	switch {
	case p.Dropped > 0:
		e.find(StateWarn, s.ID, "find out for whom: each may be a result that no one has seen", problem.BrokerLoses, "broker says that it has dropped %d messages since its start", p.Dropped)
	case p.Dropped == 0:
		e.ok(s.ID, "broker has dropped no message since its start")
	}
}
