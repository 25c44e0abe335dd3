package telemetry_test

import (
	"errors"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

func ExampleQuiet() {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	quiet := telemetry.Quiet{Log: zerolog.New(os.Stdout), Now: func() time.Time { return now }}
	for range 100 {
		quiet.Failed(errors.New("connection refused"), "kafka unreachable")
		now = now.Add(time.Second)
	}
	quiet.Recovered("sending again")
	// Output:
	// {"level":"warn","error":"connection refused","message":"kafka unreachable"}
	// {"level":"warn","error":"connection refused","previous_errors":60,"since":"2026-01-02T03:04:05.000Z","message":"kafka unreachable"}
	// {"level":"info","previous_errors":100,"since":"2026-01-02T03:04:05.000Z","message":"sending again"}
}
