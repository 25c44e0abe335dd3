package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Caller is who may call the API.
type Caller struct {
	Principal string          // name in the ledger
	Roles     []string        // see [CheckRole]
	Token     config.Secret   // hf_ and 43 characters, see [CheckToken]
	Plants    []event.PlantID // that the caller may see; none = all
}

var tokenPattern = regexp.MustCompile(`^hf_[A-Za-z0-9_-]{43}$`)

// CheckToken tells whether a token has the form hf_ and 43 characters: 32 random bytes in base64url.
func CheckToken(token config.Secret) error {
	if tokenPattern.MatchString(token.Reveal()) {
		return nil
	}
	return errors.New("token is not hf_ and 43 characters of base64url (32 random bytes)")
}

// sees tells whether the caller may see an object of a plant. An object without a plant is seen by those who see all.
func (c *Caller) sees(plant event.PlantID) bool {
	return len(c.Plants) == 0 || slices.Contains(c.Plants, plant)
}

// seesAll tells whether the caller is not restricted to plants.
func (c *Caller) seesAll() bool { return len(c.Plants) == 0 }

// registered is a caller with the hash of the token; the token itself is not kept.
type registered struct {
	Caller
	hash [sha256.Size]byte
}

func register(callers []Caller) []registered {
	all := make([]registered, len(callers))
	for i, c := range callers {
		all[i] = registered{c, sha256.Sum256([]byte(c.Token.Reveal()))}
		all[i].Token = config.Secret{}
	}
	return all
}

// identify returns the caller whose token stands in an Authorization header. Every token is compared, each in constant
// time, so that the time says nothing about which one was near.
func identify(callers []registered, header string) (*Caller, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || !tokenPattern.MatchString(token) {
		return nil, problem.New(problem.TokenRefused, "the request has no bearer token of the form hf_ and 43 characters")
	}
	hash := sha256.Sum256([]byte(token))
	var found *Caller
	for i := range callers {
		if subtle.ConstantTimeCompare(callers[i].hash[:], hash[:]) == 1 {
			found = &callers[i].Caller
		}
	}
	if found == nil {
		return nil, problem.New(problem.TokenRefused, "the token is not known")
	}
	return found, nil
}

// callerKey is the key of the caller in a request's context.
type callerKey struct{}

// authenticate refuses requests without a known token, and those that the caller's roles do not allow.
func (s *server) authenticate(ctx huma.Context, next func(huma.Context)) {
	caller, err := s.caller(ctx)
	if err != nil {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="holdfast"`)
		s.write(ctx, http.StatusUnauthorized, err)
		return
	}
	wanted := action(ctx.Operation().Metadata[metaAction].(string))
	if !may(caller.Roles, wanted) {
		s.record(ctx.Context(), caller, "access.refused", ctx.Method()+" "+ctx.Operation().Path, string(wanted))
		s.write(ctx, http.StatusForbidden, problem.New(problem.RoleRefused, "%s may not %s: it takes the role %s",
			caller.Principal, wanted, rolesFor(wanted)))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, caller))
}

// caller returns who calls: the desk names its user, by HTTP it takes a token.
func (s *server) caller(ctx huma.Context) (*Caller, error) {
	if c, ok := ctx.Context().Value(callerKey{}).(*Caller); ok {
		return c, nil
	}
	return identify(s.callers, ctx.Header("Authorization"))
}

func callerOf(ctx context.Context) *Caller {
	return ctx.Value(callerKey{}).(*Caller) // authenticate has put it there before any handler runs
}
