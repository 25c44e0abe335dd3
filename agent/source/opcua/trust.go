package opcua

import (
	"crypto/rsa"
	"crypto/sha1" // thumbprints are SHA-1 in OPC UA and in the tools of every server; nothing is proven by one
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// leastKey is the smallest RSA key that the allowed policies take, in bits.
const leastKey = 2048

// maxCertificate bounds what is read of one file, in bytes.
const maxCertificate = 1 << 20

// trust is a folder with the certificates that a person accepted: trusted (servers and authorities), issuers
// (authorities that are only links of a chain), crl, and rejected, where unknown ones are left for a person.
type trust struct{ dir string }

func (t trust) path(sub string) string { return filepath.Join(t.dir, sub) }

// prepare makes the folders.
func (t trust) prepare() error {
	if err := os.MkdirAll(filepath.Dir(t.dir), 0o700); err != nil {
		return problem.New(problem.ConfigFile, "make trust folder: %w", err)
	}
	for _, sub := range []string{"", "trusted", "issuers", "crl", "rejected", "own"} {
		if err := makeFolder(t.path(sub)); err != nil {
			return problem.New(problem.ConfigFile, "make trust folder: %w", err)
		}
	}
	return nil
}

// makeFolder makes a folder that does not exist, for the owner of the one it lies in: a person who looks at a server is
// often not the user that the agent runs as, and must not lock it out.
func makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_ = likeOwner(path, filepath.Dir(path)) // who may not give it away is the owner
	}
	return err
}

// peer is what a server says of itself.
type peer struct {
	der  []byte // its certificate, perhaps with the chain behind it
	uri  string // application URI of its endpoint
	host string // as configured
}

// errUntrusted says that no person has accepted the certificate.
var errUntrusted = errors.New("is neither in the folder trusted nor issued by an authority in it")

// judge says why a server is not to be trusted; nil = it is. Warn is what a person should know all the same. A
// certificate that no one accepted is left in rejected.
func (t trust) judge(p peer, now time.Time) (warn string, err error) {
	chain, err := x509.ParseCertificates(p.der)
	if err != nil || len(chain) == 0 {
		return "", problem.New(problem.ServerTrust, "server sent no readable certificate")
	}
	leaf := chain[0]
	about := fmt.Sprintf("certificate %s of the server", thumbprint(leaf))
	if err := t.accepted(leaf, chain[1:], now); err != nil {
		if !errors.Is(err, errUntrusted) {
			return "", problem.New(problem.ServerTrust, "%s %w", about, err)
		}
		file, keep := t.reject(leaf)
		if keep != nil {
			return "", problem.New(problem.ServerTrust, "%s %w, and could not be kept for a person: %w", about, err, keep)
		}
		return "", problem.New(problem.ServerTrust, "%s %w; it was put into %s", about, err, file)
	}
	if err := fit(leaf, now); err != nil {
		return "", problem.New(problem.ServerTrust, "%s %w", about, err)
	}
	if !hasURI(leaf, p.uri) {
		return "", problem.New(problem.ServerTrust, "%s is for %s, and its endpoint calls itself %q", about, uris(leaf), p.uri)
	}
	if !names(leaf, p.host) {
		warn = fmt.Sprintf("%s does not name the host %s", about, p.host)
	}
	return warn, nil
}

// fit says why a certificate must not be trusted, whoever accepted it.
func fit(leaf *x509.Certificate, now time.Time) error {
	key, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("is not valid before %s; check this host's clock first", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired on %s", leaf.NotAfter.Format(time.DateOnly))
	case !isRSA:
		return errors.New("has no RSA key")
	case key.N.BitLen() < leastKey:
		return fmt.Errorf("has a key of %d bits: want %d at least", key.N.BitLen(), leastKey)
	}
	return nil
}

// accepted says why no person has accepted a certificate.
func (t trust) accepted(leaf *x509.Certificate, sent []*x509.Certificate, now time.Time) error {
	trusted, err := t.certificates("trusted")
	if err != nil {
		return err
	}
	issuers, err := t.certificates("issuers")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(trusted, leaf.Equal) {
		return t.revoked([]*x509.Certificate{leaf}, append(trusted, issuers...))
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	authorities := 0
	for _, c := range trusted {
		if c.IsCA {
			roots.AddCert(c)
			authorities++
		}
	}
	if authorities == 0 {
		return errUntrusted
	}
	for _, c := range append(issuers, sent...) {
		between.AddCert(c)
	}
	// Whether the dates of the server's own certificate hold is said in words of its own.
	at := now
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		at = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return errUntrusted
	}
	return t.revoked(chains[0], append(trusted, issuers...))
}

// revoked says which certificate of a chain its issuer has taken back. A list that cannot be read or has no issuer
// here is refused: what it takes back is not known.
func (t trust) revoked(chain, authorities []*x509.Certificate) error {
	lists, err := t.files("crl")
	if err != nil {
		return err
	}
	for _, file := range lists {
		raw, err := readPEM(file, "X509 CRL")
		if err != nil {
			return err
		}
		list, err := x509.ParseRevocationList(raw)
		if err != nil {
			return fmt.Errorf("cannot be judged: %s is no revocation list", filepath.Base(file))
		}
		for _, c := range chain {
			if !slices.Equal(c.RawIssuer, list.RawIssuer) {
				continue
			}
			signed := func(a *x509.Certificate) bool { return list.CheckSignatureFrom(a) == nil }
			if !slices.ContainsFunc(authorities, signed) {
				return fmt.Errorf("cannot be judged: no authority here has signed %s", filepath.Base(file))
			}
			for _, r := range list.RevokedCertificateEntries {
				if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fmt.Errorf("was revoked on %s", r.RevocationTime.Format(time.DateOnly))
				}
			}
		}
	}
	return nil
}

// mostRejected bounds the folder rejected: a server that shows a new certificate each time must not fill the disk.
const mostRejected = 100

// reject leaves a certificate for a person. No half of a file is ever found there.
func (t trust) reject(c *x509.Certificate) (string, error) {
	file := filepath.Join(t.path("rejected"), thumbprint(c)+".der")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := t.makeRoom(); err != nil {
		return file, err
	}
	f, err := os.CreateTemp(t.path("rejected"), ".new-*") // mode 0600
	if err != nil {
		return file, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(c.Raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return file, err
	}
	_ = likeOwner(f.Name(), t.path("rejected")) // as in makeFolder
	return file, os.Rename(f.Name(), file)
}

// makeRoom removes the longest rejected certificates where there are too many.
func (t trust) makeRoom() error {
	files, err := t.files("rejected")
	if err != nil {
		return err
	}
	since := func(file string) time.Time {
		info, err := os.Stat(file)
		if err != nil {
			return time.Time{} // it is gone, or soon will be
		}
		return info.ModTime()
	}
	slices.SortFunc(files, func(a, b string) int { return since(a).Compare(since(b)) })
	for len(files) >= mostRejected {
		if err := os.Remove(files[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		files = files[1:]
	}
	return nil
}

// certificates reads a folder. One that cannot be read is an error: nobody may think that it counts.
func (t trust) certificates(sub string) ([]*x509.Certificate, error) {
	files, err := t.files(sub)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, file := range files {
		raw, err := readPEM(file, "CERTIFICATE")
		if err != nil {
			return nil, err
		}
		some, err := x509.ParseCertificates(raw)
		if err != nil {
			return nil, fmt.Errorf("cannot be judged: %s in %s is no certificate", filepath.Base(file), sub)
		}
		all = append(all, some...)
	}
	return all, nil
}

// files lists a folder, but for what is hidden: half-written files, and those of file managers.
func (t trust) files(sub string) ([]string, error) {
	entries, err := os.ReadDir(t.path(sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be judged: %w", err)
	}
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(t.path(sub), e.Name()))
		}
	}
	return files, nil
}

// readPEM reads a file in DER, or all blocks of one kind in PEM, one behind the other.
func readPEM(file, kind string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be judged: %w", err)
	}
	if info.Size() > maxCertificate {
		return nil, fmt.Errorf("cannot be judged: %s has %d bytes", filepath.Base(file), info.Size())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be judged: %w", err)
	}
	var der []byte
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			der = append(der, block.Bytes...)
		}
	}
	if der != nil {
		return der, nil
	}
	return raw, nil
}

// thumbprint is how people and servers name a certificate.
func thumbprint(c *x509.Certificate) string { return thumbprintOf(c.Raw) }

func thumbprintOf(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

// leafOf returns the first certificate of a chain; nil = it is none.
func leafOf(der []byte) []byte {
	chain, err := x509.ParseCertificates(der)
	if err != nil || len(chain) == 0 {
		return nil
	}
	return chain[0].Raw
}

func hasURI(c *x509.Certificate, uri string) bool {
	for _, u := range c.URIs {
		if u.String() == uri {
			return uri != ""
		}
	}
	return false
}

func uris(c *x509.Certificate) string {
	if len(c.URIs) == 0 {
		return "no application URI"
	}
	return fmt.Sprintf("%q", c.URIs[0].String())
}

func names(c *x509.Certificate, host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return slices.ContainsFunc(c.IPAddresses, ip.Equal)
	}
	return c.VerifyHostname(host) == nil
}
