package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestSecret_IsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	holder := struct{ S Secret }{s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, holder, []Secret{s}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74657232") {
				t.Errorf("%s of %T prints %s", verb, v, out)
			}
		}
	}
	raw, err := json.Marshal(holder)
	if err != nil || string(raw) != `{"S":"(secret)"}` {
		t.Errorf("JSON is %s, %v", raw, err)
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !(Secret{}).IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, text := range map[string]string{"plain": "hunter2", "newline": "hunter2\n", "windows": "hunter2\r\n"} {
		t.Run("OK/"+name, func(t *testing.T) {
			if got, err := ReadSecret(file(name, text, 0o400)); err != nil || got.Reveal() != "hunter2" {
				t.Errorf("got %q, %v", got.Reveal(), err)
			}
		})
	}
	t.Run("OneNewlineOnly", func(t *testing.T) {
		if got, err := ReadSecret(file("two", " a \n\n", 0o600)); err != nil || got.Reveal() != " a \n" {
			t.Errorf("got %q, %v", got.Reveal(), err)
		}
	})
	for name, path := range map[string]string{"Missing": filepath.Join(dir, "none"), "Empty": file("empty", "\n", 0o600), "Folder": dir, "Large": file("large", strings.Repeat("x", maxSecret+1), 0o600)} {
		t.Run("Err"+name, func(t *testing.T) {
			if _, err := ReadSecret(path); problem.CodeOf(err) != problem.ConfigFile {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("ErrExposed", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("this system has no modes")
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o700} {
			_, err := ReadSecret(file("exposed", "hunter2", mode))
			if problem.CodeOf(err) != problem.ConfigSecret || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("mode %o: err = %v", mode, err)
			}
		}
	})
}

func TestSecretFile_Credential(t *testing.T) {
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "kafka.pw"), []byte("hunter2"), 0o400); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { return credentials, name == "CREDENTIALS_DIRECTORY" }
	got := defaults()
	file := write(t, "a.yml", "kafka: { sasl: { user: u, password_file: kafka.pw } }\n")
	if _, err := Load(file, &got, Options{LookupEnv: lookup}); err != nil {
		t.Fatal(err)
	}
	if secret, err := got.Kafka.SASL.PasswordFile.Read(); err != nil || secret.Reveal() != "hunter2" {
		t.Errorf("read %q, %v", secret.Reveal(), err)
	}
	beside := filepath.Join(filepath.Dir(file), "kafka.pw")
	if err := os.WriteFile(beside, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, &got, Options{LookupEnv: lookup}); err != nil || string(got.Kafka.SASL.PasswordFile) != beside {
		t.Errorf("the file beside the configuration does not come first: %s, %v", got.Kafka.SASL.PasswordFile, err)
	}
	if secret, err := SecretFile("").Read(); err != nil || !secret.IsZero() {
		t.Errorf("an empty name gives %v", err)
	}
}

func TestTLS_Config(t *testing.T) {
	cert, key := certificate(t)
	t.Run("OK", func(t *testing.T) {
		got, err := (&TLS{CA: Path(cert), Cert: Path(cert), Key: SecretFile(key)}).Config()
		if err != nil || got.MinVersion != tls.VersionTLS12 || got.RootCAs == nil || len(got.Certificates) != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("EmptyUsesTheSystemsAuthorities", func(t *testing.T) {
		if got, err := (&TLS{}).Config(); err != nil || got.RootCAs != nil || got.InsecureSkipVerify {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	for name, c := range map[string]struct {
		tls  TLS
		code problem.Code
	}{
		"NoCA":       {TLS{CA: "none.pem"}, problem.ConfigFile},
		"CAIsNoPEM":  {TLS{CA: Path(write(t, "ca.pem", "x"))}, problem.ConfigFile},
		"KeyMissing": {TLS{Cert: Path(cert)}, problem.ConfigMissing},
		"NoCert":     {TLS{Cert: "none.pem", Key: SecretFile(key)}, problem.ConfigFile},
		"NoKey":      {TLS{Cert: Path(cert), Key: "none.key"}, problem.ConfigFile},
		"NotAPair":   {TLS{Cert: Path(cert), Key: SecretFile(cert)}, problem.ConfigFile},
	} {
		t.Run("Err"+name, func(t *testing.T) {
			if _, err := c.tls.Config(); problem.CodeOf(err) != c.code {
				t.Errorf("err = %v, want %s", err, c.code)
			}
		})
	}
}

// certificate writes a self-signed certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
