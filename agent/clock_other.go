//go:build !linux

package agent

// askHost knows nothing here: times are marked as not synchronised.
func askHost() hostTime { return hostTime{} }
