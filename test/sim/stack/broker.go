package stack

import "github.com/holdfast-mesh/holdfast/test/sim/broker"

// Kafka is a cluster that anybody may do all with.
type Kafka interface {
	Addrs() []string // host:port of each node
	Close()
}

// MQTT is a broker of a plant that lets anybody in.
type MQTT interface {
	Addr() string // host:port
	URL() string
	Close()
}

func (c *Config) startKafka() (Kafka, error) {
	if c.Kafka != nil {
		return c.Kafka()
	}
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// startMQTT starts the broker of a plant; dir is for an embedded one.
func (c *Config) startMQTT(dir string) (MQTT, error) {
	if c.MQTT != nil {
		return c.MQTT()
	}
	m, err := broker.StartMQTT(broker.MQTTConfig{Dir: dir})
	if err != nil {
		return nil, err
	}
	return m, nil
}
