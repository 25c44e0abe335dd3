package event

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Decimal is an exact decimal number as text: up to 18 digits before and 9 after the point, no exponent, no sign but
// minus. It is never a float64.
type Decimal string

func (d Decimal) check() error {
	if !isDecimal(string(d)) {
		return fmt.Errorf("%.60q is no decimal number: want digits and a point, up to 18 before and 9 after it", string(d))
	}
	return nil
}

func isDecimal(s string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !isDigits(whole, 18) || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	return !point || isDigits(fraction, 9)
}

// isDigits tells whether s is 1 to most decimal digits.
func isDigits(s string, most int) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= most
}

// Cmp compares two valid decimals as numbers: -1, 0 or 1. "1.0" equals "1".
func (d Decimal) Cmp(other Decimal) int { return d.Rat().Cmp(other.Rat()) }

// Rat returns the number, or 0 if d is not valid.
func (d Decimal) Rat() *big.Rat {
	if d.check() != nil {
		return new(big.Rat)
	}
	r, _ := new(big.Rat).SetString(string(d))
	return r
}

// CheckDecimal tells whether text is a [Decimal].
func CheckDecimal(text string) error { return Decimal(text).check() }

// Unit is a UCUM unit code. Pieces are {each}, ratios 1.
type Unit string

func (u Unit) check() error {
	if len(u) < 1 || len(u) > 32 || strings.ContainsFunc(string(u), func(r rune) bool { return r < '!' || r > '~' }) {
		return fmt.Errorf("%.60q is no UCUM unit: want 1 to 32 printable characters without blanks", string(u))
	}
	return nil
}

// Quantity is an amount with its unit.
type Quantity struct {
	Value Decimal `json:"value"`
	Unit  Unit    `json:"unit"`
}

// Time is a point in time, written as RFC 3339 in UTC without trailing zeros, to the nanosecond. The zero Time means
// that there is none.
type Time struct{ time.Time }

// At returns t in UTC, without a monotonic reading.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Round(0)}
}

// String returns the wire form, or "" for the zero Time.
func (t Time) String() string {
	var room [len(time.RFC3339Nano)]byte
	return string(t.appendTo(room[:0]))
}

// appendTo appends the wire form.
func (t Time) appendTo(b []byte) []byte {
	if t.IsZero() {
		return b
	}
	return t.UTC().AppendFormat(b, time.RFC3339Nano)
}

// fits tells whether the wire form is one that [ParseTime] reads: its year has four digits.
func (t Time) fits() bool {
	year := t.UTC().Year()
	return !t.IsZero() && 0 <= year && year <= 9999
}

// MarshalJSON writes the wire form.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// ParseTime reads the wire form. An offset other than Z, or trailing zeros, are refused: one time has one text.
func ParseTime(text string) (Time, error) {
	var room [len(time.RFC3339Nano)]byte
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || string(Time{t}.appendTo(room[:0])) != text {
		return Time{}, fmt.Errorf("%.60q is no time: want RFC 3339 in UTC, such as 2026-11-24T06:30:00.125Z, without trailing zeros", text)
	}
	return Time{t.UTC()}, nil
}

// Name is a short text that people and systems use as a name or code: 1 to 256 characters, none of them a control
// character.
type Name string

func (n Name) check() error {
	count, control := 0, -1
	for i, r := range n {
		if count++; control < 0 && (r < 0x20 || r == 0x7f) {
			control = i
		}
	}
	switch {
	case count < 1 || count > 256:
		return fmt.Errorf("has %d characters: want 1 to 256", count)
	case control >= 0:
		return fmt.Errorf("has a control character at byte %d", control)
	}
	return nil
}

// maxText bounds free text, in characters.
const maxText = 65536

func checkText(s string) error {
	if c := utf8.RuneCountInString(s); c < 1 || c > maxText {
		return fmt.Errorf("has %d characters: want 1 to %d", c, maxText)
	}
	return nil
}

// Hash is a SHA-256 in lower-case hex.
type Hash string

func (h Hash) check() error {
	if !isHex(string(h), 64) {
		return fmt.Errorf("%.80q is no SHA-256 in lower-case hex", string(h))
	}
	return nil
}

// isHex tells whether s is n digits of lower-case hex.
func isHex(s string, n int) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return len(s) == n
}

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }

// Epoch is one run of one agent process: 128 random bits in hex.
type Epoch string

func (e Epoch) check() error {
	if !isHex(string(e), 32) {
		return fmt.Errorf("%.80q is no epoch: want 32 hex digits", string(e))
	}
	return nil
}

// Valid tells whether e is an epoch.
func (e Epoch) Valid() bool { return e.check() == nil }

func oneOf[T ~string](got T, all ...T) error {
	if slices.Contains(all, got) {
		return nil
	}
	return fmt.Errorf("%.60q is none of %q", string(got), slices.Clone(all)) // a copy, so that what is allowed costs no memory
}

// Severity of a defect or nonconformance.
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	Major    Severity = "major"
	Minor    Severity = "minor"
)

func (s Severity) check() error { return oneOf(s, Critical, Major, Minor) }

// HoldKind ranks a hold: recall > safety > quality > doc > system.
type HoldKind string

// Hold kinds, highest rank first.
const (
	HoldRecall  HoldKind = "recall"
	HoldSafety  HoldKind = "safety"
	HoldQuality HoldKind = "quality"
	HoldDoc     HoldKind = "doc"
	HoldSystem  HoldKind = "system" // expiry, reconciliation, failed urgent event
)

func (k HoldKind) check() error {
	return oneOf(k, HoldRecall, HoldSafety, HoldQuality, HoldDoc, HoldSystem)
}

// Authority is the role in whose name a hold is placed or lifted. Operator is below quality.
type Authority string

// Authorities. Rules and agents act with the authority quality.
const (
	AuthorityOperator Authority = "operator"
	AuthorityQuality  Authority = "quality"
)

func (a Authority) check() error { return oneOf(a, AuthorityOperator, AuthorityQuality) }

// Evaluation is the judgement on a value. None means not evaluated, so not complete.
type Evaluation string

// Evaluations (OPC 40001-101: OK, NotOK, NotDecidable, Undefined; QIF: PASS, FAIL, INDETERMINATE, REWORK, the rest).
const (
	Pass          Evaluation = "pass"
	Fail          Evaluation = "fail"
	Indeterminate Evaluation = "indeterminate"
	Rework        Evaluation = "rework"
	NotEvaluated  Evaluation = "none"
)

func (e Evaluation) check() error { return oneOf(e, Pass, Fail, Indeterminate, Rework, NotEvaluated) }

// ValueKind tells a measured number from a counted or judged property.
type ValueKind string

// Value kinds.
const (
	Variable  ValueKind = "variable"
	Attribute ValueKind = "attribute"
)

func (k ValueKind) check() error { return oneOf(k, Variable, Attribute) }

// SignalStatus is the severity of a signal's status (OPC 10000-4, StatusCode severity bits; stale: nothing came).
type SignalStatus string

// Signal statuses.
const (
	StatusGood      SignalStatus = "good"
	StatusUncertain SignalStatus = "uncertain"
	StatusBad       SignalStatus = "bad"
	StatusStale     SignalStatus = "stale"
)

func (s SignalStatus) check() error {
	return oneOf(s, StatusGood, StatusUncertain, StatusBad, StatusStale)
}

// TimeQuality tells how far a source time can be trusted. Order never depends on it.
type TimeQuality string

// Time qualities.
const (
	TimeSynchronised   TimeQuality = "synchronised"
	TimeUnsynchronised TimeQuality = "unsynchronised"
	TimeMissing        TimeQuality = "missing"
	TimeSuspect        TimeQuality = "suspect"
)

func (q TimeQuality) check() error {
	return oneOf(q, TimeSynchronised, TimeUnsynchronised, TimeMissing, TimeSuspect)
}

// UsageStatus is what an ERP enforces for a lot. Other stands for a vendor code that is not known; it counts as
// restricted.
type UsageStatus string

// Usage statuses, least restrictive first.
const (
	Unrestricted UsageStatus = "unrestricted"
	InInspection UsageStatus = "in_inspection"
	Restricted   UsageStatus = "restricted"
	Blocked      UsageStatus = "blocked"
	OtherUsage   UsageStatus = "other"
)

func (u UsageStatus) check() error {
	return oneOf(u, Unrestricted, InInspection, Restricted, Blocked, OtherUsage)
}

// Lane is one of an agent's two queues; it decides the topic.
type Lane string

// Lanes.
const (
	LaneQuality   Lane = "quality"   // all that may change a lot's release; never shed
	LaneTelemetry Lane = "telemetry" // sampled values; oldest shed at quota
)

func (l Lane) check() error { return oneOf(l, LaneQuality, LaneTelemetry) }

// Ref names a record in another system.
type Ref struct {
	System string `json:"system"`         // id of the configured system
	Kind   string `json:"kind"`           // the system's own kind: batch, material_document, ticket ...
	ID     string `json:"id"`             // the system's own id
	ETag   string `json:"etag,omitempty"` // version as last seen; empty = the system has none
}
