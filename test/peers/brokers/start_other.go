//go:build !unix

package brokers

import (
	"errors"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

var errSystem = errors.New("servers of others are started on unix alone")

func startKafka(string) (stack.Kafka, error) { return nil, errSystem }

func startMosquitto(string) (stack.MQTT, error) { return nil, errSystem }
