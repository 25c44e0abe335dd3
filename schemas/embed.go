// Package schemas is the contract on the wire, owned by neither side: one JSON Schema (draft 2020-12) per event type
// and major version, one of heads, the value types that they share in defs.json, and the table of units. It only hands out bytes;
// pkg/event has the same rules as Go code, and tests there prove the two equal on each member of each type.
//
// Golden events for readers in any language stand in testdata/, which is not embedded.
package schemas

import (
	"embed"
	"encoding/json"
	"io/fs"
	"strings"
)

// Base is what the $id of every document starts with. It is a name, no address: nothing is ever fetched from it.
const Base = "https://holdfast.example/schemas/"

// Head is what the schema of heads is called. A head is no event.
const Head = "agent.head.stated.v1"

const (
	defs  = "defs.json"
	units = "units.json"
)

//go:embed *.json
var files embed.FS

// Files returns all documents, read-only: {type}.json for each event type and [Head], defs.json and units.json. A validator is
// given each schema under [Base] and its file name, so that no reference leaves the program.
func Files() fs.FS { return files }

// Read returns the schema of an event type, such as quality.hold.placed.v1, or of [Head]; false if there is none. The caller owns
// the bytes.
func Read(eventType string) ([]byte, bool) {
	name := eventType + ".json"
	if name == defs || name == units {
		return nil, false
	}
	b, err := files.ReadFile(name)
	return b, err == nil
}

// Types returns the event types that have a schema, sorted.
func Types() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("schemas: " + err.Error()) // impossible: the directory is part of the program
	}
	var types []string
	for _, e := range entries {
		if name := e.Name(); name != defs && name != units && name != Head+".json" {
			types = append(types, strings.TrimSuffix(name, ".json"))
		}
	}
	return types
}

// Units returns the UCUM unit of each code of UN/ECE Recommendation 20 that quality data usually carries: KGM is kg.
// Pieces are {each}. A code that is not in it is not guessed. Each call reads the table anew; the caller keeps and
// owns the result.
func Units() map[string]string {
	b, err := files.ReadFile(units)
	if err != nil {
		panic("schemas: " + err.Error()) // impossible: the table is part of the program
	}
	var rows map[string]struct{ Name, UCUM string }
	if err := json.Unmarshal(b, &rows); err != nil {
		panic("schemas: " + units + ": " + err.Error()) // impossible: a test reads it
	}
	table := make(map[string]string, len(rows))
	for code, row := range rows {
		table[code] = row.UCUM
	}
	return table
}
