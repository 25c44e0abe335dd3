package opcua

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// secured is recordOf with certificates instead of an exception.
func secured(p *sim.Press) Config {
	cfg := recordOf(p)
	cfg.Security, cfg.Exception = DefaultSecurity, nil
	return cfg
}

func TestSource_Secured(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{Security: []string{"None", DefaultSecurity}, User: true})
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret-of-the-press\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := secured(p)
	cfg.User, cfg.PasswordFile = "agent", config.SecretFile(password)
	k, a := &sink{}, &audit{}
	var text bytes.Buffer
	s, _ := start(t, k, cfg, func(d *Deps, _ *Source) {
		if d != nil {
			d.PKI, d.Audit, d.Log = dir, a.record, zerolog.New(zerolog.SyncWriter(&text))
		}
	})
	sourcetest.Until(t, "the server is refused", func() bool { return s.Status().State == source.Refused })
	thumb := thumbprintOf(p.Identity().DER)
	if st := s.Status(); !strings.Contains(st.Problem, thumb) || !strings.Contains(st.Next, "holdfast-agent cert trust") {
		t.Errorf("problem %q, next %q", st.Problem, st.Next)
	}
	rejected := filepath.Join(dir, "rejected", thumb+".der")
	sourcetest.Until(t, "the certificate is there for a person", func() bool { _, err := os.Stat(rejected); return err == nil })
	if err := os.Rename(rejected, filepath.Join(dir, "trusted", "press.der")); err != nil {
		t.Fatal(err)
	}
	sourcetest.Until(t, "the source is live", func() bool { return s.Status().State == source.Live })
	k.untilSeq(t, p.Part("L-1"))
	if got := a.acts(); !slices.Equal(got, []string{"opcua.certificate_refused", "opcua.certificate_accepted"}) {
		t.Errorf("audit %v", got)
	}
	if strings.Contains(text.String(), "secret-of-the-press") {
		t.Error("the password stands in the log")
	}
}

func TestSource_Refused(t *testing.T) {
	t.Parallel()
	open := startPress(t, sim.Config{User: true})
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
		act    string
	}{
		"ErrOnlyNoneOffered": {func(c *Config) { c.Security, c.Exception = DefaultSecurity, nil }, "no endpoint with Basic256Sha256/SignAndEncrypt, but None", "opcua.endpoint_refused"},
		"ErrExceptionEnded":  {func(c *Config) { c.Exception.Until = "2020-01-01" }, "exception of test ended on 2020-01-01", "opcua.exception_ended"},
		"ErrNoUserNames":     {func(c *Config) { c.User, c.PasswordFile = "agent", config.SecretFile(password) }, "takes no user name", "opcua.exception_used"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := recordOf(open)
			c.change(&cfg)
			a := &audit{}
			s, _ := start(t, &sink{}, cfg, func(d *Deps, _ *Source) {
				if d != nil {
					d.Audit = a.record
				}
			})
			sourcetest.Until(t, "the source is refused", func() bool { return s.Status().State == source.Refused })
			if st := s.Status(); !strings.Contains(st.Problem, c.want) {
				t.Errorf("problem %q, want %q", st.Problem, c.want)
			}
			if got := a.acts(); len(got) == 0 || got[0] != c.act {
				t.Errorf("audit %v, want %s", got, c.act)
			}
		})
	}
}

func TestSource_NamespaceShifted(t *testing.T) {
	t.Parallel()
	p, k, s := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	p.Close()
	sourcetest.Until(t, "the loss is seen", func() bool { return s.Status().State != source.Live })
	p = startPress(t, sim.Config{Addr: p.Addr(), Identity: p.Identity(), Seq: p.Seq(), Shift: 3})
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	all := k.All()
	if a, b := all[0].Ref, all[len(all)-1].Ref; a != b {
		t.Errorf("node %s was %s", b, a)
	}
}

func TestSource_NamespaceUnknown(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	cfg := recordOf(p)
	cfg.Items[0].Node = "nsu=urn:example:plant:pressline2;s=PressLine1.CycleRecord"
	s, _ := start(t, &sink{}, cfg, nil)
	sourcetest.Until(t, "the source is refused", func() bool { return s.Status().State == source.Refused })
	if st := s.Status(); !strings.Contains(st.Problem, `did you mean "urn:example:plant:pressline1"?`) || st.Next == "" {
		t.Errorf("problem %q, next %q", st.Problem, st.Next)
	}
}

// TestSource_NoHistoryService goes on without history at a server that refuses the whole service, which ends the
// library's connection.
func TestSource_NoHistoryService(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.History = &History{}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Reset()
	sourcetest.Until(t, "the server is known to have none", func() bool {
		return slices.ContainsFunc(s.Status().Facts, func(f string) bool { return strings.Contains(f, "refuses to read history") })
	})
	sourcetest.Live(t, s)
	lives := s.Status().Reconnects
	k.untilSeq(t, p.Part("L-1"))
	k.untilSeq(t, p.Part("L-1"))
	if again := s.Status().Reconnects; again != lives {
		t.Errorf("%d more lives", again-lives)
	}
}
