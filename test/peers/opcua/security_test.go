//go:build unix

package opcua

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
)

// TestPeer_Policies reads parts by each policy and mode that may be configured.
func TestPeer_Policies(t *testing.T) {
	for _, security := range []string{"Basic256Sha256/Sign", "Aes256_Sha256_RsaPss/SignAndEncrypt", "Aes256_Sha256_RsaPss/Sign"} {
		t.Run(strings.ReplaceAll(security, "/", "_"), func(t *testing.T) {
			r := newRig(t, func(c *opcua.Config) { c.Security = security })
			if facts := r.src.Status().Facts; len(facts) == 0 || facts[0] != "security "+security {
				t.Errorf("facts %q", facts)
			}
		})
	}
}

func (r *rig) refused(text ...string) {
	r.t.Helper()
	r.until(patient, "the source is refused", func() bool { return r.state() == source.Refused })
	st := r.src.Status()
	for _, want := range text {
		if !strings.Contains(st.Problem, want) || st.Next == "" {
			r.t.Errorf("problem %q, next %q, want %q", st.Problem, st.Next, want)
		}
	}
}

// TestPeer_PolicyNotOffered takes nothing less than what is configured.
func TestPeer_PolicyNotOffered(t *testing.T) {
	r := &rig{press: startPress(t)}
	r.read1(func(c *opcua.Config) { c.Security = "Aes128_Sha256_RsaOaep/SignAndEncrypt" })
	r.refused("no endpoint with Aes128_Sha256_RsaOaep/SignAndEncrypt, but ", "E-4104")
}

func TestPeer_WrongPassword(t *testing.T) {
	r := &rig{press: startPress(t)}
	r.read1(func(c *opcua.Config) { c.PasswordFile = r.password("guessed") })
	r.refused(`log in to server`, `as "holdfast"`, "refuses user or password", "E-4001")
	if strings.Contains(r.src.Status().Problem, "guessed") {
		t.Error("the problem shows the password")
	}
}

// TestPeer_ClientRejected names the certificate that a person at the server has to move.
func TestPeer_ClientRejected(t *testing.T) {
	r := &rig{press: startPress(t)}
	r.kill()
	r.set.Accept = false
	r.start()
	r.read1(nil)
	r.until(patient, "the server rejects us", func() bool { return strings.Contains(r.src.Status().Problem, "does not trust our certificate ") })
	r.refused("E-4103")
	rejected, err := filepath.Glob(filepath.Join(r.set.PKI, "rejected", "*"))
	if err != nil || len(rejected) == 0 {
		t.Fatalf("server has rejected %v, %v", rejected, err)
	}
	for _, file := range rejected {
		if err := os.Rename(file, filepath.Join(r.set.PKI, "trusted", "certs", filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
	}
	r.until(patient, "parts", func() bool { return r.sink.newest(count) > 0 && r.state() == source.Live })
}

// TestPeer_ByName needs a name where the server wants one.
func TestPeer_ByName(t *testing.T) {
	r := &rig{press: startPress(t)}
	r.read1(func(c *opcua.Config) { c.User, c.PasswordFile = "", "" })
	r.refused("takes no one without a name", "E-4001")
}
