package opcua

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const policyPrefix = "http://opcfoundation.org/UA/SecurityPolicy#"

// policies are those that may be configured. The older ones (Basic128Rsa15, Basic256) are broken.
func policies() []string {
	return []string{ua.SecurityPolicyURIBasic256Sha256, ua.SecurityPolicyURIAes128Sha256RsaOaep, ua.SecurityPolicyURIAes256Sha256RsaPss}
}

// security is a policy with a mode.
type security struct {
	policy string // URI
	mode   ua.MessageSecurityMode
}

// parseSecurity reads policy/mode as it is configured.
func parseSecurity(text string) (security, error) {
	if text == "None" {
		return security{ua.SecurityPolicyURINone, ua.MessageSecurityModeNone}, nil
	}
	policy, mode, ok := strings.Cut(text, "/")
	s := security{policy: policyPrefix + policy}
	switch {
	case !ok:
		return s, fmt.Errorf("is %q: want policy and mode, such as %s", text, DefaultSecurity)
	case policy == "Basic128Rsa15" || policy == "Basic256":
		return s, fmt.Errorf("names the policy %s, which is broken: want such as %s", policy, DefaultSecurity)
	case !slices.Contains(policies(), s.policy):
		return s, fmt.Errorf("names the policy %q: want Basic256Sha256, Aes128_Sha256_RsaOaep or Aes256_Sha256_RsaPss", policy)
	}
	switch mode {
	case "Sign":
		s.mode = ua.MessageSecurityModeSign
	case "SignAndEncrypt":
		s.mode = ua.MessageSecurityModeSignAndEncrypt
	default:
		return s, fmt.Errorf("names the mode %q: want Sign or SignAndEncrypt", mode)
	}
	return s, nil
}

func (s security) String() string {
	if s.mode == ua.MessageSecurityModeNone {
		return "None"
	}
	return strings.TrimPrefix(s.policy, policyPrefix) + "/" + strings.TrimPrefix(s.mode.String(), "MessageSecurityMode")
}

// choose returns the endpoint with exactly the configured security. The server's list is not ranked: taking the best
// or the next best is how a link gets weaker than a person thinks.
func choose(endpoints []*ua.EndpointDescription, want security) (*ua.EndpointDescription, error) {
	var offered []string
	for _, ep := range endpoints {
		if ep == nil || ep.Server == nil || ep.TransportProfileURI != "" && !strings.HasSuffix(ep.TransportProfileURI, "/uatcp-uasc-uabinary") {
			continue
		}
		have := security{ep.SecurityPolicyURI, ep.SecurityMode}
		if have == want {
			return ep, nil
		}
		if text := have.String(); !slices.Contains(offered, text) {
			offered = append(offered, text)
		}
	}
	if len(offered) == 0 {
		return nil, problem.New(problem.SourceRefused, "server offers no endpoint over opc.tcp")
	}
	return nil, problem.New(problem.LinkInsecure, "server offers no endpoint with %s, but %s", want, strings.Join(offered, ", "))
}

// errClear says that the password would cross the line readable.
var errClear = errors.New("the password would be sent in clear")

// token returns the endpoint with the one way to log in that is to be used, and the way's type. The library takes the
// first way of a type, and logs in without a name where there is none.
func token(ep *ua.EndpointDescription, user string, inClear bool) (*ua.EndpointDescription, ua.UserTokenType, error) {
	kind := ua.UserTokenTypeAnonymous
	if user != "" {
		kind = ua.UserTokenTypeUserName
	}
	var best *ua.UserTokenPolicy
	var refused error
	for _, t := range ep.UserIdentityTokens {
		if t == nil || t.TokenType != kind {
			continue
		}
		if err := readable(ep, t); kind == ua.UserTokenTypeUserName && err != nil && (!errors.Is(err, errClear) || !inClear) {
			refused = err
			continue
		}
		if best == nil || slices.Contains(policies(), t.SecurityPolicyURI) && !slices.Contains(policies(), best.SecurityPolicyURI) {
			best = t
		}
	}
	switch {
	case best == nil && refused != nil:
		return nil, kind, problem.New(problem.LinkInsecure, "log in as %s: %w", user, refused)
	case best == nil && user == "":
		return nil, kind, problem.New(problem.SourceRefused, "server takes no one without a name: configure user and password_file")
	case best == nil:
		return nil, kind, problem.New(problem.SourceRefused, "server takes no user name and password at the configured endpoint")
	}
	one := *ep
	one.UserIdentityTokens = []*ua.UserTokenPolicy{best}
	return &one, kind, nil
}

// readable says why a password would be, or be as good as, readable on the way.
func readable(ep *ua.EndpointDescription, t *ua.UserTokenPolicy) error {
	policy := t.SecurityPolicyURI
	if policy == "" {
		policy = ep.SecurityPolicyURI
	}
	switch {
	case slices.Contains(policies(), policy):
		return nil
	case policy != ua.SecurityPolicyURINone:
		return fmt.Errorf("the password would be protected by %s, which is broken", strings.TrimPrefix(policy, policyPrefix))
	case ep.SecurityMode == ua.MessageSecurityModeSignAndEncrypt:
		return nil // in clear inside an encrypted channel, which some servers offer alone
	}
	return errClear
}

// excepted tells whether the configured exception holds at a time. An error says that it has ended.
func (c *Config) excepted(now time.Time) (bool, error) {
	if c.Exception == nil {
		return false, nil
	}
	end, err := c.Exception.end()
	if err != nil {
		return false, err
	}
	if !now.Before(end) {
		return false, problem.New(problem.LinkInsecure, "exception of %s ended on %s", c.Exception.Owner, c.Exception.Until)
	}
	return true, nil
}
