package opcua

import (
	"context"
	"fmt"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// types are the data types of one life: definitions may change with the server's program.
type types struct {
	ask        asker
	byType     map[string]*definition // by data type
	byEncoding map[string]*definition // by encoding id, which stands before a structure's body
}

// asker is the part of the library's client that looks things up.
type asker interface {
	Read(context.Context, *ua.ReadRequest) (*ua.ReadResponse, error)
	Browse(context.Context, *ua.BrowseRequest) (*ua.BrowseResponse, error)
}

var _ asker = (*opcua.Client)(nil)

func newTypes(ask asker) *types {
	return &types{ask: ask, byType: map[string]*definition{}, byEncoding: map[string]*definition{}}
}

// known are types of namespace 0 that are built-in ones under another name, so that servers which cannot be browsed
// are read, too (OPC 10000-5, 12.2).
func known(dataType *ua.NodeID) builtin {
	if dataType.Namespace() != 0 || dataType.Type() == ua.NodeIDTypeString {
		return 0
	}
	switch n := dataType.IntID(); n {
	case 288, 289, 17588, 20998: // IntegerId, Counter, Index, VersionTime
		return typeUInt32
	case 290: // Duration
		return typeDouble
	case 294, 13: // UtcTime
		return typeDateTime
	case 291, 295, 12877, 12878, 12879, 12880, 12881, 23751, 24263: // NumericRange, LocaleId, texts with a form, UriString
		return typeString
	case 30: // Image
		return typeByteString
	case 24, 26, 27, 28: // BaseDataType, Number, Integer, UInteger: any of them
		return typeVariant
	case 29: // Enumeration
		return typeInt32
	default:
		if n >= uint32(typeBoolean) && n <= uint32(typeDiagnosticInfo) {
			return builtin(n)
		}
	}
	return 0
}

// errUnknownType says that a server does not tell how a type is encoded, as those of OPC UA 1.03 cannot.
func errUnknownType(s spaces, dataType *ua.NodeID) error {
	return problem.New(problem.TypeUnknown, "server does not say how its data type %s is encoded", s.name(dataType))
}

// of returns how a data type is encoded. Structures that it finds are registered with the library.
func (t *types) of(ctx context.Context, s spaces, dataType *ua.NodeID, depth int) (*definition, error) {
	if dataType == nil || depth > maxNest {
		return nil, errNest
	}
	if d := t.byType[dataType.String()]; d != nil {
		return d, nil
	}
	if b := known(dataType); b != 0 {
		return &definition{base: b}, nil
	}
	d := &definition{}
	t.byType[dataType.String()] = d // before its members: a structure may hold lists of itself
	if err := t.fill(ctx, s, d, dataType, depth); err != nil {
		delete(t.byType, dataType.String())
		return nil, err
	}
	return d, nil
}

func (t *types) fill(ctx context.Context, s spaces, d *definition, dataType *ua.NodeID, depth int) error {
	got, err := t.attribute(ctx, dataType, ua.AttributeIDDataTypeDefinition)
	if err != nil {
		return err
	}
	eo, _ := got.(*ua.ExtensionObject)
	if eo == nil {
		return t.inherit(ctx, s, d, dataType, depth)
	}
	switch def := eo.Value.(type) {
	case *ua.EnumDefinition:
		d.base, d.names = typeInt32, map[int64]string{}
		for _, f := range def.Fields {
			if f != nil && len(d.names) < maxFields {
				d.names[f.Value] = f.Name
			}
		}
		return nil
	case *ua.StructureDefinition:
		return t.structure(ctx, s, d, def, depth)
	}
	return errUnknownType(s, dataType)
}

func (t *types) structure(ctx context.Context, s spaces, d *definition, def *ua.StructureDefinition, depth int) error {
	if len(def.Fields) > maxFields {
		return fmt.Errorf("data type has %d members: want %d at most", len(def.Fields), maxFields)
	}
	d.isStruct, d.structure = true, def.StructureType
	withSubtypes := def.StructureType == ua.StructureTypeStructureWithSubtypedValues || def.StructureType == ua.StructureTypeUnionWithSubtypedValues
	for _, f := range def.Fields {
		if f == nil {
			return fmt.Errorf("data type has an empty member")
		}
		inner, err := t.of(ctx, s, f.DataType, depth+1)
		if err != nil {
			return fmt.Errorf("member %s: %w", f.Name, err)
		}
		d.fields = append(d.fields, fieldDefinition{
			name: f.Name, typ: inner, rank: f.ValueRank, optional: f.IsOptional && !withSubtypes, subtypes: f.IsOptional && withSubtypes,
		})
	}
	t.register(def.DefaultEncodingID, d)
	return nil
}

// register makes the library keep the body of a structure. Those of namespace 0 it knows itself, by types of its own.
func (t *types) register(encoding *ua.NodeID, d *definition) {
	if encoding == nil || encoding.Namespace() == 0 {
		return
	}
	ua.RegisterExtensionObject(encoding, new(raw))
	t.byEncoding[encoding.String()] = d
}

// inherit looks for the type that a type is derived from, up to a built-in one. A structure found on that way has no
// description of its own: its bodies are kept as they are.
func (t *types) inherit(ctx context.Context, s spaces, d *definition, dataType *ua.NodeID, depth int) error {
	above, err := t.browse(ctx, dataType, ua.BrowseDirectionInverse, id.HasSubtype)
	if err != nil {
		return err
	}
	if len(above) == 0 {
		return errUnknownType(s, dataType)
	}
	base := above[0].NodeID.NodeID
	if base.Namespace() == 0 && base.IntID() == id.Structure {
		t.keepBodies(ctx, dataType)
		return errUnknownType(s, dataType)
	}
	from, err := t.of(ctx, s, base, depth+1)
	if err != nil {
		return err
	}
	*d = *from
	return nil
}

// keepBodies registers the encoding of a structure that is not described, so that its bodies reach the quarantine.
func (t *types) keepBodies(ctx context.Context, dataType *ua.NodeID) {
	encodings, err := t.browse(ctx, dataType, ua.BrowseDirectionForward, id.HasEncoding)
	if err != nil {
		return // without them the values have no body, which quarantine says
	}
	for _, ref := range encodings {
		if ref.BrowseName != nil && ref.BrowseName.Name == "Default Binary" && ref.NodeID.NodeID.Namespace() != 0 {
			ua.RegisterExtensionObject(ref.NodeID.NodeID, new(raw))
		}
	}
}

func (t *types) attribute(ctx context.Context, node *ua.NodeID, attribute ua.AttributeID) (any, error) {
	res, err := t.ask.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: node, AttributeID: attribute}}})
	if err != nil {
		return nil, err
	}
	if len(res.Results) != 1 || res.Results[0] == nil || res.Results[0].Value == nil {
		return nil, nil
	}
	return res.Results[0].Value.Value(), nil
}

func (t *types) browse(ctx context.Context, node *ua.NodeID, way ua.BrowseDirection, reference uint32) ([]*ua.ReferenceDescription, error) {
	res, err := t.ask.Browse(ctx, &ua.BrowseRequest{NodesToBrowse: []*ua.BrowseDescription{{
		NodeID: node, BrowseDirection: way, ReferenceTypeID: numeric(0, reference), IncludeSubtypes: true,
		NodeClassMask: 0, ResultMask: uint32(ua.BrowseResultMaskAll),
	}}})
	if err != nil {
		return nil, err
	}
	var all []*ua.ReferenceDescription
	for _, r := range res.Results {
		for _, ref := range r.References {
			if ref != nil && ref.NodeID != nil && ref.NodeID.NodeID != nil {
				all = append(all, ref)
			}
		}
	}
	return all, nil
}
