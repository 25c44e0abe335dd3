package opcua

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

func endpoint(policy string, mode ua.MessageSecurityMode, tokens ...*ua.UserTokenPolicy) *ua.EndpointDescription {
	return &ua.EndpointDescription{
		SecurityPolicyURI: policy, SecurityMode: mode, UserIdentityTokens: tokens, Server: &ua.ApplicationDescription{ApplicationURI: "urn:x"},
		TransportProfileURI: "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary",
	}
}

func TestChoose(t *testing.T) {
	none := endpoint(ua.SecurityPolicyURINone, ua.MessageSecurityModeNone)
	sign := endpoint(ua.SecurityPolicyURIBasic256Sha256, ua.MessageSecurityModeSign)
	both := endpoint(ua.SecurityPolicyURIBasic256Sha256, ua.MessageSecurityModeSignAndEncrypt)
	want, err := parseSecurity(DefaultSecurity)
	if err != nil {
		t.Fatal(err)
	}
	if ep, err := choose([]*ua.EndpointDescription{none, sign, both}, want); err != nil || ep != both {
		t.Errorf("chose %+v, %v", ep, err)
	}
	_, err = choose([]*ua.EndpointDescription{none, sign, nil}, want)
	if problem.CodeOf(err) != problem.LinkInsecure || !strings.Contains(err.Error(), "but None, Basic256Sha256/Sign") {
		t.Errorf("got %v, want what is offered instead", err)
	}
	https := endpoint(both.SecurityPolicyURI, both.SecurityMode)
	https.TransportProfileURI = "http://opcfoundation.org/UA-Profile/Transport/https-uabinary"
	if _, err = choose([]*ua.EndpointDescription{https}, want); problem.CodeOf(err) != problem.SourceRefused {
		t.Errorf("got %v for an endpoint of another transport", err)
	}
}

func TestToken(t *testing.T) {
	user := func(policy string) *ua.UserTokenPolicy {
		return &ua.UserTokenPolicy{PolicyID: policy, TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: policy}
	}
	anonymous := &ua.UserTokenPolicy{PolicyID: "anonymous", TokenType: ua.UserTokenTypeAnonymous}
	sign := func(tokens ...*ua.UserTokenPolicy) *ua.EndpointDescription {
		return endpoint(ua.SecurityPolicyURIBasic256Sha256, ua.MessageSecurityModeSign, tokens...)
	}
	open := func(tokens ...*ua.UserTokenPolicy) *ua.EndpointDescription {
		return endpoint(ua.SecurityPolicyURINone, ua.MessageSecurityModeNone, tokens...)
	}
	sealed := func(tokens ...*ua.UserTokenPolicy) *ua.EndpointDescription {
		return endpoint(ua.SecurityPolicyURIBasic256Sha256, ua.MessageSecurityModeSignAndEncrypt, tokens...)
	}
	for name, c := range map[string]struct {
		ep    *ua.EndpointDescription
		user  string
		clear bool
		want  string // policy id, or the code
	}{
		"encrypted by its own policy":            {sign(user(ua.SecurityPolicyURINone), user(ua.SecurityPolicyURIBasic256Sha256)), "agent", false, ua.SecurityPolicyURIBasic256Sha256},
		"encrypted by the endpoint's policy":     {sign(user("")), "agent", false, ""},
		"clear inside an encrypted channel":      {sealed(user(ua.SecurityPolicyURINone)), "agent", false, ua.SecurityPolicyURINone},
		"clear in a signed channel":              {sign(user(ua.SecurityPolicyURINone)), "agent", false, "E-4104"},
		"clear in an open channel":               {open(user("")), "agent", false, "E-4104"},
		"clear, by exception":                    {open(user("")), "agent", true, ""},
		"broken policy":                          {sealed(user(policyPrefix + "Basic128Rsa15")), "agent", false, "E-4104"},
		"broken policy, exception or not":        {sealed(user(policyPrefix + "Basic256")), "agent", true, "E-4104"},
		"no user names at this endpoint":         {sealed(anonymous), "agent", false, "E-4001"},
		"anonymous":                              {sealed(anonymous, user("")), "", false, "anonymous"},
		"anonymous where a name is wanted":       {sealed(user("")), "", false, "E-4001"},
		"first that is encrypted, not the first": {sealed(user(ua.SecurityPolicyURINone), user(ua.SecurityPolicyURIAes256Sha256RsaPss)), "agent", false, ua.SecurityPolicyURIAes256Sha256RsaPss},
	} {
		t.Run(name, func(t *testing.T) {
			one, _, err := token(c.ep, c.user, c.clear)
			if err != nil {
				if string(problem.CodeOf(err)) != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			if len(one.UserIdentityTokens) != 1 || one.UserIdentityTokens[0].PolicyID != c.want {
				t.Errorf("got %+v, want %s", one.UserIdentityTokens[0], c.want)
			}
		})
	}
}

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue makes a server certificate.
func (a authority) issue(t *testing.T, serial int64, uri string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{u}, DNSNames: []string{"press1"},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (a authority) revoke(t *testing.T, serial int64) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: time.Now()}},
	}, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func put(t *testing.T, tr trust, name string, der []byte) {
	t.Helper()
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.path(name), der, 0o600); err != nil {
		t.Fatal(err)
	}
}

func selfMade(t *testing.T, uri string, change func(*x509.Certificate)) []byte {
	t.Helper()
	id, err := sim.NewIdentity(uri, change)
	if err != nil {
		t.Fatal(err)
	}
	return id.DER
}

func TestTrust_Judge(t *testing.T) {
	const uri = "urn:example:server"
	now := time.Now()
	ca, other := newAuthority(t, "plant CA"), newAuthority(t, "other CA")
	own := selfMade(t, uri, nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallCert := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	smallDER, err := x509.CreateCertificate(rand.Reader, smallCert, smallCert, &small.PublicKey, small)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		folder map[string][]byte
		der    []byte
		uri    string
		at     time.Time
		host   string
		want   string // the error; "" = trusted
		warn   bool
	}{
		"by thumbprint":               {map[string][]byte{"trusted/a.der": own}, own, uri, now, "localhost", "", false},
		"by its authority":            {map[string][]byte{"trusted/ca.der": ca.cert.Raw}, ca.issue(t, 5, uri), uri, now, "press1", "", false},
		"host not named":              {map[string][]byte{"trusted/a.der": own}, own, uri, now, "press9", "", true},
		"ErrUnknown":                  {nil, own, uri, now, "localhost", "neither in the folder trusted", false},
		"ErrOtherAuthority":           {map[string][]byte{"trusted/ca.der": other.cert.Raw}, ca.issue(t, 6, uri), uri, now, "press1", "neither in the folder trusted", false},
		"ErrAuthorityOnlyIssuer":      {map[string][]byte{"issuers/ca.der": ca.cert.Raw, "trusted/a.der": own}, ca.issue(t, 6, uri), uri, now, "press1", "neither in the folder trusted", false},
		"ErrRevoked":                  {map[string][]byte{"trusted/ca.der": ca.cert.Raw, "crl/ca.crl": ca.revoke(t, 5)}, ca.issue(t, 5, uri), uri, now, "press1", "was revoked", false},
		"other serial revoked":        {map[string][]byte{"trusted/ca.der": ca.cert.Raw, "crl/ca.crl": ca.revoke(t, 9)}, ca.issue(t, 5, uri), uri, now, "press1", "", false},
		"ErrRevocationListUnreadable": {map[string][]byte{"trusted/ca.der": ca.cert.Raw, "crl/ca.crl": {1, 2}}, ca.issue(t, 5, uri), uri, now, "press1", "is no revocation list", false},
		"ErrTrustedUnreadable":        {map[string][]byte{"trusted/a.der": own, "trusted/b.der": {1}}, own, uri, now, "localhost", "b.der in trusted is no certificate", false},
		"ErrExpired":                  {map[string][]byte{"trusted/a.der": own}, own, uri, now.Add(48 * time.Hour), "localhost", "expired on", false},
		"ErrExpiredOfAuthority":       {map[string][]byte{"trusted/ca.der": ca.cert.Raw}, ca.issue(t, 5, uri), uri, now.Add(48 * time.Hour), "press1", "expired on", false},
		"ErrNotYet":                   {map[string][]byte{"trusted/a.der": own}, own, uri, now.Add(-48 * time.Hour), "localhost", "check this host's clock first", false},
		"ErrOtherURI":                 {map[string][]byte{"trusted/a.der": own}, own, "urn:other", now, "localhost", `is for "urn:example:server", and its endpoint calls itself "urn:other"`, false},
		"ErrSmallKey":                 {map[string][]byte{"trusted/a.der": smallDER}, smallDER, uri, now, "localhost", "key of 1024 bits", false},
		"ErrNoCertificate":            {nil, []byte{1, 2, 3}, uri, now, "localhost", "no readable certificate", false},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trust{t.TempDir()}
			if err := tr.prepare(); err != nil {
				t.Fatal(err)
			}
			for file, der := range c.folder {
				put(t, tr, file, der)
			}
			warn, err := tr.judge(peer{c.der, c.uri, c.host}, c.at)
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case c.want != "" && problem.CodeOf(err) != problem.ServerTrust:
				t.Errorf("code %s", problem.CodeOf(err))
			case (warn != "") != c.warn:
				t.Errorf("warning %q", warn)
			}
			rejected, _ := filepath.Glob(tr.path("rejected/*.der"))
			if unknown := strings.Contains(c.want, "neither"); (len(rejected) == 1) != unknown {
				t.Errorf("rejected: %v", rejected)
			}
		})
	}
}

func TestOwnIdentity(t *testing.T) {
	tr := trust{t.TempDir()}
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	first, err := ownIdentity(&Config{}, tr, "urn:holdfast:p1:gw1", now)
	if err != nil {
		t.Fatal(err)
	}
	c := first.leaf
	if !hasURI(c, "urn:holdfast:p1:gw1") || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || c.IsCA ||
		c.KeyUsage&x509.KeyUsageContentCommitment == 0 || c.KeyUsage&x509.KeyUsageDataEncipherment == 0 || c.NotAfter.Sub(now) < ownLife-time.Hour {
		t.Errorf("certificate %+v", c)
	}
	again, err := ownIdentity(&Config{}, tr, "urn:holdfast:p1:gw1", now)
	if err != nil || thumbprint(again.leaf) != thumbprint(c) {
		t.Errorf("the second start has another certificate: %v", err)
	}
	file := tr.path("own/holdfast.pem")
	if left, _ := filepath.Glob(tr.path("own/new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ownIdentity(&Config{}, tr, "urn:x", now); problem.CodeOf(err) != problem.ConfigFile || !strings.Contains(err.Error(), "0640") {
		t.Errorf("got %v for a key that others read", err)
	}
}

// TestOwnIdentity_Foreign refuses a pair that does not belong together.
func TestOwnIdentity_Foreign(t *testing.T) {
	one, two := trust{t.TempDir()}, trust{t.TempDir()}
	for _, tr := range []trust{one, two} {
		if err := tr.prepare(); err != nil {
			t.Fatal(err)
		}
		if _, err := ownIdentity(&Config{}, tr, "urn:x", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readIdentity(one.path("own/holdfast.pem"), two.path("own/holdfast.pem")); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("got %v", err)
	}
}

func TestServers_Claim(t *testing.T) {
	s := NewServers()
	a := claim{source: "a", address: "press1:4840", certificate: "11"}
	for name, c := range map[string]struct {
		claim claim
		uri   string
		twice bool
	}{
		"same address":                          {claim{"b", "press1:4840", "11"}, "urn:x", false},
		"same address, certificate renewed":     {claim{"b", "press1:4840", "22"}, "urn:x", false},
		"same certificate by another address":   {claim{"b", "10.0.0.1:4840", "11"}, "urn:x", false},
		"other URI":                             {claim{"b", "press2:4840", "22"}, "urn:y", false},
		"other server":                          {claim{"b", "press2:4840", "22"}, "urn:x", true},
		"other server, neither has certificate": {claim{"b", "press2:4840", ""}, "urn:x", true},
		"the source itself moves":               {claim{"a", "press2:4840", "22"}, "urn:x", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.claim("urn:x", a); err != nil {
				t.Fatal(err)
			}
			if err := s.claim(c.uri, c.claim); (problem.CodeOf(err) == problem.ServerTwice) != c.twice {
				t.Errorf("got %v", err)
			}
			s.release("b")
			s.release("a")
		})
	}
	if err := errors.Join(s.claim("urn:x", a), s.claim("urn:y", a), s.claim("urn:x", claim{"b", "press2:4840", "22"})); err != nil {
		t.Errorf("a source whose server has another name now holds the old one: %v", err)
	}
	s.release("a")
	s.release("b")
	if len(s.claims)+len(s.holders) > 0 {
		t.Errorf("claims left: %+v", s)
	}
}
