// Package mqtt reads topics of an MQTT 3.1.1 broker over a persistent session.
//
// # Guarantee
//
// A message is acknowledged to the broker after the batch that holds it is on disk, in the order of arrival, and never
// before. What the agent does not acknowledge, the broker keeps and sends again: after a crash of the agent, a cut or
// a full queue nothing is missing, and a second delivery has the same event id. A start of the agent is a gap, and so is a
// connection that is away for longer than disconnect_gap; both are closed when a session that the broker kept has given
// all that waited. A session that it has lost is a gap that stays open. A message of any length ends as a signal: of one
// above max_payload its head, length and hash.
//
// # Caveats
//
// What a publisher sends with QoS 0 is outside the promise; so are messages that the broker itself drops, as
// Mosquitto does by default from the 1001st waiting one on. Order is that of arrival, which a reconnect may change
// unless the broker's in-flight limit is 1. Neither packet id nor DUP flag proves that a message was stored: they hold
// within one connection only, so the table of packet ids is made anew with each.
//
// At most 64 MiB of payloads (or two of max_payload, if that is more) and twice in_flight messages (or 2000) are in hand; at
// that the link is read no further.
//
// # Reading the source
//
// source.go is the loop over connections, connection.go one of them, guard.go stands between the library and the
// socket, gate.go bounds what is in hand, table.go recognises what comes twice, calm.go finds out when nothing waits at
// the broker any more.
package mqtt
