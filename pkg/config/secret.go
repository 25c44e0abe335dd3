package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// maxSecret bounds a secret's file: a chain of certificates or a key is a few kilobytes.
const maxSecret = 64 << 10

// Secret is a text that must not be seen. Every way of printing or encoding it gives "(secret)".
type Secret struct{ text string }

// NewSecret returns text as a secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself, for the one call that needs it.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// String returns "(secret)".
func (s Secret) String() string { return "(secret)" }

// GoString returns "(secret)".
func (s Secret) GoString() string { return "(secret)" }

// Format prints "(secret)" under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// MarshalText returns "(secret)".
func (s Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// MarshalJSON returns "(secret)" as a JSON text.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"(secret)"`), nil }

// SecretFile names a file that holds a secret. [Load] makes it absolute like a [Path]; where no such file is, and the
// service was given a systemd credential of that name, it becomes the credential's file.
type SecretFile string

// Read returns the secret, or the zero secret for an empty name. See [ReadSecret].
func (f SecretFile) Read() (Secret, error) {
	if f == "" {
		return Secret{}, nil
	}
	return ReadSecret(string(f))
}

func (d *decoder) secretFile(name SecretFile) SecretFile {
	file := join(d.dir, string(name))
	if file == "" || filepath.IsAbs(string(name)) || d.doc.opts.LookupEnv == nil {
		return SecretFile(file)
	}
	if _, err := os.Stat(file); err == nil {
		return SecretFile(file)
	}
	folder, ok := d.doc.opts.LookupEnv("CREDENTIALS_DIRECTORY")
	if !ok || !filepath.IsLocal(string(name)) {
		return SecretFile(file)
	}
	credential := filepath.Join(folder, string(name))
	if _, err := os.Stat(credential); err == nil {
		return SecretFile(credential)
	}
	return SecretFile(file)
}

// ReadSecret reads a secret from a file and drops one newline at its end. It refuses a file that others than the
// owner may read ([problem.ConfigSecret]) where the system has modes, and one that is missing, empty, larger than
// 64 KiB or no regular file ([problem.ConfigFile]).
func ReadSecret(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, problem.New(problem.ConfigFile, "secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Secret{}, problem.New(problem.ConfigFile, "secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return Secret{}, problem.New(problem.ConfigFile, "secret %s is no regular file of at most %d bytes", path, maxSecret)
	}
	if exposed(path, info.Mode().Perm()) {
		return Secret{}, problem.New(problem.ConfigSecret, "secret %s has mode %04o, so that others can read it; it must be 0600 or 0400", path, info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return Secret{}, problem.New(problem.ConfigFile, "secret: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if text == "" {
		return Secret{}, problem.New(problem.ConfigFile, "secret %s is empty", path)
	}
	return Secret{text}, nil
}

// exposed tells whether the mode lets others read. systemd gives a service its credentials by an access list, whose
// mask shows as mode 0440 although no group may read.
func exposed(path string, mode os.FileMode) bool {
	if runtime.GOOS == "windows" {
		return false
	}
	if strings.HasPrefix(path, "/run/credentials/") {
		mode &^= 0o040
	}
	return mode&0o177 != 0
}
