package api

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Hashing says how much work a password's hash takes. It stands in each hash, so that it can grow over the years without
// anybody's password becoming invalid.
type Hashing struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultHashing is the second recommendation of RFC 9106, section 4, with one thread: 64 MiB and three passes take some
// 0.2 s of one core. One password is looked at at a time, so that this bounds the memory, too.
var DefaultHashing = Hashing{Memory: 64 << 10, Time: 3, Threads: 1}

// Limits of what a stored hash may ask for, so that a damaged row cannot stop the program.
const (
	maxMemory  = 1 << 20 // KiB
	maxTime    = 64
	maxThreads = 16
	saltBytes  = 16
	hashBytes  = 32
)

// Limits of a password. Length is what counts (NIST SP 800-63B, 3.1.1.2, asks for 15 characters where it is the only
// component; here the user name is the other one of 21 CFR 11.200).
const (
	minPassword = 12  // characters
	maxPassword = 256 // bytes
)

// checkPassword refuses a password that is too short, too long, or made of the user's own name.
func checkPassword(password string, names ...string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return problem.New(problem.Usage, "the password has fewer than %d characters", minPassword)
	case len(password) > maxPassword:
		return problem.New(problem.Usage, "the password has more than %d bytes", maxPassword)
	case !utf8.ValidString(password) || strings.ContainsAny(password, "\r\n\x00"):
		return problem.New(problem.Usage, "the password has a line break or is not UTF-8")
	}
	rest := strings.ToLower(password)
	for _, word := range strings.Fields(strings.ToLower(strings.Join(names, " "))) {
		rest = strings.ReplaceAll(rest, word, "")
	}
	if utf8.RuneCountInString(rest) < minPassword/2 {
		return problem.New(problem.Usage, "the password is little more than the user's name")
	}
	return nil
}

// hash returns the hash of a password in PHC form: $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
func (h Hashing) hash(password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}
	key := argon2.IDKey([]byte(password), salt, h.Time, h.Memory, h.Threads, hashBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Time, h.Threads, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// storedHash is a hash in its parts.
type storedHash struct {
	Hashing
	salt, key []byte
}

var phcPattern = regexp.MustCompile(`^\$argon2id\$v=(\d{1,3})\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,128})$`)

var errHash = errors.New("stored hash is none of argon2id in PHC form")

// parseHash reads what [Hashing.hash] writes.
func parseHash(text string) (h storedHash, err error) {
	m := phcPattern.FindStringSubmatch(text)
	if m == nil {
		return h, errHash
	}
	var n [4]uint64
	for i := range n {
		n[i], _ = strconv.ParseUint(m[i+1], 10, 32) // the pattern lets digits through alone, and few
	}
	if n[0] != argon2.Version || n[1] < 8*n[3] || n[1] > maxMemory || n[2] < 1 || n[2] > maxTime || n[3] < 1 || n[3] > maxThreads {
		return h, fmt.Errorf("%w: version, memory, passes or threads are outside their limits", errHash)
	}
	h.Hashing = Hashing{Memory: uint32(n[1]), Time: uint32(n[2]), Threads: uint8(n[3])}
	b64 := base64.RawStdEncoding.Strict()
	if h.salt, err = b64.DecodeString(m[5]); err != nil {
		return h, errHash
	}
	if h.key, err = b64.DecodeString(m[6]); err != nil {
		return h, errHash
	}
	return h, nil
}

// matches tells, in a time that does not depend on how near it is, whether the password is the one of the hash.
func (h *storedHash) matches(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.Time, h.Memory, h.Threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}
