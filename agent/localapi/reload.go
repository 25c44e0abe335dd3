package localapi

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Reload asks for the configuration to be read again.
type Reload struct {
	Reason string `json:"reason,omitempty"` // stands in the ledger; may be empty
	DryRun bool   `json:"dry_run,omitempty"`
}

// Check tells what is wrong with the order.
func (r *Reload) Check() error {
	if len(r.Reason) > maxReason {
		return problem.New(problem.Usage, "reason has %d bytes: want %d at most", len(r.Reason), maxReason)
	}
	return nil
}

// Reloaded is what a reload has changed, or would. Where nothing differs, nothing was done.
type Reloaded struct {
	Format  int             `json:"format"`
	Applied bool            `json:"applied"` // false: a dry run, or nothing differs
	Before  string          `json:"config_before"`
	Config  string          `json:"config"` // as it was read now; see Status.Config
	Since   time.Time       `json:"since"`  // of the configuration in force
	Changes []config.Change `json:"changes"`

	// Ids of sources. One that is renewed has other settings: it was stopped, and is read from where it stood.
	Started []string `json:"started"`
	Renewed []string `json:"renewed"`
	Stopped []string `json:"stopped"`
	Kept    []string `json:"kept"` // their connections stand
}

// Refusal is why a configuration was not taken.
type Refusal struct {
	At      time.Time `json:"at"`
	Problem string    `json:"problem"` // each finding on a line, with its place and code
}
