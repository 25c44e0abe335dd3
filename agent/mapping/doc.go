// Package mapping turns what a source read into events, by mappings that people write in YAML with expressions of
// expr-lang.
//
// It is pure: no clock, no I/O, no goroutine; the same signal under the same [View] gives the same events. Whatever
// cannot be mapped becomes a quarantine event with its raw bytes and every error found, so that one bad message
// neither stops the line nor vanishes. A panic in an expression is such an error, too.
//
// Every leaf below event, but type and cause, is an expression. It sees:
//
//	p    the payload: what JSON or text holds
//	row  the entry of the mapping's rows at hand; the payload where the mapping has none
//	t    the captures of its topic, such as t.line
//	sig  source, equipment, ref, item, quality, status, flags, time and arrived of the signal
//
// What its source calls less than good is never judged, by judge() or otherwise: nothing passes by it, state() does not
// give it, and an event that may change a lot's release is made of it only by a mapping that looks at quality or status
// of p, row or sig, in rows, when or data. Any other such row is a quarantine record.
//
// Numbers are exact: integers that fit are ints, all others keep their text (45.10 stays 45.10). Comparisons are
// rewritten to compare them as decimals, equality of text with number is an error, and arithmetic goes through add,
// sub, mul and div. A missing last path step is nil; every function of this package fails on nil rather than making it
// empty text or zero. The functions stand in function.go, each with its meaning.
package mapping
