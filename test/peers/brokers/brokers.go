// Package brokers gives a stack real brokers in place of the embedded ones, where the environment names their programs:
// HOLDFAST_PEER_KAFKA_JARS the folder of Kafka's jars, HOLDFAST_PEER_MOSQUITTO the program of Mosquitto.
package brokers

import (
	"os"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// Choose sets the brokers of a stack to what the environment names. What it does not name stays embedded.
func Choose(cfg *stack.Config) {
	if jars := os.Getenv("HOLDFAST_PEER_KAFKA_JARS"); jars != "" {
		cfg.Kafka = func() (stack.Kafka, error) { return startKafka(jars) }
	}
	if program := os.Getenv("HOLDFAST_PEER_MOSQUITTO"); program != "" {
		cfg.MQTT = func() (stack.MQTT, error) { return startMosquitto(program) }
	}
}
