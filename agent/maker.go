package agent

import (
	"context"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
)

// maker makes sources that go on where the queue knows them to be. What it knows is of the instant at which the maker was
// made, so that a source that is still read has to be stopped before.
type maker struct {
	agent   *Agent
	cursors map[string][]byte
	open    map[string]*openGap // gaps that go on, by source
}

func (a *Agent) newMaker() (*maker, error) {
	m := &maker{agent: a, cursors: a.quality.Cursors()}
	var err error
	m.open, err = openGaps(m.cursors)
	return m, err
}

// source makes a source of the configured kind.
func (m *maker) source(cfg *Source) (source.Source, error) {
	a := m.agent
	cursor := m.cursors[cfg.ID]
	var open *source.Gap
	if g := m.open[cfg.ID]; g != nil {
		open = &g.Gap
	}
	if cfg.OPCUA != nil {
		return opcua.New(*cfg.OPCUA, opcua.Deps{
			ID: cfg.ID, System: cfg.System, Equipment: cfg.Equipment, Plant: a.cfg.Plant, Agent: a.cfg.Agent,
			PKI: a.cfg.PKI(), Cursor: cursor, Open: open, Servers: a.servers, Metrics: a.values, Log: a.log, Now: a.now, Clock: a.clock.state,
			Audit: func(ctx context.Context, act, subject, reason string, detail map[string]string) error {
				return a.pipeline.act(ctx, act, "source "+cfg.ID, subject, reason, detail)
			},
		})
	}
	return mqtt.New(*cfg.MQTT, mqtt.Deps{
		ID: cfg.ID, System: cfg.System, Equipment: cfg.Equipment, Plant: a.cfg.Plant, Agent: a.cfg.Agent,
		Cursor: cursor, Open: open, Log: a.log, Now: a.now, Clock: a.clock.state,
	})
}
