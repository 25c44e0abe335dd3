//go:build unix

package opcua

import (
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	config "github.com/holdfast-mesh/holdfast/agent/source/opcua"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// historyOnly reads the one variable whose every value the server keeps.
func historyOnly(c *config.Config) {
	c.Items = []config.Item{{Node: count, Pattern: config.PatternRecord, Seq: "."}}
}

// TestPeer_LibraryGoesSilent shows that the rig can fail: the library's own reconnect, left to itself, stays connected
// after a reset and brings no value any more. Once it does, our own supervision may be worth another look.
func TestPeer_LibraryGoesSilent(t *testing.T) {
	p := startPress(t)
	front, err := sim.OpenFront("127.0.0.1:0", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	ctx := t.Context()
	url := "opc.tcp://" + front.Addr() + "/press7"
	endpoints, err := opcua.GetEndpoints(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	ep, err := opcua.SelectEndpoint(endpoints, "None", ua.MessageSecurityModeNone)
	if err != nil {
		t.Fatal(err)
	}
	c, err := opcua.NewClient(url, opcua.SecurityFromEndpoint(ep, ua.UserTokenTypeUserName), opcua.AuthUsername("holdfast", "press7-secret"),
		opcua.AutoReconnect(true), opcua.ReconnectInterval(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx) })
	values := make(chan *opcua.PublishNotificationData, 1000)
	sub, err := c.Subscribe(ctx, &opcua.SubscriptionParameters{Interval: 250 * time.Millisecond}, values)
	if err != nil {
		t.Fatal(err)
	}
	index, err := c.FindNamespace(ctx, "urn:example:peer:press7")
	if err != nil {
		t.Fatal(err)
	}
	node := ua.NewStringNodeID(index, "Press7.Count")
	if _, err := sub.Monitor(ctx, ua.TimestampsToReturnBoth, opcua.NewMonitoredItemCreateRequestWithDefaults(node, ua.AttributeIDValue, 1)); err != nil {
		t.Fatal(err)
	}
	came := func(within time.Duration) bool {
		deadline := time.After(within)
		for {
			select {
			case v := <-values:
				if _, ok := v.Value.(*ua.DataChangeNotification); ok {
					return true
				}
			case <-deadline:
				return false
			}
		}
	}
	if !came(returns) {
		t.Fatal("no value came at all")
	}
	front.Reset()
	pass(3 * time.Second)
	for len(values) > 0 {
		<-values
	}
	if came(returns) {
		t.Error("the library brings values after a reset: read its changelog, and look again at why we do not let it reconnect")
	}
	if c.State() != opcua.Connected {
		t.Logf("state %v", c.State())
	}
}
