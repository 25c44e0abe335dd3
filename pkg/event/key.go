package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// LotKey names a lot: lot:{scope}:{material}:{lot}. Scope is the level at which the ERP makes batch numbers unique
// and may be empty. Parts are the master system's own text, percent-encoded; leading zeros and case are kept.
type LotKey string

// ObjectID names any other object: {kind}:{system}:{native id}, or {kind}:{event id} for one that an event made.
type ObjectID string

// ID is an event's id (ce_id): n- and 32 hex digits for one with a natural key, else a UUID.
type ID string

// PlantID is a plant's id, as it stands in topic names.
type PlantID string

// EquipmentID is the id of a machine, line or instrument, unique in its plant.
type EquipmentID string

// AgentID is the id of an agent, unique in its plant. It has the form of an equipment id.
type AgentID string

const maxKey = 1024 // bytes; far above 40 + 10 + 4 characters, SAP's longest, all of them encoded

// NewLotKey returns the key of a lot. Material and lot are not empty; no part has control characters, outer blanks or
// invalid UTF-8.
func NewLotKey(scope, material, lot string) (LotKey, error) {
	if material == "" || lot == "" {
		return "", errors.New("material and lot of a lot key are not empty")
	}
	for _, p := range []string{scope, material, lot} {
		if err := checkPart(p); err != nil {
			return "", fmt.Errorf("lot key part %q: %w", p, err)
		}
	}
	k := LotKey("lot:" + escape(scope) + ":" + escape(material) + ":" + escape(lot))
	return k, k.check()
}

// Parts returns scope, material and lot as the master system writes them.
func (k LotKey) Parts() (scope, material, lot string, err error) {
	if err := k.check(); err != nil {
		return "", "", "", err
	}
	p := strings.SplitN(string(k), ":", 4)
	return unescape(p[1]), unescape(p[2]), unescape(p[3]), nil
}

func (k LotKey) check() error {
	if len(k) > maxKey || !isLotKey(string(k)) {
		return fmt.Errorf("%.80q is no lot key: want lot:{scope}:{material}:{lot}, percent-encoded", string(k))
	}
	return nil
}

// unreserved tells whether a byte stands for itself in a part of a key (RFC 3986, section 2.3).
func unreserved(c byte) bool {
	return isLower(c) || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// cutPart returns what follows the part of a key that s begins with, percent-encoded where that is needed and nowhere
// else. ok is false where there is none: a part is not empty.
func cutPart(s string) (rest string, ok bool) {
	i := 0
	for i < len(s) {
		switch {
		case unreserved(s[i]):
			i++
		case s[i] == '%' && i+2 < len(s) && mayEncode(s[i+1], s[i+2]):
			i += 3
		default:
			return s[i:], i > 0
		}
	}
	return "", i > 0
}

// mayEncode tells whether the byte written by two digits of hex is one that a key encodes: none that stands for itself, and
// no control character.
func mayEncode(high, low byte) bool {
	h, l := strings.IndexByte(upperHex, high), strings.IndexByte(upperHex, low)
	c := byte(h<<4 | l)
	return h >= 0 && l >= 0 && c >= 0x20 && c != 0x7f && !unreserved(c)
}

const upperHex = "0123456789ABCDEF"

// isLotKey tells whether s is lot:{scope}:{material}:{lot}.
func isLotKey(s string) bool {
	rest, ok := strings.CutPrefix(s, "lot:")
	if !ok {
		return false
	}
	rest, _ = cutPart(rest) // the scope may be empty
	for range 2 {
		if rest, ok = strings.CutPrefix(rest, ":"); !ok {
			return false
		}
		if rest, ok = cutPart(rest); !ok {
			return false
		}
	}
	return rest == ""
}

// isObjectID tells whether s is {kind}:{system}:{native id} or {kind}:{native id}.
func isObjectID(s string) bool {
	kind, rest, ok := strings.Cut(s, ":")
	if !ok || kind == "" || len(kind) > 32 || !isLower(kind[0]) {
		return false
	}
	for i := range len(kind) {
		if !isLower(kind[i]) && kind[i] != '_' {
			return false
		}
	}
	if rest, ok = cutPart(rest); !ok || rest == "" {
		return ok
	}
	if rest, ok = strings.CutPrefix(rest, ":"); !ok {
		return false
	}
	rest, ok = cutPart(rest)
	return ok && rest == ""
}

// isID tells whether s is n- and 32 digits of lower-case hex, or a UUID of such.
func isID(s string) bool {
	if natural, ok := strings.CutPrefix(s, "n-"); ok {
		return isHex(natural, 32)
	}
	const uuid = "00000000-0000-0000-0000-000000000000"
	if len(s) != len(uuid) {
		return false
	}
	for i := range len(uuid) {
		if dash := uuid[i] == '-'; dash && s[i] != '-' || !dash && !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

// isEquipment tells whether s is 1 to 64 of a-z, 0-9 and -.
func isEquipment(s string) bool {
	for i := range len(s) {
		if !isLower(s[i]) && !isDigit(s[i]) && s[i] != '-' {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 64
}

// NewObjectID returns the id of an object that a system knows by its native id.
func NewObjectID(kind, system, native string) (ObjectID, error) {
	if err := checkPart(native); err != nil {
		return "", fmt.Errorf("native id %q: %w", native, err)
	}
	id := ObjectID(kind + ":" + escape(system) + ":" + escape(native))
	return id, id.check()
}

// ObjectOf returns the id of an object that the event with this id made.
func ObjectOf(kind string, id ID) ObjectID { return ObjectID(kind + ":" + string(id)) }

func (o ObjectID) check() error {
	if len(o) > maxKey || !isObjectID(string(o)) {
		return fmt.Errorf("%.80q is no object id: want {kind}:{system}:{native id}, percent-encoded", string(o))
	}
	return nil
}

func (id ID) check() error {
	if !isID(string(id)) {
		return fmt.Errorf("%.80q is no event id", string(id))
	}
	return nil
}

func (p PlantID) check() error {
	if len(p) < 2 || len(p) > 16 || !isLower(p[0]) || !isEquipment(string(p)) {
		return fmt.Errorf("%.80q is no plant id: want 2 to 16 of a-z, 0-9 and -, a letter first", string(p))
	}
	return nil
}

// CheckPlant tells whether text is a plant id.
func CheckPlant(text string) error { return PlantID(text).check() }

// CheckAgent tells whether text is an agent or equipment id.
func CheckAgent(text string) error { return EquipmentID(text).check() }

func (e EquipmentID) check() error {
	if !isEquipment(string(e)) {
		return fmt.Errorf("%.80q is no equipment id: want a-z, 0-9 and -", string(e))
	}
	return nil
}

func (a AgentID) check() error {
	if !isEquipment(string(a)) {
		return fmt.Errorf("%.80q is no agent id: want a-z, 0-9 and -", string(a))
	}
	return nil
}

// NaturalID returns the id of a fact with a natural key: plant is empty for a system registered as shared, key is
// what identifies the record there, ordinal counts from 0 among the events of one type that one record gives.
func NaturalID(plant, system string, key []string, typ Type, ordinal int) ID {
	var room [256]byte
	hashed := room[:0]
	write := func(part string) {
		hashed = append(binary.BigEndian.AppendUint32(hashed, uint32(len(part))), part...)
	}
	write(plant)
	write(system)
	for _, k := range key {
		write(k)
	}
	write(string(typ))
	write(strconv.Itoa(ordinal))
	sum := sha256.Sum256(hashed)
	return ID(hex.AppendEncode(append(hashed[:0], "n-"...), sum[:16]))
}

func checkPart(p string) error {
	switch {
	case !utf8.ValidString(p):
		return errors.New("is not UTF-8")
	case strings.TrimSpace(p) != p:
		return errors.New("has outer blanks")
	case strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return errors.New("has control characters")
	}
	return nil
}

func escape(p string) string {
	n := 0
	for n < len(p) && unreserved(p[n]) {
		n++
	}
	if n == len(p) {
		return p
	}
	var b strings.Builder
	b.WriteString(p[:n])
	for _, c := range []byte(p[n:]) {
		if unreserved(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func unescape(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			if v, err := strconv.ParseUint(p[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(p[i])
	}
	return b.String()
}
