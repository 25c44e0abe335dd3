package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
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

const (
	part   = `(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})`
	lotRE  = `^lot:` + part + `*:` + part + `+:` + part + `+$`
	objRE  = `^[a-z][a-z_]{0,31}:(?:` + part + `+:)?` + part + `+$`
	idRE   = `^(?:n-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`
	plantE = `^[a-z][a-z0-9-]{1,15}$`
	equipE = `^[a-z0-9-]{1,64}$`
	// Encoded bytes that need no encoding, and control characters: never part of a canonical key.
	badPct = `%(?:[01][0-9A-F]|7F|2D|2E|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])`
)

var (
	lotPattern    = regexp.MustCompile(lotRE)
	objectPattern = regexp.MustCompile(objRE)
	idPattern     = regexp.MustCompile(idRE)
	plantPattern  = regexp.MustCompile(plantE)
	equipPattern  = regexp.MustCompile(equipE)
	badPattern    = regexp.MustCompile(badPct)
)

// notCanonical tells whether a key has bytes encoded that must not be. Most have none that are.
func notCanonical(key string) bool { return strings.Contains(key, "%") && badPattern.MatchString(key) }

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
	if len(k) > maxKey || !lotPattern.MatchString(string(k)) || notCanonical(string(k)) {
		return fmt.Errorf("%.80q is no lot key: want lot:{scope}:{material}:{lot}, percent-encoded", string(k))
	}
	return nil
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
	if len(o) > maxKey || !objectPattern.MatchString(string(o)) || notCanonical(string(o)) {
		return fmt.Errorf("%.80q is no object id: want {kind}:{system}:{native id}, percent-encoded", string(o))
	}
	return nil
}

func (id ID) check() error {
	if !idPattern.MatchString(string(id)) {
		return fmt.Errorf("%.80q is no event id", string(id))
	}
	return nil
}

func (p PlantID) check() error {
	if !plantPattern.MatchString(string(p)) {
		return fmt.Errorf("%.80q is no plant id: want 2 to 16 of a-z, 0-9 and -, a letter first", string(p))
	}
	return nil
}

// CheckPlant tells whether text is a plant id.
func CheckPlant(text string) error { return PlantID(text).check() }

// CheckAgent tells whether text is an agent or equipment id.
func CheckAgent(text string) error { return EquipmentID(text).check() }

func (e EquipmentID) check() error {
	if !equipPattern.MatchString(string(e)) {
		return fmt.Errorf("%.80q is no equipment id: want a-z, 0-9 and -", string(e))
	}
	return nil
}

func (a AgentID) check() error {
	if !equipPattern.MatchString(string(a)) {
		return fmt.Errorf("%.80q is no agent id: want a-z, 0-9 and -", string(a))
	}
	return nil
}

// NaturalID returns the id of a fact with a natural key: plant is empty for a system registered as shared, key is
// what identifies the record there, ordinal counts from 0 among the events of one type that one record gives.
func NaturalID(plant, system string, key []string, typ Type, ordinal int) ID {
	h := sha256.New()
	write := func(part string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	write(plant)
	write(system)
	for _, k := range key {
		write(k)
	}
	write(string(typ))
	write(strconv.Itoa(ordinal))
	return ID("n-" + hex.EncodeToString(h.Sum(nil)[:16]))
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
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
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
