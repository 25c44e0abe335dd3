package telemetry

// Keys of log fields. A message is a constant phrase in lower case; what varies goes into fields, and a field that
// several packages log has its key here, so that one search finds it everywhere.
const (
	KeyPlant     = "plant"
	KeyAgent     = "agent"
	KeyComponent = "component" // which part of the program speaks, such as uplink
	KeySource    = "source"
	KeyEventID   = "event_id"
	KeyEventType = "event_type"
	KeyLotID     = "lot_id"
	KeyLane      = "lane"
	KeyEpoch     = "epoch"
	KeySeq       = "seq"
	KeyTopic     = "topic"
	KeyPartition = "partition"
	KeyOffset    = "offset"
	KeySystem    = "system"
	KeyEffect    = "effect"
	KeyAttempt   = "attempt"
	KeyBackoff   = "backoff" // text of a duration, such as 5s
	KeyFile      = "file"
	KeyAddress   = "address"
	KeyCount     = "count"
	KeyError     = "error"
	KeyErrorCode = "error_code" // E-nnnn of the first problem in the error's chain
	KeyTraceID   = "trace_id"

	KeyPreviousErrors = "previous_errors" // failures since the last success
	KeySince          = "since"           // time of the first of them
)
