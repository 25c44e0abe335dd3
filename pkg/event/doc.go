// Package event is the contract between plants, cloud and subscribers: envelope, ids, value types, one data struct
// per event type, and their binding to Kafka records (CloudEvents 1.0, binary mode).
//
// The same fact gives the same bytes: members are written in schema order without white space, absent ones are left
// out, decimals stay text. [DecodeData] accepts what the JSON Schema of the type accepts; a test proves it. The
// package is pure: no clock, no I/O, no goroutine.
//
// An event about a lot has the member lot. The last member of every value is provenance, which holds what a second
// reading of the same fact may change; the content hash leaves it out.
package event
