package opcua

import (
	"sync"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Servers are those that the sources of one agent read. An application URI enters the identity of facts, so that two
// servers with one of them would pass for each other.
type Servers struct {
	mu      sync.Mutex // guards claims
	claims  map[string]claim
	holders map[string]string // application URI by source
}

// claim is what tells servers apart. A server may be read by several sources, and be reached by several addresses.
type claim struct {
	source      string
	address     string
	certificate string // thumbprint; "" = none is used
}

// NewServers returns an empty set.
func NewServers() *Servers {
	return &Servers{claims: map[string]claim{}, holders: map[string]string{}}
}

// claim takes a server for a source. The first one stands until its source gives it up.
func (s *Servers) claim(uri string, c claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[c.source] != uri {
		s.giveUp(c.source)
	}
	old, taken := s.claims[uri]
	same := old.address == c.address || old.certificate != "" && old.certificate == c.certificate
	if taken && !same && old.source != c.source {
		return problem.New(problem.ServerTwice, "server at %s calls itself %q, as the one at %s does, which source %s reads", c.address, uri, old.address, old.source)
	}
	if !taken || old.source == c.source {
		s.claims[uri] = c
	}
	s.holders[c.source] = uri
	return nil
}

// release gives up what a source has claimed.
func (s *Servers) release(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUp(source)
}

func (s *Servers) giveUp(source string) {
	uri := s.holders[source]
	delete(s.holders, source)
	if s.claims[uri].source == source {
		delete(s.claims, uri)
	}
}
