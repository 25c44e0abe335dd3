package opcua

import (
	"context"
	"slices"
	"testing"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
)

// TestLife_Pass loses nothing of what the server counts as received, and keeps its order, when the life ends while the
// committer takes nothing.
func TestLife_Pass(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "i=2258"}}})
	l.in, l.freed = make(chan delivery, 2), make(chan struct{}, 1)
	l.watches = []*watch{{role: roleValue, track: l.tracks[0]}}
	l.subs = []*subscription{{Subscription: &opcua.Subscription{}}}
	list := &ua.DataChangeNotification{}
	for n := range uint32(6) {
		list.MonitoredItems = append(list.MonitoredItems, &ua.MonitoredItemNotification{Value: &ua.DataValue{Value: ua.MustVariant(n)}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.receive(ctx, &opcua.PublishNotificationData{Value: list})
	}()
	sourcetest.Until(t, "the reader waits for room", func() bool { return l.subs[0].blocked.Load() })
	cancel()
	<-done
	var got []uint32
	for len(l.in) > 0 {
		got = append(got, (<-l.in).value.Value.Value().(uint32))
	}
	for _, d := range l.rest {
		got = append(got, d.value.Value.Value().(uint32))
	}
	if !slices.Equal(got, []uint32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("values %v", got)
	}
}

// TestLife_Receive ends the life on what means that nothing more will come, and on nothing else.
func TestLife_Receive(t *testing.T) {
	for name, c := range map[string]struct {
		n     *opcua.PublishNotificationData
		alive bool
	}{
		"subscription ended by the server": {&opcua.PublishNotificationData{Value: &ua.StatusChangeNotification{Status: ua.StatusBadTimeout}}, false},
		"error of the library":             {&opcua.PublishNotificationData{Error: ua.StatusBadUnexpectedError}, false},
		"value of no item of ours":         {&opcua.PublishNotificationData{Value: &ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{{ClientHandle: 9, Value: &ua.DataValue{}}, nil, {}}}}, true},
		"event of no item of ours":         {&opcua.PublishNotificationData{Value: &ua.EventNotificationList{Events: []*ua.EventFieldList{{ClientHandle: 9}, nil}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := deskLife(t, Config{Items: []Item{{Node: "i=2258"}}})
			l.receive(t.Context(), c.n)
			if l.alive() != c.alive {
				t.Errorf("alive %t, want %t", l.alive(), c.alive)
			}
			if !c.alive {
				if err := <-l.ended; l.inWords(err) == nil {
					t.Error("no reason is given")
				}
			}
		})
	}
}
