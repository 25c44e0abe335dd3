package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// OfAnchors returns what the anchor file outside of the database says of the ledger's chain: one line for each statement,
// with how many entries the chain had and the hash of the last one.
func OfAnchors(path string) (History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read anchors: %w", err)
	}
	defer func() { _ = f.Close() }()
	var h History
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var a struct {
			Count int64  `json:"count"`
			Head  string `json:"head"`
			At    string `json:"at"`
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, fmt.Errorf("anchor %d: %w", len(h)+1, err)
		}
		at, err := moment(a.At)
		if err != nil {
			return nil, fmt.Errorf("anchor %d: %w", len(h)+1, err)
		}
		h = append(h, Fact{At: at, Kind: Ledger, By: "anchor", State: Anchored, Place: Place{Offset: a.Count}, Chain: a.Head})
	}
	return h, nil
}
