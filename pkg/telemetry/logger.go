package telemetry

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// Formats of a log.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// timeLayout is RFC 3339 with milliseconds, always in UTC: the lines of two hosts must sort together.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// NewLogger returns a program's root logger at level info. Format [FormatConsole] writes lines for a person, coloured
// where w is a terminal; any other format writes one JSON object a line. Several goroutines may use it at once.
func NewLogger(w io.Writer, format string) zerolog.Logger {
	if format == FormatConsole {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !terminal(w)}
	}
	return zerolog.New(zerolog.SyncWriter(w)).Level(zerolog.InfoLevel).Hook(stamp{now: time.Now})
}

// stamp adds the time. zerolog's own time stamp takes its layout from a package variable.
type stamp struct{ now func() time.Time }

// Run implements zerolog.Hook.
func (s stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, s.now().UTC().Format(timeLayout))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
