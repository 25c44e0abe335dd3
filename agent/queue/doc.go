// Package queue is one lane of the store-and-forward queue on the gateway's disk: what [Lane.Put] has returned for is
// synced, keeps its place (epoch, seq), and stays until the uplink has confirmed it.
//
// # Guarantee
//
// A batch is stored whole or not at all. Seqs are gapless per epoch, assigned inside the commit. Every record carries
// a checksum over its epoch, its seq and all its bytes, checked at every read: a damaged record is reported as
// [Damage], never returned. Nothing unsent is deleted but by [Lane.Drop], which the caller asks for by name. A file
// that does not pass its check is set aside, never deleted, and what can be read of it goes on under its own origin.
//
// # Caveats
//
// A disk that confirms a sync without doing it can lose what was put last. After a crash the acked position may lag
// behind, and urgent records may be handed out again: the receiver must know records by id. A lane holds the files of
// its directory exclusively; a second process gets [problem.QueueLocked].
//
// After any error of a commit it is unknown what is stored. The lane then stays failed ([Lane.Failed]) and the program
// must stop; the next [Open] finds out.
//
// # Metrics
//
// With the label lane: holdfast_agent_queue_size_events, _urgent_size_events, _size_bytes, _max_size_bytes,
// _reserve_used_bytes, _oldest_event_age_seconds, _full_in_seconds, _drain_in_seconds, _received_events_total,
// _sent_events_total, _shed_events_total, _sync_seconds.
//
// # Reading the source
//
// FORMAT.md draws the files. lane.go opens and closes, commit.go has the one goroutine that writes, read.go the
// readers, space.go the quota and what is deleted, check.go and salvage.go what happens to a damaged file, pages.go
// reads a file without mapping it.
package queue
