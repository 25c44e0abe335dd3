package opcua

import (
	"fmt"
	"strings"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

const (
	// factBits of a status say what a value is worth; the others tell how it came, and differ between a live and a
	// history reading of the same fact (OPC 10000-4, 7.39; OPC 10000-11, 6.5.3).
	factBits = 0xFFFF0000

	infoTypeMask  = 0x0C00
	infoDataValue = 0x0400
	overflowBit   = 0x0080
)

// quality returns the severity of a status: its two highest bits (OPC 10000-4, 7.39).
func quality(s ua.StatusCode) source.Quality {
	switch uint32(s) >> 30 {
	case 0:
		return source.Good
	case 1:
		return source.Uncertain
	}
	return source.Bad
}

// overflowed tells whether the server dropped values before this one. The bit stands in a status that is good.
func overflowed(s ua.StatusCode) bool {
	return uint32(s)&infoTypeMask == infoDataValue && uint32(s)&overflowBit != 0
}

// statusText returns the part of a status that belongs to the fact.
func statusText(s ua.StatusCode) string { return fmt.Sprintf("0x%08X", uint32(s)&factBits) }

// statusName returns name and number of a status for people, as they stand in the standard: the library writes some
// words its own way.
func statusName(s ua.StatusCode) string {
	bare := ua.StatusCode(uint32(s) & factBits)
	if d, ok := ua.StatusCodes[bare]; ok {
		official := strings.NewReplacer("ID", "Id", "URI", "Uri", "TCP", "Tcp").Replace(strings.TrimPrefix(d.Name, "Status"))
		return fmt.Sprintf("%s (0x%08X)", official, uint32(bare))
	}
	return fmt.Sprintf("0x%08X", uint32(bare))
}

// gone tells whether a status means that the node is not there or not ours to read, unlike a bad value of it.
func gone(s ua.StatusCode) bool {
	switch ua.StatusCode(uint32(s) & factBits) {
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid, ua.StatusBadAttributeIDInvalid, ua.StatusBadNotReadable, ua.StatusBadUserAccessDenied:
		return true
	}
	return false
}
