// Package opcua reads OPC UA servers.
//
// Guarantee: what came from a server is emitted, or a gap says what did not come, with from and to. A library's
// "connected" counts for nothing: the source is live while values or a heartbeat arrive from its subscription. Each
// connection has one life with a client of its own; at its end everything is dropped, a new one is built, and what was
// missed is read from the server's history, or explained by the item's own sequence, or left as an open gap.
//
// A signal's Raw is a JSON object of our own, the same for a live and a history reading of one fact:
//
//	id           identity of the fact: of server, node, source time, value and status; of condition, branch and event
//	node         nsu=<namespace uri>;s=...
//	value        number, text, bool, list or object; an object for structures, localized texts and enumerations
//	quality      good, uncertain or bad; a bad value is the last one known and is not to be judged
//	status       severity and code, such as 0x80000000; without the bits that differ between live and history
//	source_time  RFC 3339; absent = the server gave none
//	seq          the item's own sequence number; absent = it has none
//
// An event has the members event_id, type, source_node, source_name, time, message, severity and fields instead of
// value, and condition where it tells of one. What cannot be a value (NaN, null with a good status, another type than
// the node's, a structure that does not fit its definition) stands behind a sentence that says why, so that no mapping
// takes it for one: it ends in quarantine.
//
// Caveats: this package never writes and calls nothing but ConditionRefresh, so a server's queue is told that a value
// arrived before it is on disk. After a crash only history or a sequence tells what that cost, which is why every
// start is a gap until one of them has. Changes between two samples of the server are not seen. The library decodes in
// this process, which a hostile server can end.
//
// Metrics, all with the label source:
//
//	holdfast_agent_opcua_lives_total             connections that got as far as a session
//	holdfast_agent_opcua_gaps_total{reason}      gaps recorded
//	holdfast_agent_opcua_gaps_closed_total       gaps that data explained
//	holdfast_agent_opcua_backfilled_total        values read from history
//	holdfast_agent_opcua_overflow_total          values before which the server dropped others
//	holdfast_agent_opcua_torn_total              records whose parts could not be read at one instant
//	holdfast_agent_opcua_unusable_total          values that no mapping may take
//	holdfast_agent_opcua_bad_total               values with the status bad or uncertain
//	holdfast_agent_opcua_skew_seconds            server's clock minus ours
package opcua
