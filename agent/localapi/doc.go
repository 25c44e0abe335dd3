// Package localapi is how the command line speaks with the running agent: JSON over HTTP on a unix socket.
//
//	GET  /v1/status         how the agent stands
//	GET  /v1/queue          its lanes alone
//	GET  /v1/lot?name=      whether a lot may move; name is its key, or its number where only one lot has it
//	GET  /v1/lots?after=    the same of all known lots, by pages
//	GET  /v1/tap            events as they become durable, one JSON object a line, until the caller goes
//	POST /v1/reload         reads the configuration again and replaces the one in force whole, or not at all
//	POST /v1/queue/replay   what would be sent again; with execute, sends it: one JSON object a line
//
// Only the agent's own user and root can connect: the socket has mode 0600, and on Linux the kernel names the user at
// the other end, which is the principal of what that user does. A caller cannot choose its name. On other systems the
// principal is the user that the agent runs as, since no other can connect.
//
// The documents are a contract: fields are only added, and a reader ignores what it does not know.
package localapi
