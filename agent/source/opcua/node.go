package opcua

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Nodes that every server has (OPC 10000-6, annex A).
const (
	serverObject = "i=2253"
	serverTime   = "i=2258"
)

// namespaceUA is the namespace with index 0 at every server.
const namespaceUA = "http://opcfoundation.org/UA/"

// nodeName is a node as people write it: by namespace URI, since an index moves with the server's program.
type nodeName struct {
	uri string // "" = namespace 0
	id  string // i=, s=, g= or b= with what follows
}

// parseNode reads nsu=<uri>;s=Name, and the nodes of namespace 0 without it.
func parseNode(text string) (nodeName, error) {
	space, id, two := strings.Cut(text, ";")
	if !two {
		space, id = "", text
	}
	n := nodeName{id: id}
	switch {
	case text == "":
		return n, errors.New("is empty: want nsu=<namespace uri>;s=Name")
	case strings.HasPrefix(space, "nsu="):
		if n.uri = space[len("nsu="):]; n.uri == "" {
			return n, errors.New("names no namespace URI behind nsu=")
		}
	case strings.HasPrefix(space, "ns="):
		if space != "ns=0" {
			return n, fmt.Errorf("names its namespace by an index, which moves when the server's program changes: did you mean nsu=<uri>;%s, with the URI at place %s of the server's NamespaceArray (i=2255)?", id, space[len("ns="):])
		}
	case two && !strings.Contains("isgb", space[:min(1, len(space))]):
		return n, errors.New("is no node: want nsu=<namespace uri>;s=Name")
	case two:
		n.id = text // a semicolon in the text of a node of namespace 0
	}
	if n.uri == namespaceUA {
		n.uri = ""
	}
	if _, err := n.node(0); err != nil {
		return n, err
	}
	return n, nil
}

// node returns the id with an index for its namespace.
func (n nodeName) node(index uint16) (*ua.NodeID, error) {
	kind, value, ok := strings.Cut(n.id, "=")
	if !ok || value == "" {
		return nil, errors.New("is no node: want i=, s=, g= or b= with what identifies it")
	}
	switch kind {
	case "i":
		id, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("has the number %q: want 0 to 4294967295", value)
		}
		return numeric(index, uint32(id)), nil
	case "s":
		if len(value) > 4096 { // OPC 10000-3, 8.2.4
			return nil, fmt.Errorf("has %d bytes: want 4096 at most", len(value))
		}
		return ua.NewStringNodeID(index, value), nil
	case "g":
		if ua.NewGUID(value) == nil {
			return nil, fmt.Errorf("has %q, which is no GUID", value)
		}
		return ua.NewGUIDNodeID(index, value), nil
	case "b":
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("has %q, which is no base64", value)
		}
		return ua.NewByteStringNodeID(index, raw), nil
	}
	return nil, fmt.Errorf("has the kind %q: want i, s, g or b", kind)
}

// numeric returns the id in its shortest form: servers compare, and the library keys its registry by the text.
func numeric(index uint16, id uint32) *ua.NodeID {
	switch {
	case index == 0 && id < 256:
		return ua.NewTwoByteNodeID(byte(id))
	case index < 256 && id < 1<<16:
		return ua.NewFourByteNodeID(byte(index), uint16(id))
	}
	return ua.NewNumericNodeID(index, id)
}

// String returns the node as it stands in signals, cursors and gaps.
func (n nodeName) String() string {
	if n.uri == "" {
		return n.id
	}
	return "nsu=" + n.uri + ";" + n.id
}

// spaces is the namespace array of one life.
type spaces []string

// resolve returns the node's id in this life.
func (s spaces) resolve(n nodeName) (*ua.NodeID, error) {
	index, err := s.index(n.uri)
	if err != nil {
		return nil, err
	}
	return n.node(index)
}

// index returns the index of a URI. An error names the nearest one that the server has.
func (s spaces) index(uri string) (uint16, error) {
	if uri == "" {
		return 0, nil
	}
	for i, other := range s {
		if other == uri {
			return uint16(i), nil
		}
	}
	if near := s.nearest(uri); near != "" {
		return 0, problem.New(problem.NodeMissing, "server has no namespace %q: did you mean %q?", uri, near)
	}
	return 0, problem.New(problem.NodeMissing, "server has no namespace %q", uri)
}

// nearest returns the namespace that shares most with uri at its two ends; "" = none shares half of it.
func (s spaces) nearest(uri string) string {
	best, most := "", len(uri)/2
	for i, other := range s {
		if shared := common(uri, other); i > 0 && shared > most {
			best, most = other, shared
		}
	}
	return best
}

// common counts the bytes that two texts share at their beginning and their end.
func common(a, b string) int {
	front := 0
	for front < len(a) && front < len(b) && a[front] == b[front] {
		front++
	}
	back := 0
	for back < len(a)-front && back < len(b)-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return front + back
}

// name returns the node as it is written outside of this life.
func (s spaces) name(id *ua.NodeID) string {
	if id == nil {
		return ""
	}
	text := id.String()
	if _, rest, ok := strings.Cut(text, ";"); ok && strings.HasPrefix(text, "ns=") {
		text = rest
	}
	switch index := int(id.Namespace()); {
	case index == 0:
		return text
	case index < len(s):
		return nodeName{uri: s[index], id: text}.String()
	}
	return id.String()
}

// field is an own field of events: a browse path in one namespace.
type field struct {
	uri  string
	path []string
}

// parseField reads nsu=<uri>;Name or nsu=<uri>;Name/Further.
func parseField(text string) (field, error) {
	space, path, two := strings.Cut(text, ";")
	f := field{}
	switch {
	case !two:
		path = text // of namespace 0
	case !strings.HasPrefix(space, "nsu=") || len(space) == len("nsu="):
		return f, errors.New("names no namespace URI: want nsu=<namespace uri>;Name")
	default:
		f.uri = space[len("nsu="):]
	}
	f.path = strings.Split(path, "/")
	for _, level := range f.path {
		if level == "" {
			return f, errors.New("has an empty name: want nsu=<namespace uri>;Name")
		}
	}
	return f, nil
}

// label is the field's name in a signal.
func (f field) label() string { return strings.Join(f.path, "/") }
