package event

import (
	"encoding/json"
	"testing"
)

// FuzzDecode_Message reads records with any headers. What is accepted has to be written and read again as the same
// event. With seal, hash and subject are made to fit, so that mutation of the value gets past them.
func FuzzDecode_Message(f *testing.F) {
	for _, dir := range goldenDirs(f, "headers.json") {
		m := goldenRecord(f, dir)
		f.Add(m.Key, []byte(goldenText(f, dir, "headers.json")), m.Value, false)
		f.Add(m.Key, []byte(goldenText(f, dir, "headers.json")), m.Value, true)
	}
	f.Fuzz(func(t *testing.T, key, headers, value []byte, seal bool) {
		var pairs map[string]string
		if json.Unmarshal(headers, &pairs) != nil {
			return
		}
		if seal {
			data, err := DecodeData(Type(pairs[HeaderType]), value)
			if err != nil {
				return
			}
			pairs[HeaderHash] = string(contentHash(data.Type(), data.Concerns(), value))
			if pairs[HeaderSubject] = data.Subject(); data.Subject() != "" {
				key = []byte(data.Subject())
			}
		}
		m := Message{Key: key, Value: value}
		for name, text := range pairs {
			m.Headers = append(m.Headers, Header{name, []byte(text)})
		}
		e, err := Decode(m)
		if err != nil {
			return
		}
		again, err := Decode(e.Message())
		if err != nil {
			t.Fatalf("an accepted event is refused when it is written again: %v", err)
		}
		if diff := difference(e, again); diff != "" {
			t.Fatalf("an accepted event comes out changed (-first +second):\n%s", diff)
		}
		if again.Origin.Agent != "" && again.Origin.Lane != specs[e.Data.Type()].Lane {
			t.Fatalf("%s is accepted in lane %s", e.Data.Type(), again.Origin.Lane)
		}
	})
}
