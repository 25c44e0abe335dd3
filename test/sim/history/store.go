package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Store is the cloud's database, opened beside a running cloud or after it, for reading alone.
type Store struct {
	db *sql.DB
}

// OpenStore opens the SQLite database at path.
func OpenStore(path string) (*Store, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return Of(db), nil
}

// Of returns the store in a database of either kind that is open.
func Of(db *sql.DB) *Store { return &Store{db} }

// view begins to read one state of the database.
func (s *Store) view(ctx context.Context) (*sql.Tx, error) {
	return s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// History returns what the cloud has kept of a run, in one consistent view: all that it applied, in its order, what
// follows from that for holds, gaps and releases, the records that it could not apply, the epochs with what came of
// them, the effects that it wanted, and its ledger.
func (s *Store) History(ctx context.Context) (History, error) {
	tx, err := s.view(ctx)
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	r := &reader{ctx: ctx, tx: tx, granted: map[string]bool{}, lifted: map[string]bool{}}
	for _, read := range []func() error{r.ledger, r.inbox, r.deadletters, r.epochs, r.effects} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("read store: %w", err)
		}
	}
	return r.out, nil
}

// reader reads one view of the database.
type reader struct {
	ctx context.Context
	tx  *sql.Tx
	out History

	granted map[string]bool // event and lot of each change of a lot
	lifted  map[string]bool // holds, by lot and id, that stand no more
}

func (r *reader) add(f Fact) { r.out = append(r.out, f) }

// each calls scan for every row of a query.
func (r *reader) each(query string, scan func(*sql.Rows) error) error {
	rows, err := r.tx.QueryContext(r.ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// moment reads a stored time; empty is the zero time.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

func (r *reader) ledger() error {
	return r.each(`SELECT l.at, l.principal, l.act, l.object, l.version, l.event_id, l.lot, l.reason, COALESCE(s.place, 0), COALESCE(s.prev, ''), COALESCE(s.hash, '')
		FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id ORDER BY l.id`, func(rows *sql.Rows) error {
		f := Fact{Kind: Ledger, By: "cloud"}
		var at string
		err := rows.Scan(&at, &f.Principal, &f.Effect, &f.Object, &f.Version, &f.Event, &f.Lot, &f.Reason, &f.Place.Offset, &f.Before, &f.Chain)
		if err == nil {
			f.At, err = moment(at)
		}
		if f.Lot != "" {
			r.granted[string(f.Event)+" "+f.Object] = true
		}
		r.add(f)
		return err
	})
}

func (r *reader) inbox() error {
	return r.each(`SELECT pos, id, type, key, lot, plant, door, principal, agent, epoch, lane, seq, topic, part, off, time, accepted, hash, raw_sha256, causation, value
		FROM inbox ORDER BY pos`, func(rows *sql.Rows) error {
		f := Fact{Kind: Inbox, By: "cloud"}
		var at, accepted string
		var value []byte
		err := rows.Scan(&f.Pos, &f.Event, &f.Type, &f.Key, &f.Lot, &f.Plant, &f.Door, &f.Principal, &f.Agent, &f.Origin.Epoch, &f.Origin.Lane,
			&f.Origin.Seq, &f.Place.Topic, &f.Place.Partition, &f.Place.Offset, &at, &accepted, &f.Hash, &f.Raw, &f.Cause, &value)
		if err != nil {
			return err
		}
		if f.Time, err = moment(at); err != nil {
			return err
		}
		if f.At, err = moment(accepted); err != nil {
			return err
		}
		spec, _ := event.Lookup(f.Type)
		f.Urgent, f.Bytes = spec.Urgent, sum(value)
		return r.applied(f, value)
	})
}

// said is what of an event's data matters here; members of other types are passed over.
type said struct {
	Equipment    string          `json:"equipment"`
	Inspection   string          `json:"inspection_id"`
	Evaluation   string          `json:"evaluation"`
	Verdict      string          `json:"verdict"`
	Hold         string          `json:"hold_id"`
	HoldKind     string          `json:"hold_kind"`
	Scope        json.RawMessage `json:"scope"`
	NC           string          `json:"nc_id"`
	Gap          string          `json:"gap_id"`
	From         string          `json:"from"`
	To           string          `json:"to"`
	Reason       string          `json:"reason"`
	Cause        string          `json:"cause"`
	Epoch        event.Epoch     `json:"epoch"`
	Lane         event.Lane      `json:"lane"`
	FromSeq      int64           `json:"from_seq"`
	ToSeq        int64           `json:"to_seq"`
	Count        int64           `json:"count"`
	Disposition  string          `json:"disposition_id"`
	Supersedes   string          `json:"supersedes"`
	Decision     string          `json:"decision"`
	Timer        string          `json:"timer"`
	Object       string          `json:"object"`
	Agent        string          `json:"agent"`
	OfPlant      string          `json:"plant"`
	Barrier      int64           `json:"barrier"`
	By           json.RawMessage `json:"by"` // a name, or a list of them
	EffectSystem string          `json:"system"`
	Signatures   []struct {
		By   string     `json:"by"`
		Hash event.Hash `json:"record_hash"`
	} `json:"signatures"`
}

// applied adds an applied event and what follows from it.
func (r *reader) applied(f Fact, value []byte) error {
	var d said
	if err := json.Unmarshal(value, &d); err != nil {
		return fmt.Errorf("value of event %s: %w", f.Event, err)
	}
	f.Equipment, f.Detail = d.Equipment, d.Decision
	switch {
	case d.Disposition != "":
		f.Object, f.Record = d.Disposition, d.Supersedes
	case d.Inspection != "":
		f.Object = d.Inspection
	case d.Object != "":
		f.Object = d.Object
	}
	if f.Detail == "" {
		f.Detail = d.Evaluation + d.Verdict // never both
	}
	r.add(f)
	follow := f
	follow.Object, follow.Record, follow.Detail, follow.Place = "", "", "", Place{}
	r.holds(follow, &d)
	if err := r.gaps(follow, &d); err != nil {
		return err
	}
	r.release(follow, &d)
	return nil
}

// holds adds what an event does to holds, by the rules of the domain: a failure holds its lot once for each inspection,
// or once by itself; one that comes after the hold was lifted is a new one.
func (r *reader) holds(f Fact, d *said) {
	f.Kind, f.State, f.Hold, f.HoldKind = Hold, Placed, d.Hold, d.HoldKind
	if len(d.Scope) > 0 {
		f.Scope = string(d.Scope)
	}
	after := func(id string) string { _, rest, _ := strings.Cut(id, ":"); return rest }
	switch f.Type {
	case event.TypeHoldPlaced:
	case event.TypeHoldLifted:
		f.State = Lifted
	case event.TypeCharacteristicRecorded, event.TypeSafetyFailed, event.TypeInspectionCompleted, event.TypeDefectDetected:
		if bad := d.Evaluation + d.Verdict; bad != "fail" && bad != "indeterminate" && f.Type != event.TypeDefectDetected {
			return
		}
		of := string(f.Event)
		if f.Cause != "" {
			of = string(f.Cause)
		}
		if d.Inspection != "" {
			of = after(d.Inspection)
		}
		f.Hold, f.HoldKind = "hold:"+of, "quality"
		if f.Type == event.TypeSafetyFailed {
			f.HoldKind = "safety"
		}
		if r.lifted[string(f.Lot)+" "+f.Hold] {
			f.Hold = "hold:" + string(f.Event)
		}
	case event.TypeNonconformanceOpened:
		f.Hold, f.HoldKind = "hold:"+after(d.NC), "quality"
	case event.TypeNonconformanceVoided:
		f.Hold, f.State = "hold:"+after(d.NC), Lifted
	default:
		return
	}
	if f.State == Lifted {
		r.lifted[string(f.Lot)+" "+f.Hold] = true
	}
	r.add(f)
}

// gaps adds what was not seen, what data closed of it, and what persons accepted.
func (r *reader) gaps(f Fact, d *said) (err error) {
	f.Kind, f.State, f.Gap, f.Reason = Gap, Open, d.Gap, d.Reason
	if f.From, err = moment(d.From); err != nil {
		return err
	}
	if f.To, err = moment(d.To); err != nil {
		return err
	}
	switch f.Type {
	case event.TypeGapRecorded:
	case event.TypeGapClosed:
		f.State = Closed
	case event.TypeRecordQuarantined:
		f.Gap, f.From, f.To = "gap:"+string(f.Event), f.Time, f.Time
	case event.TypeLossRecorded:
		f.Gap, f.Reason = "gap:"+string(f.Event), d.Cause
		f.Origin, f.ToSeq, f.Count = Origin{Epoch: d.Epoch, Lane: d.Lane, Seq: d.FromSeq}, d.ToSeq, d.Count
	case event.TypeEvidenceAccepted:
		f.State, f.Barrier = Accepted, d.Barrier
		if d.Agent != "" {
			f.Agents = []string{d.OfPlant + "/" + d.Agent}
		}
		for _, s := range d.Signatures {
			f.Signatures = append(f.Signatures, Signature{By: s.By, Hash: s.Hash})
		}
	default:
		return nil
	}
	r.add(f)
	return nil
}

// timerAnswered is the timer that fires when every agent in question has answered.
const timerAnswered = "release.answered"

// release adds a grant, if the fired timer changed the lot: one that came too late changes nothing.
func (r *reader) release(f Fact, d *said) {
	if f.Type != event.TypeTimerFired || d.Timer != timerAnswered {
		return
	}
	parts := strings.Split(d.Object, "#")
	if len(parts) < 2 || !r.granted[string(f.Event)+" "+parts[0]] {
		return
	}
	f.Kind, f.Lot = Release, event.LotKey(parts[0])
	f.Barrier, _ = strconv.ParseInt(parts[1], 10, 64) // 0 where it is none, which no head answers
	r.add(f)
}

func (r *reader) deadletters() error {
	return r.each(`SELECT state, key, lot, plant, event_id, event_type, cause, object, ord, door, topic, part, off, replaced_by, at, updated, headers, value
		FROM deadletter ORDER BY id`, func(rows *sql.Rows) error {
		f := Fact{By: "cloud"}
		var at, updated string
		var headers, value []byte
		err := rows.Scan(&f.State, &f.Key, &f.Lot, &f.Plant, &f.Event, &f.Type, &f.Reason, &f.Object, &f.Ord, &f.Door, &f.Place.Topic,
			&f.Place.Partition, &f.Place.Offset, &f.ReplacedBy, &at, &updated, &headers, &value)
		if err != nil {
			return err
		}
		f.Kind = Parked
		if f.State == "quarantined" {
			f.Kind = Quarantined
		}
		if f.At, err = moment(at); err != nil {
			return err
		}
		switch f.State {
		case Redriven, Replaced, Dropped:
			if f.Until, err = moment(updated); err != nil {
				return err
			}
		}
		spec, _ := event.Lookup(f.Type)
		f.Urgent, f.Bytes = spec.Urgent, sum(value)
		var kept []event.Header
		if err := json.Unmarshal(headers, &kept); err != nil {
			return fmt.Errorf("headers of record %s: %w", f.Event, err)
		}
		m := event.Message{Headers: kept}
		f.Hash = event.Hash(m.Header(event.HeaderHash))
		r.add(f)
		return nil
	})
}

func (r *reader) epochs() error {
	covered := map[string]map[string]Seqs{}
	err := r.each(`SELECT plant, agent, epoch, lane, ranges FROM coverage`, func(rows *sql.Rows) error {
		var plant, agent, epoch, lane, ranges string
		if err := rows.Scan(&plant, &agent, &epoch, &lane, &ranges); err != nil {
			return err
		}
		more, err := ParseSeqs(ranges)
		key := plant + "/" + agent + "/" + epoch
		if covered[key] == nil {
			covered[key] = map[string]Seqs{}
		}
		covered[key][lane] = covered[key][lane].And(more...)
		return err
	})
	if err != nil {
		return err
	}
	return r.each(`SELECT plant, agent, epoch, prev, closed, quality, telemetry, superseded, first_seen FROM epoch ORDER BY first_seen, epoch`,
		func(rows *sql.Rows) error {
			f := Fact{Kind: Epoch, State: Open, Closing: map[string]int64{}}
			var prev, seen string
			var closed, superseded bool
			var quality, telemetry int64
			err := rows.Scan(&f.Plant, &f.Agent, &f.Origin.Epoch, &prev, &closed, &quality, &telemetry, &superseded, &seen)
			if err != nil {
				return err
			}
			f.By = f.AgentID()
			f.Prev, _, _ = event.Prev(prev).Parts()
			if closed {
				f.State = Closed
				f.Closing[string(event.LaneQuality)], f.Closing[string(event.LaneTelemetry)] = quality, telemetry
			}
			if superseded {
				f.State = Superseded
			}
			f.Covered = covered[f.AgentID()+"/"+string(f.Origin.Epoch)]
			f.At, err = moment(seen)
			r.add(f)
			return err
		})
}

func (r *reader) effects() error {
	return r.each(`SELECT kind, system, object, lot, command_id, state, asked, cause FROM effect ORDER BY asked, id`, func(rows *sql.Rows) error {
		f := Fact{Kind: Intent, By: "cloud"}
		var asked string
		err := rows.Scan(&f.Effect, &f.System, &f.Object, &f.Lot, &f.Command, &f.State, &asked, &f.Cause)
		if err == nil {
			f.At, err = moment(asked)
		}
		f.Reference = Reference(f.Command)
		r.add(f)
		return err
	})
}

// Reference returns the reference under which systems keep a command: HF and 14 Crockford base32 digits of its SHA-256.
func Reference(command string) string {
	digest := sha256.Sum256([]byte(command))
	digits := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)
	return "HF" + digits.EncodeToString(digest[:])[:14]
}
