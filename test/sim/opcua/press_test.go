package opcua

import (
	"context"
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the library logs there what it does not return
	os.Exit(m.Run())
}

func startPress(t *testing.T, cfg Config) *Press {
	t.Helper()
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func connect(t *testing.T, p *Press) *opcua.Client {
	t.Helper()
	c, err := opcua.NewClient(p.URL(), opcua.AutoReconnect(false), opcua.SecurityModeString("None"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// read returns a variable's value.
func read(ctx context.Context, t *testing.T, c *opcua.Client, p *Press, name string) any {
	t.Helper()
	index, err := c.FindNamespace(ctx, p.cfg.Namespace)
	if err != nil {
		return err
	}
	v, err := c.Node(ua.NewStringNodeID(index, p.cfg.Name+"."+name)).Value(ctx)
	if err != nil {
		return err
	}
	return v.Value()
}

func TestPress_Part(t *testing.T) {
	p := startPress(t, Config{Seq: 41, Shift: 2})
	c := connect(t, p)
	if n := p.Part("L-1", 61.2, 35, 55); n != 42 || p.Seq() != 42 {
		t.Errorf("part %d, newest %d", n, p.Seq())
	}
	for name, want := range map[string]any{"Torque": 61.2, "TorqueLo": 35.0, "TorqueHi": 55.0, "LotId": "L-1", "PartId": "P0000042", "CycleSeq": uint32(42)} {
		if got := read(t.Context(), t, c, p, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestPress_Freeze(t *testing.T) {
	p := startPress(t, Config{})
	c := connect(t, p)
	p.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, failed := read(ctx, t, c, p, "LotId").(error); !failed {
		t.Errorf("a frozen line answers %v", got)
	}
	p.Thaw()
	if got, failed := read(t.Context(), t, c, p, "LotId").(error); failed {
		t.Errorf("a thawed line does not answer: %v", got)
	}
}

// TestPress_Close lets another line take the address, with the same certificate.
func TestPress_Close(t *testing.T) {
	p := startPress(t, Config{Beat: time.Millisecond})
	connect(t, p)
	p.Part("L-1")
	p.Close()
	again := startPress(t, Config{Addr: p.Addr(), Identity: p.Identity(), Seq: p.Seq()})
	if got := read(t.Context(), t, connect(t, again), again, "CycleSeq"); got != uint32(1) {
		t.Errorf("newest part %v", got)
	}
}

func TestStart_Taken(t *testing.T) {
	p := startPress(t, Config{})
	if other, err := Start(Config{Addr: p.Addr(), Identity: p.Identity()}); err == nil {
		other.Close()
		t.Error("two lines have one address")
	}
}
