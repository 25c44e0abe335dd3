package api

import (
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var quick = Hashing{Memory: 64, Time: 1, Threads: 1}

func TestHashing(t *testing.T) {
	const password = "correct horse battery"
	first, err := quick.hash(password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := quick.hash(password)
	if err != nil || first == second {
		t.Errorf("two hashes of one password are alike: %s, %v", first, err)
	}
	if !strings.HasPrefix(first, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(first, password) {
		t.Errorf("hash is %s", first)
	}
	h, err := parseHash(first)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{password: true, password + " ": false, "": false, strings.ToUpper(password): false} {
		if h.matches(text) != want {
			t.Errorf("%q matches: %t, want %t", text, !want, want)
		}
	}
	t.Run("TheDefaultIsWhatTheCommentSays", func(t *testing.T) {
		if DefaultHashing != (Hashing{Memory: 65536, Time: 3, Threads: 1}) {
			t.Errorf("it is %+v", DefaultHashing)
		}
	})
}

// TestHashing_Reference pins the algorithm to a test vector of the reference implementation, so that hashes go on being
// readable whatever library computes them.
func TestHashing_Reference(t *testing.T) {
	h, err := parseHash("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches("password") || h.matches("differentpassword") {
		t.Error("the reference's hash of \"password\" does not match it alone")
	}
}

func TestParseHash(t *testing.T) {
	good, err := quick.hash("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ErrEmpty":    "",
		"ErrBcrypt":   "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"ErrOtherOne": strings.Replace(good, "argon2id", "argon2i", 1),
		"ErrVersion":  strings.Replace(good, "v=19", "v=16", 1),
		"ErrMemory":   strings.Replace(good, "m=64", "m=9999999", 1),
		"ErrNoMemory": strings.Replace(good, "m=64", "m=7", 1),
		"ErrPasses":   strings.Replace(good, "t=1", "t=99", 1),
		"ErrNoPasses": strings.Replace(good, "t=1", "t=0", 1),
		"ErrThreads":  strings.Replace(good, "p=1", "p=99", 1),
		"ErrCut":      good[:len(good)-25],
		"ErrTail":     good + "$",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseHash(text); err == nil {
				t.Errorf("%q was read", text)
			}
		})
	}
}

func FuzzParseHash(f *testing.F) {
	good, err := quick.hash("correct horse battery")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b27RA")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			return
		}
		if h.Memory > maxMemory || h.Time == 0 || h.Time > maxTime || h.Threads == 0 || h.Threads > maxThreads || len(h.salt) == 0 || len(h.key) < 16 {
			t.Errorf("%q gives %+v", text, h)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	for name, c := range map[string]struct {
		password string
		ok       bool
	}{
		"OK":           {"correct horse battery", true},
		"OKUmlauts":    {"Stanzöl für Übermaß", true},
		"ErrShort":     {"eleven char", false},
		"ErrLong":      {strings.Repeat("x", 257), false},
		"ErrLineBreak": {"correct horse\nbattery", false},
		"ErrNotUTF8":   {"correct horse \xff battery", false},
		"ErrOwnName":   {"alice-alice-1", false},
		"ErrPrinted":   {"Alice Weber 12", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkPassword(c.password, "alice", "Alice Weber")
			if (err == nil) != c.ok || err != nil && problem.CodeOf(err) != problem.Usage {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), c.password) {
				t.Errorf("%v tells the password", err)
			}
		})
	}
}
