// Package console is the web pages of holdfast-cloud, rendered on the server.
//
// A page is a client of the API: it shows what operations answer and acts by operations, through [api.Desk] and in the
// name of the user who is logged in, so that rights, rules and ledger entries are those of the API. Pages work without
// script; a script makes them live. No page asks another host for anything, and every act is a form with a token of its
// session.
//
// Each page is a file of Go, a template of the same name, and its words in words/en.json.
package console
