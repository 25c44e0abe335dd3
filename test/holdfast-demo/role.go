package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// A role is a hidden command: the part of one simulated system, played by this program as a process of its own. It ends
// when its standard input does, so that none outlives the demo, however that ends.

// readyLine is what a role writes to stderr when others may turn to it, as agent and cloud do.
type readyLine struct {
	Message string `json:"message"` // ready
	Address string `json:"address,omitempty"`
	Kafka   string `json:"kafka,omitempty"` // of the broker
}

func (l readyLine) write() error {
	l.Message = "ready"
	return json.NewEncoder(os.Stderr).Encode(l)
}

// role returns the command of a role. Play gets a context that ends with standard input.
func role(name, short string, play func(ctx context.Context, input io.Reader) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return play(c.Context(), os.Stdin) },
	}
}

// untilEOF returns a context that ends when the input does.
func untilEOF(ctx context.Context, input io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the input, and so before the process
		defer cancel()
		_, _ = io.Copy(io.Discard, input)
	}()
	return ctx
}

func brokerRole() *cobra.Command {
	var dir string
	c := role("broker", "play the plant's MQTT broker and the Kafka cluster", func(ctx context.Context, input io.Reader) error {
		log := telemetry.NewLogger(os.Stderr, telemetry.FormatJSON)
		mqtt, err := broker.StartMQTT(broker.MQTTConfig{Dir: filepath.Join(dir, "mqtt"), Log: log})
		if err != nil {
			return err
		}
		defer mqtt.Close()
		kafka, err := broker.StartKafka(broker.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Log: log})
		if err != nil {
			return err
		}
		defer kafka.Close()
		if err := (readyLine{Address: mqtt.URL(), Kafka: kafka.Addrs()[0]}).write(); err != nil {
			return err
		}
		<-untilEOF(ctx, input).Done()
		return nil
	})
	c.Flags().StringVar(&dir, "dir", "", "where messages are kept")
	return c
}

func erpRole() *cobra.Command {
	var book string
	c := role("erp", "play the ERP", func(ctx context.Context, input io.Reader) error {
		s, err := sap.New(sap.Config{User: stack.ERPUser, Password: stack.ERPPassword, AutoCreate: true, BookFile: book})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		return serve(untilEOF(ctx, input), s.Handler)
	})
	c.Flags().StringVar(&book, "book", "", "file of its book")
	return c
}

func qmsRole() *cobra.Command {
	var book string
	c := role("qms", "play the QMS", func(ctx context.Context, input io.Reader) error {
		s, err := qms.New(qms.Config{Token: stack.QMSToken, BookFile: book})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		return serve(untilEOF(ctx, input), s.Handler)
	})
	c.Flags().StringVar(&book, "book", "", "file of its book")
	return c
}

// serve serves a handler on a free loopback port until ctx ends.
func serve(ctx context.Context, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := (readyLine{Address: l.Addr().String()}).write(); err != nil {
		return err
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
