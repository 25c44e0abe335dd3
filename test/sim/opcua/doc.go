// Package opcua is a press line behind an OPC UA server, for tests and the demo.
//
// The server is the library's own: it takes any password, knows no events, gives one value per item and publishing cycle,
// and its clock node hardly ticks, so that the line has a heartbeat of its own, and answers for its history itself. It
// judges mapping and recovery. Events, users and what else belongs to a whole server are judged by an independent one.
//
// All connections pass through a front, where they can be frozen, as those of a hung server, and reset.
package opcua
