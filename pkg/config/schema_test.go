package config

import "testing"

func TestSchema(t *testing.T) {
	d := defaults()
	got := map[string]KeyDoc{}
	for _, key := range Schema(&d) {
		got[key.Path] = key
	}
	for _, want := range []KeyDoc{
		{"plant", "a text", "", "id of the plant"},
		{"burst", "a whole number from 0", "10", ""},
		{"queue", "keys with values", "", ""},
		{"queue.disk", "a size such as 8GiB or 500kB", "1GiB", "room on disk"},
		{"queue.keep_sent", "a duration such as 5s or 168h", "1h0m0s", ""},
		{"kafka.tls.ca", "a text", "", "certificates that may sign the server's, PEM; empty: those of the system"},
		{"sources", "a list", "", ""},
		{"sources[].mqtt.interval", "a duration such as 5s or 168h", "0s", ""},
	} {
		if got[want.Path] != want {
			t.Errorf("key %s = %+v, want %+v", want.Path, got[want.Path], want)
		}
	}
}
