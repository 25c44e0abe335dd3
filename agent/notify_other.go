//go:build !linux

package agent

import "time"

// sinceBoot returns 0: no service manager here asks for it.
func sinceBoot() time.Duration { return 0 }
