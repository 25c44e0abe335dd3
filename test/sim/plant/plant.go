// Package plant plays a plant: a press and an MES that publish over MQTT, as their makers' gateways do.
package plant

import (
	"encoding/json"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Topics of the plant.
const (
	TopicResult = "acme/p1/stamping/press4/result"
	TopicSignal = "acme/p1/stamping/press4/signal"
	TopicLot    = "acme/p1/mes/lot"
	TopicHold   = "acme/p1/mes/hold"
	TopicLift   = "acme/p1/mes/lift"
)

// Result is a measurement as the press publishes it.
type Result struct {
	Record         string `json:"record"`
	Rev            int    `json:"rev"`
	Lot            string `json:"lot"`
	Material       string `json:"material"`
	Inspection     string `json:"inspection"`
	Characteristic string `json:"characteristic"`
	Sample         int    `json:"sample"`
	Value          string `json:"value"`
	Unit           string `json:"unit"`
	LSL            string `json:"lsl"`
	USL            string `json:"usl"`
	Safety         bool   `json:"safety"`
	At             string `json:"at"`
}

// Lot is a lot as the MES publishes it.
type Lot struct {
	Record    string `json:"record"`
	Lot       string `json:"lot"`
	Material  string `json:"material"`
	Qty       string `json:"qty"`
	Unit      string `json:"unit"`
	Order     string `json:"order"`
	Equipment string `json:"equipment"`
	At        string `json:"at"`
}

// Hold is an operator's hold as the MES publishes it.
type Hold struct {
	Record   string `json:"record"`
	Lot      string `json:"lot"`
	Material string `json:"material"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
	At       string `json:"at"`
}

// Lift takes a hold back.
type Lift struct {
	Record   string `json:"record"`
	Hold     string `json:"hold"` // record of the hold
	Lot      string `json:"lot"`
	Material string `json:"material"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
	At       string `json:"at"`
}

// Signal is a sampled value of the press.
type Signal struct {
	Tag   string `json:"tag"`
	Value string `json:"value"`
	Unit  string `json:"unit"`
	At    string `json:"at"`
}

// Stamp writes a time as the plant's systems do.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Publisher publishes with QoS 1.
type Publisher struct{ client mqtt.Client }

// Connect connects to a broker under a client id of its own.
func Connect(url, clientID string) (*Publisher, error) {
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(clientID).SetCleanSession(true).SetProtocolVersion(4).
		SetConnectTimeout(5 * time.Second).SetAutoReconnect(true).SetMaxReconnectInterval(time.Second).SetConnectRetry(true).
		SetConnectRetryInterval(200 * time.Millisecond)
	c := mqtt.NewClient(o)
	if t := c.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return nil, fmt.Errorf("connect to %s: %w", url, t.Error())
	}
	return &Publisher{c}, nil
}

// Send publishes v as JSON and returns when the broker has acknowledged it.
func (p *Publisher) Send(topic string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.SendRaw(topic, b)
}

// SendRaw publishes bytes and returns when the broker has acknowledged them.
func (p *Publisher) SendRaw(topic string, payload []byte) error {
	t := p.client.Publish(topic, 1, false, payload)
	if !t.WaitTimeout(20 * time.Second) {
		return fmt.Errorf("publish to %s: no answer", topic)
	}
	return t.Error()
}

// Start publishes bytes without waiting; the returned function waits for the broker's acknowledgement.
func (p *Publisher) Start(topic string, payload []byte) func() error {
	t := p.client.Publish(topic, 1, false, payload)
	return func() error {
		if !t.WaitTimeout(30 * time.Second) {
			return fmt.Errorf("publish to %s: no answer", topic)
		}
		return t.Error()
	}
}

// Close disconnects.
func (p *Publisher) Close() { p.client.Disconnect(200) }
