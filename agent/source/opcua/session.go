package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// lifetime is how long a server keeps a subscription from which nobody takes anything.
	lifetime = 60 * time.Second
	// keepAlives is after how many empty intervals a server says that it is there.
	keepAlives = 20
	// perPublish bounds the values in one answer: with a thousand an answer stays far below maxMessage.
	perPublish = 1000
	// itemQueue is how many values of an item a server is to keep while nobody takes them: with a part each second that
	// is a quarter of an hour.
	itemQueue = 1000
	// perSubscription bounds the items of one subscription: the library asks for one answer at a time.
	perSubscription = 10_000
	// perCall is how many nodes a call names where the server states no limit.
	perCall = 500
)

// limits are those of the server, or perCall.
type limits struct{ read, monitor int }

// abilities is what a server has shown that it cannot do. The library ends its connection on every service that a
// server refuses as a whole, so that asking again in each life would end each life. A restarted server is asked anew.
type abilities struct {
	read, monitor int // nodes in one call that were too many; 0 = none were
	noHistory     bool
	noRefresh     bool
}

// refuses tells whether an error says that the server does not take part in a service, unlike a broken connection.
func refuses(err error) bool {
	var status ua.StatusCode
	if !errors.As(err, &status) || quality(status) != source.Bad {
		return false
	}
	switch ua.StatusCode(uint32(status) & factBits) {
	case ua.StatusBadTimeout, ua.StatusBadServerNotConnected, ua.StatusBadNotConnected, ua.StatusBadConnectionClosed, ua.StatusBadSecureChannelClosed,
		ua.StatusBadSecureChannelIDInvalid, ua.StatusBadSessionClosed, ua.StatusBadSessionIDInvalid, ua.StatusBadSessionNotActivated, ua.StatusBadShutdown,
		ua.StatusBadServerHalted, ua.StatusBadRequestTimeout, ua.StatusBadCommunicationError:
		return false
	}
	return true
}

// Nodes read of every server (OPC 10000-6, annex A).
const (
	nodeNamespaces   = 2255
	nodeStartTime    = 2257
	nodeCurrentTime  = 2258
	nodePerRead      = 11705
	nodePerMonitored = 11714
)

// survey reads what the server says of itself: namespaces, start, clock and limits.
func (l *life) survey(ctx context.Context) error {
	l.super.Set(source.Resolving, nil)
	ids := []uint32{nodeNamespaces, nodeStartTime, nodeCurrentTime, nodePerRead, nodePerMonitored}
	nodes := make([]*ua.NodeID, len(ids))
	for i, id := range ids {
		nodes[i] = numeric(0, id)
	}
	l.limits = l.server.limits()
	asked := l.deps.Now()
	got, err := l.readAll(ctx, nodes)
	if err != nil {
		return l.explain(err)
	}
	answered := l.deps.Now()
	v := func(i int) any {
		if got[i].Value == nil {
			return nil
		}
		return got[i].Value.Value()
	}
	names, _ := v(0).([]string)
	if len(names) == 0 {
		return problem.New(problem.SourceRefused, "server %s does not let its namespaces be read", l.cfg.Endpoint)
	}
	l.values = values{spaces: names, types: newTypes(l.client), server: l.at.Server, sign: l.sign}
	if at, ok := v(2).(time.Time); ok && !missing(at) {
		l.values.skew = at.Sub(asked.Add(answered.Sub(asked) / 2))
	}
	l.lastSkew = l.values.skew
	l.deps.Metrics.skew.WithLabelValues(l.deps.ID).Set(l.values.skew.Seconds())
	if started, ok := v(1).(time.Time); ok && !missing(started) {
		if old := l.at.Started; !old.IsZero() && !old.Equal(started) {
			l.server = abilities{}
			l.blame(source.GapServerRestart, source.GapDisconnect, source.GapWatchdog)
		}
		l.at.Started = started
	}
	if n, ok := number(v(3)); ok && n > 0 {
		l.limits.read = int(min(n, uint64(l.limits.read)))
	}
	if n, ok := number(v(4)); ok && n > 0 {
		l.limits.monitor = int(min(n, uint64(l.limits.monitor)))
	}
	return nil
}

// limits are what a server takes in one call, as far as is known.
func (a abilities) limits() limits {
	l := limits{perCall, perCall}
	if a.read > 0 {
		l.read = max(1, a.read/2)
	}
	if a.monitor > 0 {
		l.monitor = max(1, a.monitor/2)
	}
	return l
}

// readAll reads the values of nodes, as many at once as the server takes.
func (l *life) readAll(ctx context.Context, nodes []*ua.NodeID) ([]*ua.DataValue, error) {
	return l.readAttributes(ctx, nodes, ua.AttributeIDValue)
}

func (l *life) readAttributes(ctx context.Context, nodes []*ua.NodeID, attribute ua.AttributeID) ([]*ua.DataValue, error) {
	var all []*ua.DataValue
	for some := range slices.Chunk(nodes, l.limits.read) {
		req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnBoth}
		for _, n := range some {
			req.NodesToRead = append(req.NodesToRead, &ua.ReadValueID{NodeID: n, AttributeID: attribute})
		}
		res, err := l.client.Read(ctx, req)
		if errors.Is(err, ua.StatusBadTooManyOperations) {
			l.server.read = len(some)
		}
		if err != nil {
			return nil, err
		}
		if len(res.Results) != len(some) || slices.Contains(res.Results, nil) {
			return nil, fmt.Errorf("server answered %d of %d reads", len(res.Results), len(some))
		}
		all = append(all, res.Results...)
	}
	return all, nil
}

// resolve finds the nodes in this life's namespaces, and how their values are encoded.
func (l *life) resolve(ctx context.Context) error {
	l.watches = nil
	for _, t := range l.tracks {
		t.filling, t.filled, t.historic = nil, time.Time{}, nil
		w := &watch{track: t, heard: time.Now()}
		if t.events != nil {
			w.role = roleEvents
			w.node, w.trouble = l.find(t.events.Notifier)
		} else {
			l.resolveItem(w)
		}
		l.watches = append(l.watches, w)
	}
	if err := l.noneFound(); err != nil {
		return err
	}
	return l.resolveTypes(ctx)
}

func (l *life) resolveItem(w *watch) {
	item := w.track.item
	if item.Pattern == PatternCounter {
		w.role = roleCounter
	}
	w.node, w.trouble = l.find(item.Node)
	for _, m := range item.Members {
		node, err := l.find(m)
		if err != nil {
			w.trouble = fmt.Errorf("member %s: %w", m, err)
		}
		w.members = append(w.members, node)
	}
}

func (l *life) find(text string) (*ua.NodeID, error) {
	n, err := parseNode(text)
	if err != nil {
		return nil, err
	}
	return l.values.spaces.resolve(n)
}

// noneFound refuses the source where not one of its items has its namespace at the server: it is another server, or
// another program.
func (l *life) noneFound() error {
	var first error
	for _, w := range l.watches {
		if w.trouble == nil {
			return nil
		}
		if first == nil {
			first = w.trouble
		}
	}
	return first
}

// resolveTypes reads the data types of all nodes, members included, and registers their structures.
func (l *life) resolveTypes(ctx context.Context) error {
	var nodes []*ua.NodeID
	var takers []func(*definition)
	for _, w := range l.watches {
		if w.trouble != nil || w.role == roleEvents {
			continue
		}
		w.memTyp = make([]*definition, len(w.members))
		nodes = append(nodes, w.node)
		takers = append(takers, func(d *definition) { w.typ = d })
		for i, m := range w.members {
			nodes = append(nodes, m)
			takers = append(takers, func(d *definition) { w.memTyp[i] = d })
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	got, err := l.readAttributes(ctx, nodes, ua.AttributeIDDataType)
	if err != nil {
		return l.explain(err)
	}
	for i, dv := range got {
		if dv.Value == nil {
			continue
		}
		id, ok := dv.Value.Value().(*ua.NodeID)
		if !ok {
			continue // values tell their own type
		}
		d, err := l.values.types.of(ctx, l.values.spaces, id, 0)
		if err != nil {
			if ctx.Err() != nil {
				return l.explain(err)
			}
			l.notes = append(l.notes, fmt.Sprintf("%s: %v", l.values.spaces.name(nodes[i]), err))
			l.deps.Log.Warn().Err(err).Str("item", l.values.spaces.name(nodes[i])).Msg("opcua data type not known")
			continue
		}
		takers[i](d)
	}
	return nil
}

// subscribe makes all subscriptions empty, then the items in batches, each of which is judged by its own status.
func (l *life) subscribe(ctx context.Context) error {
	count := (len(l.watches) + perSubscription - 1) / perSubscription
	for range count {
		sub, err := l.client.Subscribe(ctx, &opcua.SubscriptionParameters{
			Interval: l.cfg.Publish, LifetimeCount: uint32(lifetime / l.cfg.Publish), MaxKeepAliveCount: keepAlives, MaxNotificationsPerPublish: perPublish,
		}, l.notifs)
		if err != nil {
			return l.explain(err)
		}
		s := &subscription{Subscription: sub, since: time.Now()}
		l.subs = append(l.subs, s)
	}
	for i, w := range l.watches {
		w.sub = i / perSubscription
	}
	if err := l.addHeartbeats(); err != nil {
		return err
	}
	for i := range l.subs {
		if err := l.monitor(ctx, i); err != nil {
			return err
		}
		l.subs[i].hear()
	}
	return nil
}

// addHeartbeats gives each subscription an item that changes each second. Keep-alives of the server end in the library.
func (l *life) addHeartbeats() error {
	node, err := l.find(l.cfg.Heartbeat)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	for i := range l.subs {
		l.watches = append(l.watches, &watch{role: roleHeartbeat, sub: i, node: node})
	}
	return nil
}

// monitor creates the items of one subscription.
func (l *life) monitor(ctx context.Context, sub int) error {
	var handles []int
	for i, w := range l.watches {
		if w.sub == sub && w.trouble == nil && !w.created {
			handles = append(handles, i)
		}
	}
	for len(handles) > 0 {
		some := handles[:min(len(handles), l.limits.monitor)]
		err := l.create(ctx, sub, some)
		if errors.Is(err, ua.StatusBadTooManyOperations) {
			l.server.monitor = len(some)
		}
		if err != nil {
			return l.explain(err)
		}
		handles = handles[len(some):]
	}
	return nil
}

func (l *life) create(ctx context.Context, sub int, handles []int) error {
	var items []*ua.MonitoredItemCreateRequest
	for _, h := range handles {
		item, err := l.request(l.watches[h], uint32(h))
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	res, err := l.subs[sub].Monitor(ctx, ua.TimestampsToReturnBoth, items...)
	if err != nil {
		return err
	}
	if len(res.Results) != len(handles) {
		return fmt.Errorf("server created %d of %d items", len(res.Results), len(handles))
	}
	for i, r := range res.Results {
		l.createdAs(l.watches[handles[i]], r)
	}
	if hb := l.heartbeatOf(sub); hb != nil && hb.trouble != nil {
		return problem.New(problem.NodeMissing, "heartbeat %s: %w", l.cfg.Heartbeat, hb.trouble)
	}
	return nil
}

func (l *life) heartbeatOf(sub int) *watch {
	for _, w := range l.watches {
		if w.role == roleHeartbeat && w.sub == sub {
			return w
		}
	}
	return nil
}

// createdAs takes the server's answer for one item in. A bad one is retried; all others go on.
func (l *life) createdAs(w *watch, r *ua.MonitoredItemCreateResult) {
	if r == nil || quality(r.StatusCode) == source.Bad {
		status := ua.StatusBad
		if r != nil {
			status = r.StatusCode
		}
		text := statusName(status)
		if strings.Contains(text, "0x80440000") {
			text += ": a deadband in percent needs the node's range"
		}
		w.trouble = problem.New(problem.NodeMissing, "%s", text)
		w.retry = time.Now().Add(l.pace.missing)
		if w.track != nil {
			l.logItem(w, w.trouble, "opcua item is not read")
		}
		return
	}
	w.created, w.id = true, r.MonitoredItemID
	w.revised = time.Duration(r.RevisedSamplingInterval * float64(time.Millisecond))
}

// request says how an item is to be monitored. The trigger includes the source time: by the default one, thirty parts
// with the same measured value are one.
func (l *life) request(w *watch, handle uint32) (*ua.MonitoredItemCreateRequest, error) {
	req := opcua.NewMonitoredItemCreateRequestWithDefaults(w.node, ua.AttributeIDValue, handle)
	p := req.RequestedParameters
	p.QueueSize, p.DiscardOldest = itemQueue, true
	switch {
	case w.role == roleHeartbeat:
		p.SamplingInterval, p.QueueSize = float64(time.Second/time.Millisecond), 1
		return req, nil
	case w.role == roleEvents:
		filter, err := l.filter(w.track.events)
		if err != nil {
			return nil, err
		}
		req.ItemToMonitor.AttributeID = ua.AttributeIDEventNotifier
		p.Filter = ua.NewExtensionObject(filter)
		return req, nil
	case w.track.item.Pattern == PatternSample:
		p.SamplingInterval = float64(w.track.item.Every / time.Millisecond)
	}
	p.Filter = ua.NewExtensionObject(&ua.DataChangeFilter{Trigger: ua.DataChangeTriggerStatusValueTimestamp})
	return req, nil
}

// retryMissing tries the items that are not read, and reads those that have been silent for too long.
func (l *life) retryMissing(ctx context.Context, emit source.Emit) error {
	var b source.Batch
	now := time.Now()
	for i, w := range l.watches {
		if w.track == nil {
			continue
		}
		silent := w.track.item != nil && w.track.item.MaxSilence > 0 && now.Sub(w.heard) > w.track.item.MaxSilence
		switch {
		case w.trouble != nil && now.After(w.retry) && !w.retry.IsZero():
			w.retry = now.Add(l.pace.missing)
			l.tryAgain(ctx, i, &b)
		case w.trouble == nil && silent:
			w.heard = now
			l.look(ctx, w, &b)
		}
	}
	if len(b.Signals)+len(b.Gaps)+len(b.Closed) == 0 {
		return nil
	}
	return l.super.Emit(ctx, emit, b)
}

// tryAgain creates an item that could not be created, or reads one that had gone.
func (l *life) tryAgain(ctx context.Context, handle int, b *source.Batch) {
	w := l.watches[handle]
	if w.created {
		l.look(ctx, w, b)
		return
	}
	old := w.trouble
	w.trouble = nil
	if err := l.create(ctx, w.sub, []int{handle}); err != nil {
		w.trouble = old // the connection itself is judged elsewhere
	}
	if w.trouble == nil {
		l.returned(w)
	}
}

// returned makes an item that is read again explain what it missed.
func (l *life) returned(w *watch) {
	w.trouble = nil
	l.deps.Log.Info().Str("item", w.track.name).Msg("opcua item is read again")
	if o := l.outage(w.track.name); o != nil {
		l.resume(o, []*track{w.track})
	}
	l.troubled(l.watches)
}

// look reads an item's value: whether it is there at all, its silence does not tell.
func (l *life) look(ctx context.Context, w *watch, b *source.Batch) {
	if w.role == roleEvents {
		return
	}
	got, err := l.readAll(ctx, []*ua.NodeID{w.node})
	if err != nil {
		return // the connection itself is judged elsewhere
	}
	if w.trouble != nil && !gone(got[0].Status) {
		l.returned(w)
	}
	if w.role == roleValue || gone(got[0].Status) {
		l.changed(w, got[0], nil, l.deps.Now(), b)
	}
}
