package opcua

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// Config says what line to start. The zero value is one on a free port of loopback, without security.
type Config struct {
	Addr      string        // "" = a free port of loopback
	Name      string        // of the line, and the first part of its nodes; "" = PressLine1
	Namespace string        // "" = urn:example:plant: with the name in lower case
	Identity  *Identity     // nil = one is made, with the URI urn:example:server: and the name
	Security  []string      // policy/mode, or None; nil = None
	User      bool          // take user name and password (any), too
	Shift     int           // namespaces before the line's own, which move its index
	Without   []string      // variables left out
	Seq       uint32        // number of the part before the first
	Beat      time.Duration // of the heartbeat; 0 = half a second
	History   History       // zero = none is kept
	Bulk      int           // further variables, Bulk.0 and on, whole numbers
}

// Press is a running line. Its methods may be called from several goroutines.
type Press struct {
	cfg     Config
	front   *Front
	server  *server.Server
	stop    context.CancelFunc
	beating sync.WaitGroup
	space   uint16

	making sync.Mutex // held while a part is made, so that parts come in the order of their numbers; before mu

	mu     sync.Mutex // guards what follows; held over no I/O
	values map[string]*ua.DataValue
	types  map[string]*ua.NodeID
	seq    uint32

	history map[string][]*ua.DataValue // oldest first
	asked   int                        // times that history was read
}

// recordType and recordEncoding are nodes of the structure CycleRecordType, in the line's namespace.
const (
	recordType     = 3001
	recordEncoding = 5001
)

// Start starts a line.
func Start(cfg Config) (p *Press, err error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	for range 10 { // somebody else may take the free port before the server does
		if p, err = start(cfg); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return p, err
}

func start(cfg Config) (*Press, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &Press{cfg: cfg, seq: cfg.Seq, values: map[string]*ua.DataValue{}, types: map[string]*ua.NodeID{}, history: map[string][]*ua.DataValue{}}
	if p.front, err = OpenFront(cfg.Addr, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		return nil, fmt.Errorf("start press line: %w", err)
	}
	p.server = server.New(p.options(port)...)
	p.build()
	if p.cfg.History.Keep > 0 {
		p.serveHistory()
	}
	p.numberSubscriptions()
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if err := p.server.Start(ctx); err != nil {
		stop()
		p.front.Close()
		return nil, fmt.Errorf("start press line: %w", err)
	}
	p.beating.Go(func() { p.beat(ctx) })
	return p, nil
}

func (c *Config) fill() (err error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Name == "" {
		c.Name = "PressLine1"
	}
	if c.Namespace == "" {
		c.Namespace = "urn:example:plant:" + strings.ToLower(c.Name)
	}
	if c.Security == nil {
		c.Security = []string{"None"}
	}
	if c.Beat == 0 {
		c.Beat = 500 * time.Millisecond
	}
	if c.Identity == nil {
		c.Identity, err = NewIdentity("urn:example:server:"+c.Name, nil)
	}
	return err
}

// freePort returns a port for the server itself, which cannot choose one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (p *Press) options(port int) []server.Option {
	front := p.front.listener.Addr().(*net.TCPAddr)
	options := []server.Option{
		server.EndPoint("127.0.0.1", port),             // it listens on the first
		server.EndPoint(front.IP.String(), front.Port), // it answers clients only for the address that they use
		server.Certificate(p.cfg.Identity.DER), server.PrivateKey(p.cfg.Identity.Key), server.ServerName(p.cfg.Name),
		server.EnableAuthMode(ua.UserTokenTypeAnonymous),
	}
	if p.cfg.User {
		options = append(options, server.EnableAuthMode(ua.UserTokenTypeUserName))
	}
	for _, text := range p.cfg.Security {
		policy, mode, _ := strings.Cut(text, "/")
		if policy == "None" {
			mode = "None"
		}
		options = append(options, server.EnableSecurity(policy, ua.MessageSecurityModeFromString(mode)))
	}
	return options
}

// build makes the address space.
func (p *Press) build() {
	for i := range p.cfg.Shift {
		server.NewNodeNameSpace(p.server, "urn:example:filler:"+strconv.Itoa(i))
	}
	ns := server.NewNodeNameSpace(p.server, p.cfg.Namespace)
	p.space = ns.ID()
	now := time.Now()
	record := ua.NewFourByteNodeID(byte(p.space), recordType)
	for _, v := range []struct {
		name  string
		typ   *ua.NodeID
		value any
	}{
		{"Torque", ua.NewTwoByteNodeID(id.Double), 0.0},
		{"TorqueLo", ua.NewTwoByteNodeID(id.Double), 40.0},
		{"TorqueHi", ua.NewTwoByteNodeID(id.Double), 50.0},
		{"LotId", ua.NewTwoByteNodeID(id.String), ""},
		{"PartId", ua.NewTwoByteNodeID(id.String), ""},
		{"CycleSeq", ua.NewTwoByteNodeID(id.UInt32), p.cfg.Seq},
		{"CycleRecord", record, nil},
		{"Heartbeat", ua.NewTwoByteNodeID(id.UInt32), uint32(0)},
	} {
		if slices.Contains(p.cfg.Without, v.name) {
			continue
		}
		p.types[v.name] = v.typ
		p.values[v.name] = dataValue(v.value, now)
		ns.AddNode(p.variable(v.name, v.typ))
	}
	for i := range p.cfg.Bulk {
		name := "Bulk." + strconv.Itoa(i)
		p.types[name], p.values[name] = ua.NewTwoByteNodeID(id.UInt32), dataValue(uint32(0), now)
		ns.AddNode(p.variable(name, p.types[name]))
	}
	ns.AddNode(server.NewNode(record, map[ua.AttributeID]*ua.DataValue{
		ua.AttributeIDNodeClass:          server.DataValueFromValue(uint32(ua.NodeClassDataType)),
		ua.AttributeIDDataTypeDefinition: server.DataValueFromValue(ua.NewExtensionObject(p.definition())),
	}, nil, nil))
}

func (p *Press) variable(name string, typ *ua.NodeID) *server.Node {
	return server.NewNode(p.id(name), map[ua.AttributeID]*ua.DataValue{
		ua.AttributeIDNodeClass:       server.DataValueFromValue(uint32(ua.NodeClassVariable)),
		ua.AttributeIDDataType:        server.DataValueFromValue(typ),
		ua.AttributeIDAccessLevel:     server.DataValueFromValue(byte(ua.AccessLevelTypeCurrentRead)),
		ua.AttributeIDUserAccessLevel: server.DataValueFromValue(byte(ua.AccessLevelTypeCurrentRead)),
	}, nil, func() *ua.DataValue { return p.Value(name) })
}

// definition describes the structure as a server of today does.
func (p *Press) definition() *ua.StructureDefinition {
	d := &ua.StructureDefinition{
		DefaultEncodingID: ua.NewFourByteNodeID(byte(p.space), recordEncoding), BaseDataType: ua.NewTwoByteNodeID(id.Structure),
	}
	for _, f := range []struct {
		name string
		typ  uint8
	}{
		{"Seq", id.UInt32}, {"LotId", id.String}, {"PartId", id.String}, {"Torque", id.Double}, {"TorqueLo", id.Double}, {"TorqueHi", id.Double},
		{"Ok", id.Boolean}, {"At", id.DateTime},
	} {
		d.Fields = append(d.Fields, &ua.StructureField{
			Name: f.name, DataType: ua.NewTwoByteNodeID(f.typ), ValueRank: -1, Description: &ua.LocalizedText{}, ArrayDimensions: []uint32{},
		})
	}
	return d
}

func (p *Press) id(name string) *ua.NodeID {
	return ua.NewStringNodeID(p.space, p.cfg.Name+"."+name)
}

// URL returns the endpoint's address.
func (p *Press) URL() string { return "opc.tcp://" + p.front.Addr() }

// Addr returns the address for another line that takes this one's place.
func (p *Press) Addr() string { return p.front.Addr() }

// Identity returns the server's certificate with its key.
func (p *Press) Identity() *Identity { return p.cfg.Identity }

// Node returns a variable as it stands in a configuration.
func (p *Press) Node(name string) string {
	return "nsu=" + p.cfg.Namespace + ";s=" + p.cfg.Name + "." + name
}

// Seq returns the number of the newest part.
func (p *Press) Seq() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// Part makes a part of a lot and returns its number. Values are its torque, then the lower and the upper limit, where
// they change.
func (p *Press) Part(lot string, values ...float64) uint32 {
	p.making.Lock()
	defer p.making.Unlock()
	now := time.Now()
	p.mu.Lock()
	p.seq++
	seq := p.seq
	limits := [2]float64{40, 50}
	torque := 45.0
	if len(values) > 0 {
		torque = values[0]
	}
	copy(limits[:], values[min(len(values), 1):])
	r := record{
		seq: seq, lot: lot, part: fmt.Sprintf("P%07d", seq), torque: torque, lo: limits[0], hi: limits[1], ok: torque >= limits[0] && torque <= limits[1],
		at: now,
	}
	p.mu.Unlock()
	p.Set("Torque", r.torque, now)
	p.Set("TorqueLo", r.lo, now)
	p.Set("TorqueHi", r.hi, now)
	p.Set("LotId", r.lot, now)
	p.Set("PartId", r.part, now)
	p.Set("CycleRecord", p.structure(&r), now)
	p.Set("CycleSeq", r.seq, now) // last: it is the trigger
	return seq
}

// Set gives a variable a good value with a source time.
func (p *Press) Set(name string, value any, at time.Time) { p.SetValue(name, dataValue(value, at)) }

// SetValue gives a variable a value with status and times as they are.
func (p *Press) SetValue(name string, dv *ua.DataValue) {
	p.mu.Lock()
	if _, known := p.types[name]; !known {
		p.mu.Unlock()
		return
	}
	dv.UpdateMask()
	p.values[name] = dv
	p.keepHistory(name, dv)
	p.mu.Unlock()
	p.server.ChangeNotification(p.id(name))
}

// Hide makes a variable unknown to who reads it, and says so to no one who subscribed to it.
func (p *Press) Hide(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[name] = &ua.DataValue{Status: ua.StatusBadNodeIDUnknown, EncodingMask: ua.DataValueStatusCode}
}

// Value returns what a variable has.
func (p *Press) Value(name string) *ua.DataValue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[name]
}

func dataValue(value any, at time.Time) *ua.DataValue {
	dv := &ua.DataValue{SourceTimestamp: at, ServerTimestamp: time.Now()}
	if value != nil {
		dv.Value = ua.MustVariant(value)
	} else {
		dv.Status = ua.StatusBadWaitingForInitialData
	}
	dv.UpdateMask()
	return dv
}

// beat changes the heartbeat until the line stops.
func (p *Press) beat(ctx context.Context) {
	tick := time.NewTicker(p.cfg.Beat)
	defer tick.Stop()
	for n := uint32(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.Set("Heartbeat", n, now)
		}
	}
}

// Freeze holds all bytes, as a server that hangs. New connections are taken, and get no answer.
func (p *Press) Freeze() { p.front.Freeze() }

// Thaw lets bytes pass again, those held first.
func (p *Press) Thaw() { p.front.Thaw() }

// Reset cuts all connections; the server lives on.
func (p *Press) Reset() { p.front.Reset() }

// numberSubscriptions keeps the server from giving a number twice: it gives one more than it has subscriptions, so that
// after one has ended the next one would take the place of a living one.
func (p *Press) numberSubscriptions() {
	p.server.RegisterHandler(id.CreateSubscriptionRequest_Encoding_DefaultBinary, func(c *uasc.SecureChannel, r ua.Request, n uint32) (ua.Response, error) {
		subs := p.server.SubscriptionService
		subs.Mu.Lock()
		for free := uint32(1 << 31); subs.Subs[uint32(len(subs.Subs))+1] != nil; free++ {
			if subs.Subs[free] == nil {
				subs.Subs[free] = server.NewSubscription() // only to be counted
			}
		}
		subs.Mu.Unlock()
		return subs.CreateSubscription(c, r, n)
	})
}

// Close ends the line at once, as a power cut does. Another one may take its address.
func (p *Press) Close() {
	p.front.Close()
	_ = p.server.Close() // its connections are gone already; what they sent is still taken
	p.stop()
	p.beating.Wait()
	subs := p.server.SubscriptionService
	subs.Mu.Lock()
	ids := slices.Collect(maps.Keys(subs.Subs))
	subs.Mu.Unlock()
	for _, id := range ids {
		subs.DeleteSubscription(id) // those of connections that broke would live on
	}
}

// record is one part as a structure.
type record struct {
	seq        uint32
	lot, part  string
	torque     float64
	lo, hi     float64
	ok         bool
	at         time.Time
	afterwards []byte // bytes that no definition has
}

// Encode writes the members in the order of the definition.
func (r *record) Encode() ([]byte, error) {
	b := ua.NewBuffer(nil)
	b.WriteUint32(r.seq)
	b.WriteString(r.lot)
	b.WriteString(r.part)
	b.WriteFloat64(r.torque)
	b.WriteFloat64(r.lo)
	b.WriteFloat64(r.hi)
	b.WriteBool(r.ok)
	b.WriteTime(r.at)
	b.Write(r.afterwards)
	return b.Bytes(), b.Error()
}

func (p *Press) structure(r *record) *ua.ExtensionObject {
	return &ua.ExtensionObject{
		EncodingMask: ua.ExtensionObjectBinary, Value: r,
		TypeID: ua.NewExpandedNodeID(ua.NewFourByteNodeID(byte(p.space), recordEncoding), "", 0),
	}
}

// Damage sends a part's structure with bytes behind its last member.
func (p *Press) Damage() {
	now := time.Now()
	p.Set("CycleRecord", p.structure(&record{seq: p.Seq(), at: now, afterwards: []byte{1, 2, 3}}), now)
}
