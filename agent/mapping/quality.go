package mapping

import (
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// doubtful tells whether the source itself calls a signal less than good. The number in it may look as plausible as any
// other: a broken sensor often keeps its last one. A message has no quality but what stands in its payload, which its
// mapping reads.
func doubtful(sig *source.Signal) bool {
	return sig.Kind != source.KindMessage && sig.Quality != source.Good
}

// isQuality tells whether a member of p, row or sig is how a mapping looks at the quality of a value.
func isQuality(owner, member string) bool {
	return (owner == "p" || owner == "row" || owner == "sig") && (member == "quality" || member == "status")
}

// passes tells whether data states that something passed.
func passes(data event.Object) bool {
	return slices.ContainsFunc(data, func(m event.Member) bool {
		return (m.Name == "evaluation" || m.Name == "verdict") && m.Value == "pass"
	})
}

func quality(args ...any) (any, error) {
	q, err := severity(args[0], args[1].(string))
	if err != nil {
		return nil, fmt.Errorf("quality: %w", err)
	}
	return string(q), nil
}

func severity(code any, system string) (source.Quality, error) {
	if system == "kepware" {
		good, ok := code.(bool)
		switch {
		case !ok:
			return "", fmt.Errorf("is %s: kepware sends true or false", kind(code))
		case good:
			return source.Good, nil
		}
		return source.Bad, nil
	}
	n, ok := numeric(code)
	if !ok || n.rat().Sign() < 0 || !n.rat().IsInt() || !n.rat().Num().IsUint64() {
		return "", fmt.Errorf("is %s: want a code of %s, a whole number", kind(code), system)
	}
	c := n.rat().Num().Uint64()
	switch {
	case system == "opcua" && c <= 1<<32-1: // severity bits: OPC 10000-4, StatusCode
		return []source.Quality{source.Good, source.Uncertain, source.Bad, source.Bad}[c>>30], nil
	case (system == "sparkplug" || system == "ignition") && c == 500:
		return source.Stale, nil
	case system == "sparkplug" && c == 192, system == "ignition" && c >= 192 && c <= 255, system == "ie" && c == 3:
		return source.Good, nil
	case system == "sparkplug" && c == 0, system == "ignition" && (c < 64 || c > 255), system == "ie" && c == 0:
		return source.Bad, nil
	case system == "sparkplug", system == "ignition", system == "ie":
		return source.Uncertain, nil
	}
	return "", fmt.Errorf("does not know the codes of %q: want kepware, opcua, ignition, ie or sparkplug", system)
}
