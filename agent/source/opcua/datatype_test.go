package opcua

import (
	"context"
	"strings"
	"testing"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// typeServer answers for data types as a server does.
type typeServer struct {
	definitions map[string]any    // by node: what DataTypeDefinition holds
	above       map[string]string // by node: the type that it is derived from
	encodings   map[string]string // by node: its binary encoding
	reads       int
}

func (s *typeServer) Read(_ context.Context, req *ua.ReadRequest) (*ua.ReadResponse, error) {
	s.reads++
	res := &ua.ReadResponse{}
	for _, n := range req.NodesToRead {
		dv := &ua.DataValue{Status: ua.StatusBadAttributeIDInvalid, Value: new(ua.Variant)}
		if d := s.definitions[n.NodeID.String()]; d != nil && n.AttributeID == ua.AttributeIDDataTypeDefinition {
			dv = &ua.DataValue{Value: ua.MustVariant(ua.NewExtensionObject(d))}
		}
		res.Results = append(res.Results, dv)
	}
	return res, nil
}

func (s *typeServer) Browse(_ context.Context, req *ua.BrowseRequest) (*ua.BrowseResponse, error) {
	b := req.NodesToBrowse[0]
	to, name := s.above[b.NodeID.String()], "Above"
	if b.ReferenceTypeID.IntID() == id.HasEncoding {
		to, name = s.encodings[b.NodeID.String()], "Default Binary"
	}
	res := &ua.BrowseResult{}
	if to != "" {
		res.References = []*ua.ReferenceDescription{{NodeID: &ua.ExpandedNodeID{NodeID: ua.MustParseNodeID(to)}, BrowseName: &ua.QualifiedName{Name: name}}}
	}
	return &ua.BrowseResponse{Results: []*ua.BrowseResult{res}}, nil
}

func structureDefinition(encoding string, fields ...*ua.StructureField) *ua.StructureDefinition {
	return &ua.StructureDefinition{DefaultEncodingID: ua.MustParseNodeID(encoding), BaseDataType: ua.NewTwoByteNodeID(22), Fields: fields}
}

func fieldOf(name, typ string, rank int32) *ua.StructureField {
	return &ua.StructureField{Name: name, DataType: ua.MustParseNodeID(typ), ValueRank: rank}
}

func TestTypes_Of(t *testing.T) {
	server := &typeServer{
		definitions: map[string]any{
			"ns=7;i=1": structureDefinition("ns=7;i=101", fieldOf("Limits", "ns=7;i=2", -1), fieldOf("Result", "ns=7;i=3", -1), fieldOf("Took", "ns=7;i=4", -1)),
			"ns=7;i=2": structureDefinition("ns=7;i=102", fieldOf("Lo", "i=11", -1), fieldOf("Hi", "i=11", -1)),
			"ns=7;i=3": &ua.EnumDefinition{Fields: []*ua.EnumField{{Value: 1, Name: "OK"}, {Value: 2, Name: "NOK"}}},
			"ns=7;i=8": structureDefinition("ns=7;i=108", fieldOf("Children", "ns=7;i=8", 1)),
			"ns=7;i=9": structureDefinition("ns=7;i=109", fieldOf("Odd", "ns=7;i=5", -1)),
		},
		above:     map[string]string{"ns=7;i=4": "i=290", "ns=7;i=5": "i=22", "ns=7;i=6": "ns=7;i=7", "ns=7;i=7": "i=12"},
		encodings: map[string]string{"ns=7;i=5": "ns=7;i=105"},
	}
	s := spaces{namespaceUA}
	of := func(text string) (*definition, *types, error) {
		x := newTypes(server)
		d, err := x.of(t.Context(), s, ua.MustParseNodeID(text), 0)
		return d, x, err
	}
	d, x, err := of("ns=7;i=1")
	if err != nil {
		t.Fatal(err)
	}
	o, err := d.decode(bodyOf{}.f64(40).f64(50).u32(2).f64(1.5), x.byEncoding)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := s.appendJSON(nil, o, 0); err != nil || string(text) != `{"Limits":{"Lo":40,"Hi":50},"Result":{"number":2,"name":"NOK"},"Took":1.5}` {
		t.Errorf("decoded %s, %v", text, err)
	}
	if x.byEncoding["ns=7;i=101"] != d || x.byEncoding["ns=7;i=102"] == nil {
		t.Errorf("encodings %v", x.byEncoding)
	}
	if d, _, err := of("ns=7;i=6"); err != nil || d.base != typeString {
		t.Errorf("a text under two names: %+v, %v", d, err)
	}
	if d, _, err := of("ns=7;i=8"); err != nil || d.fields[0].typ != d {
		t.Errorf("a structure that holds itself: %+v, %v", d, err)
	}
	for _, text := range []string{"ns=7;i=5", "ns=7;i=9", "ns=7;i=99"} {
		if _, x, err := of(text); problem.CodeOf(err) != problem.TypeUnknown || !strings.Contains(err.Error(), "does not say how") || len(x.byType) > 0 && text != "ns=7;i=9" {
			t.Errorf("%s: got %v", text, err)
		}
	}
	// What is not described keeps its body all the same.
	eo := new(ua.ExtensionObject)
	if _, err := eo.Decode(bodyOf{}.u8(1, 7, 105, 0, 1).u32(2).u8(1, 2)); err != nil {
		t.Fatal(err)
	}
	if r, ok := eo.Value.(*raw); !ok || len(r.body) != 2 {
		t.Errorf("body %+v", eo.Value)
	}
	reads := server.reads
	if _, _, err := of("i=294"); err != nil || server.reads != reads {
		t.Errorf("a known type was asked for: %v", err)
	}
}
