package agent

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAgent_Status(t *testing.T) {
	r := newRig(t)
	r.result("1", "61.2")
	r.result("2", "n/a")
	r.drained()
	r.until("the link is up", func() bool { return must(r.client.Status(t.Context()))(t).Uplink.Up })
	s := must(r.client.Status(t.Context()))(t)

	if s.Format != localapi.Format || s.Plant != "p1" || s.Agent != "gw1" || s.Epoch != string(r.agent.epoch) || s.Config != r.cfg.hash() {
		t.Errorf("head is %+v", s)
	}
	if s.UpSince.IsZero() || s.AsOf.Before(s.UpSince) {
		t.Errorf("up since %s as of %s", s.UpSince, s.AsOf)
	}
	// The epoch, one characteristic and one safety failure, one quarantine.
	quality := s.Lanes[0]
	if quality.Name != "quality" || quality.Received != 4 || quality.Sent != 4 || quality.Acked.Seq != 4 || quality.Quota == 0 || quality.Reserve == 0 {
		t.Errorf("lane quality is %+v", quality)
	}
	if len(s.Sources) != 2 || s.Sources[0].ID != "press" || s.Sources[0].State == source.Live || s.Sources[0].Problem == "" {
		t.Errorf("sources are %+v", s.Sources)
	}
	q := s.Quarantine
	if q.Count != 1 || len(q.Newest) != 1 || q.Newest[0].Code != string(problem.MappingFailed) || q.Newest[0].Item != "acme/p1/stamping/press4/result" {
		t.Errorf("quarantine is %+v", q)
	}
	if s.Arrival == nil || s.Mixed == nil {
		t.Error("empty lists are null in JSON")
	}
}

func TestInspect(t *testing.T) {
	r := newRig(t)
	r.result("1", "45.0")
	r.drained()
	if _, err := Inspect(t.Context(), r.cfg); problem.CodeOf(err) != problem.QueueLocked {
		t.Errorf("error of a running agent's queue is %v: want %s", err, problem.QueueLocked)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.cfg.Socket()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	q := must(Inspect(t.Context(), r.cfg))(t)
	if len(q.Lanes) != 2 || q.Lanes[0].Acked.Seq != 2 || q.Lanes[0].Depth != 0 || len(q.Lanes[0].Damages) != 0 {
		t.Errorf("queue is %+v", q)
	}
	cfg := r.cfg
	cfg.Data = "/no/such/folder"
	if _, err := Inspect(t.Context(), cfg); problem.CodeOf(err) != problem.ConfigFile {
		t.Errorf("error without a queue is %v: want %s", err, problem.ConfigFile)
	}
}
