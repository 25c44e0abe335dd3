// Package dialect plays five plants whose systems say the same facts in five ways: other field names, other units,
// decimal commas, codes, flat and nested messages, ids with and without their leading zeros, times in five forms.
//
// A [Fact] is what happened, in nobody's words. [Site.Say] gives the message that a plant's systems publish about it,
// [Site.Events] the events that must come of that message, whatever the dialect: ids, times and data to the byte, but
// for provenance. Events are worked out here from the contract alone; nothing of the agent is asked.
package dialect
