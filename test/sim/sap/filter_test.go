package sap

import "testing"

func FuzzFilter(f *testing.F) {
	f.Add("Material eq 'M-1' and (Batch gt 'O''Neil' or LastChangeDateTime ge datetimeoffset'2026-11-24T08:00:00Z')")
	f.Add("((((a eq null")
	f.Fuzz(func(_ *testing.T, text string) {
		if parsed, err := parseFilter(text); err == nil {
			parsed.matches(map[string]any{"Material": "M-1", "Batch": nil})
			parsed.wanted("Material")
			parsed.batches()
		}
	})
}

func FuzzTarget(f *testing.F) {
	f.Add("Batch(Material='M-1',BatchIdentifyingPlant='',Batch='O''Neil')")
	f.Add("Batch('")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseTarget(text) })
}
