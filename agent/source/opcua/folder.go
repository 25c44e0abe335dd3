package opcua

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Use says what a certificate in a trust folder is for.
type Use string

// Uses.
const (
	UseOwn      Use = "own"      // we show it to servers
	UseNext     Use = "next"     // will follow our own, once a person says so
	UseTrusted  Use = "trusted"  // of a server or an authority that a person accepted
	UseIssuer   Use = "issuer"   // of an authority that is only a link of a chain
	UseRejected Use = "rejected" // of a server that no person has accepted
)

// Entry is one certificate of a trust folder.
type Entry struct {
	Use  Use
	File string
	Leaf *x509.Certificate // the first of the file; nil = it holds none
	Err  error             // why not
}

// Thumbprint returns the SHA-1 by which OPC UA and its tools name the certificate, in lower-case hex; "" = there is none.
func (e Entry) Thumbprint() string {
	if e.Leaf == nil {
		return ""
	}
	return thumbprint(e.Leaf)
}

// Fingerprint returns the SHA-256 of a certificate in lower-case hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Folder is a trust folder as a person works with it. It may be used while sources of a running agent use it, too: every
// file of it appears and goes whole.
type Folder struct{ Dir string }

// TrustFolder returns the folder of a source; pki is that of sources whose configuration names none.
func (c *Config) TrustFolder(pki string) Folder {
	if c.Trust != "" {
		return Folder{string(c.Trust)}
	}
	return Folder{pki}
}

// OwnCertificate returns the file with the certificate that the source shows, which may not have been made yet.
func (c *Config) OwnCertificate(pki string) string {
	if c.Certificate != "" {
		return string(c.Certificate)
	}
	return ownFile(trust{c.TrustFolder(pki).Dir})
}

// Entries returns the servers' certificates and those of authorities, by use, then file. A folder that does not exist
// yet has none.
func (f Folder) Entries() ([]Entry, error) {
	t := trust{f.Dir}
	var all []Entry
	if next := ReadEntry(UseNext, f.own(nextFile)); next.Leaf != nil {
		all = append(all, next)
	}
	for _, x := range []struct {
		use Use
		sub string
	}{{UseTrusted, "trusted"}, {UseIssuer, "issuers"}, {UseRejected, "rejected"}} {
		files, err := t.files(x.sub)
		if err != nil {
			return nil, problem.New(problem.ConfigFile, "trust folder %s: %w", f.Dir, err)
		}
		for _, file := range files {
			all = append(all, ReadEntry(x.use, file))
		}
	}
	return all, nil
}

// ReadEntry reads the first certificate of a file, in DER or PEM.
func ReadEntry(use Use, file string) Entry {
	e := Entry{Use: use, File: file}
	raw, err := readPEM(file, "CERTIFICATE")
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("does not exist")
	}
	if err != nil {
		e.Err = err
		return e
	}
	chain, err := x509.ParseCertificates(raw)
	if err != nil || len(chain) == 0 {
		e.Err = errors.New("is no certificate")
		return e
	}
	e.Leaf = chain[0]
	return e
}

// Rejected returns the certificate that waits under a thumbprint or SHA-256 fingerprint, or is trusted already. With it
// the error says why a person must not accept it; without it that is [ErrNotRejected].
func (f Folder) Rejected(name string, now time.Time) (Entry, error) {
	all, err := f.Entries()
	if err != nil {
		return Entry{}, err
	}
	var found Entry
	for _, e := range all {
		if e.Leaf == nil || name != e.Thumbprint() && name != Fingerprint(e.Leaf) {
			continue
		}
		if e.Use == UseTrusted {
			return e, nil
		}
		if e.Use == UseRejected {
			found = e
		}
	}
	if found.Leaf == nil {
		return Entry{}, ErrNotRejected
	}
	return found, f.unfit(found.Leaf, now)
}

// ErrNotRejected says that no certificate with a thumbprint waits in a folder.
var ErrNotRejected = errors.New("no certificate with this thumbprint waits")

// unfit says why a person must not accept a certificate: the source would refuse it all the same.
func (f Folder) unfit(c *x509.Certificate, now time.Time) error {
	if err := fit(c, now); err != nil {
		return err
	}
	if len(c.URIs) == 0 {
		return errors.New("names no application URI, by which an OPC UA server is known")
	}
	t := trust{f.Dir}
	trusted, err := t.certificates("trusted")
	if err != nil {
		return err
	}
	issuers, err := t.certificates("issuers")
	if err != nil {
		return err
	}
	return t.revoked([]*x509.Certificate{c}, append(trusted, issuers...))
}

// Accept moves a rejected certificate to the trusted ones, with the owner and mode that its file has: whoever accepts it
// is often not the user that the agent runs as. Sources see it at their next try, a few seconds later.
func (f Folder) Accept(e Entry) (Entry, error) {
	if e.Use == UseTrusted {
		return e, nil
	}
	file := filepath.Join(trust{f.Dir}.path("trusted"), e.Thumbprint()+".der")
	switch raw, err := readPEM(e.File, "CERTIFICATE"); {
	case err != nil:
		return e, problem.New(problem.ConfigFile, "read certificate: %w", err)
	case !bytes.Equal(raw, e.Leaf.Raw):
		return e, problem.New(problem.ConfigFile, "%s holds more than this one certificate, and all of it would be trusted", e.File)
	}
	if err := os.Rename(e.File, file); err != nil {
		return e, problem.New(problem.ConfigFile, "move certificate: %w", err)
	}
	return Entry{Use: UseTrusted, File: file, Leaf: e.Leaf}, nil
}

// Others returns the trusted certificates that name the same application as another: those that it follows.
func (f Folder) Others(c *x509.Certificate) ([]Entry, error) {
	all, err := f.Entries()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(e Entry) bool {
		return e.Use != UseTrusted || e.Leaf == nil || e.Leaf.Equal(c) || len(c.URIs) == 0 || !hasURI(e.Leaf, c.URIs[0].String())
	}), nil
}

// ParseThumbprint reads a thumbprint or fingerprint as people copy it: in either case, with colons or blanks.
func ParseThumbprint(text string) (string, error) {
	name := strings.ToLower(strings.NewReplacer(":", "", " ", "", "-", "").Replace(text))
	if raw, err := hex.DecodeString(name); err != nil || len(raw) != 20 && len(raw) != 32 {
		return "", fmt.Errorf("%.80q is no thumbprint: want the 40 hex digits of its SHA-1, or the 64 of its SHA-256", text)
	}
	return name, nil
}
