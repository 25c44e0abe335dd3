package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// DeadletterGroup is the open records that were not applied for one cause.
type DeadletterGroup struct {
	ID          string            `json:"id" doc:"the same as long as the cause is"`
	Code        problem.Code      `json:"code"`
	Title       string            `json:"title" doc:"what the code names"`
	Cause       string            `json:"cause" doc:"the cause, with … where records of the group differ"`
	Consequence string            `json:"consequence"`
	Next        string            `json:"next" doc:"what to do about it"`
	Owner       string            `json:"owner" doc:"roles that see to it"`
	Count       int64             `json:"count"`
	States      []DeadletterCount `json:"states" doc:"how many wait in which state"`
	FirstAt     time.Time         `json:"first_at" doc:"when the first was kept"`
	LastAt      time.Time         `json:"last_at" doc:"when the last was kept"`
	DueAt       time.Time         `json:"due_at,omitzero" doc:"when the first that waits for its object becomes a matter for a person"`
	Attempts    int64             `json:"attempts" doc:"of the record that was tried most often"`
	Plants      []event.PlantID   `json:"plants"`
	Zone        string            `json:"zone" doc:"time zone of the plant, UTC for several"`
	Types       []event.Type      `json:"types"`
	Lots        []event.LotKey    `json:"lots" doc:"the first few"`
	LotCount    int64             `json:"lot_count"`
	seen        map[string]bool   // plants, types and lots
	words       []string          // of the cause, with … where records differ
}

// DeadletterCount says how many records wait in a state.
type DeadletterCount struct {
	State store.DeadletterState `json:"state"`
	Count int64                 `json:"count"`
}

// DeadletterGroups is all groups, those first whose newest record came last.
type DeadletterGroups struct {
	At     time.Time         `json:"at"`
	Groups []DeadletterGroup `json:"groups"`
	Count  int64             `json:"count" doc:"records in all groups"`
	Plants []event.PlantID   `json:"plants" doc:"of which records wait"`
	More   int64             `json:"more,omitempty" doc:"records whose groups are left out, because there are too many"`
}

// Bounds of what a list of groups shows. A sender that fails in ever new ways must not fill the memory.
const (
	maxGroups    = 500
	maxGroupLots = 5
)

type groupsInput struct {
	Plant string `query:"plant" doc:"only records of this plant"`
}

func (s *server) deadletterGroups(ctx context.Context, in *groupsInput) (*view[DeadletterGroups], error) {
	out := DeadletterGroups{At: s.cfg.Now().UTC(), Groups: []DeadletterGroup{}, Plants: []event.PlantID{}}
	groups := map[string]*DeadletterGroup{}
	err := s.eachLetter(ctx, func(l *store.Letter) error {
		if l.Plant != "" && !slices.Contains(out.Plants, l.Plant) {
			out.Plants = append(out.Plants, l.Plant)
		}
		if in.Plant != "" && string(l.Plant) != in.Plant {
			return nil
		}
		out.Count++
		id, shape := groupOf(&l.DeadletterRow)
		g := groups[id]
		if g == nil {
			if len(groups) == maxGroups {
				out.More++
				return nil
			}
			g = newGroup(id, shape, l)
			groups[id] = g
		}
		g.add(l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		g.Zone = s.zoneOfAll(g.Plants)
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b DeadletterGroup) int {
		return cmp.Or(b.LastAt.Compare(a.LastAt), strings.Compare(a.ID, b.ID))
	})
	slices.Sort(out.Plants)
	return &view[DeadletterGroups]{out}, nil
}

// eachLetter calls visit with every open record that the caller sees.
func (s *server) eachLetter(ctx context.Context, visit func(*store.Letter) error) error {
	c := callerOf(ctx)
	return s.read(ctx, func(tx *store.Tx) error {
		return tx.EachOpenLetter(func(l *store.Letter) error {
			sees, err := s.seesDeadletter(tx, c, &l.DeadletterRow)
			if err != nil || !sees {
				return err
			}
			return visit(l)
		})
	})
}

func newGroup(id, shape string, l *store.Letter) *DeadletterGroup {
	page := problem.Explain(problem.Code(l.Code))
	return &DeadletterGroup{
		ID: id, Code: problem.Code(l.Code), Title: page.Title, Cause: shape, Consequence: page.Consequence, Next: page.Next,
		Owner: ownerOf(problem.Code(l.Code)), FirstAt: l.At, LastAt: l.At, States: []DeadletterCount{}, Plants: []event.PlantID{},
		Types: []event.Type{}, Lots: []event.LotKey{}, seen: map[string]bool{},
	}
}

func (g *DeadletterGroup) add(l *store.Letter) {
	g.Count++
	g.say(causeOf(&l.DeadletterRow))
	g.Attempts = max(g.Attempts, l.Attempts)
	if l.At.Before(g.FirstAt) {
		g.FirstAt = l.At
	}
	if l.At.After(g.LastAt) {
		g.LastAt = l.At
	}
	if due := dueAt(&l.DeadletterRow); !due.IsZero() && (g.DueAt.IsZero() || due.Before(g.DueAt)) {
		g.DueAt = due
	}
	i := slices.IndexFunc(g.States, func(c DeadletterCount) bool { return c.State == l.State })
	if i < 0 {
		g.States = append(g.States, DeadletterCount{State: l.State})
		i = len(g.States) - 1
	}
	g.States[i].Count++
	if l.Plant != "" && g.first("plant "+string(l.Plant)) {
		g.Plants = append(g.Plants, l.Plant)
	}
	if l.EventType != "" && g.first("type "+string(l.EventType)) {
		g.Types = append(g.Types, l.EventType)
	}
	if l.Lot != "" && g.first("lot "+string(l.Lot)) {
		if g.LotCount++; len(g.Lots) < maxGroupLots {
			g.Lots = append(g.Lots, l.Lot)
		}
	}
}

// say takes a record's cause into the words of the group: what all have in common stays, an id never does.
func (g *DeadletterGroup) say(cause string) {
	words := strings.Fields(shapeHead.ReplaceAllString(cause, ""))
	if g.Count == 1 {
		g.words = words
		for i, w := range words {
			if bare := strings.TrimRight(w, wordEnds); ownID.MatchString(bare) {
				g.words[i] = "…" + w[len(bare):]
			}
		}
	} else if len(words) != len(g.words) {
		return // texts of several words differ: the shape tells as much as is common
	}
	for i, w := range words {
		if g.words[i] != w {
			g.words[i] = "…" + w[len(strings.TrimRight(w, wordEnds)):]
		}
	}
	if text := strings.Join(g.words, " "); g.Count == 1 || len(text) <= maxShape {
		g.Cause = shortened(text)
	}
}

func (g *DeadletterGroup) first(name string) bool {
	was := g.seen[name]
	g.seen[name] = true
	return !was
}

// dueAt returns when a record that waits for its object becomes a matter for a person; zero for all others, which are one.
func dueAt(r *store.DeadletterRow) time.Time {
	if r.State != store.Waiting {
		return time.Time{}
	}
	return r.At.Add(workflow.WaitLimit)
}

// ownerOf names the roles that see to a record.
func ownerOf(code problem.Code) string {
	if code == problem.EpochFork {
		return rolesFor(actEpoch)
	}
	return rolesFor(actFix)
}

// groupOf names the group of a record, and returns what all causes of the group have in common.
func groupOf(r *store.DeadletterRow) (id, shape string) {
	shape = shapeOf(causeOf(r))
	sum := sha256.Sum256([]byte(r.Code + "\n" + shape))
	return hex.EncodeToString(sum[:8]), shape
}

var (
	shapeHead  = regexp.MustCompile(`^(?:event|record) \S*: `)
	shapeIndex = regexp.MustCompile(`\[[0-9]+\]`)
	shapeText  = regexp.MustCompile(`"[^"]*"`)
	ownID      = regexp.MustCompile(`^(?:[a-z_]+:[^:]*:.*|[a-z]-[0-9a-f]{16,}|[0-9a-f]{32,})$`)
)

// wordEnds are the signs behind a word that are no part of it.
const wordEnds = ".,;:)"

// maxShape bounds a shape, in bytes.
const maxShape = 300

// shapeOf returns a cause without what is one record's own: ids, numbers, keys, and texts in quotes but for names of members.
func shapeOf(cause string) string {
	if len(cause) > 4*maxShape {
		cause = cause[:4*maxShape]
	}
	cause = shapeHead.ReplaceAllString(cause, "")
	cause = shapeIndex.ReplaceAllString(cause, "[]")
	if !strings.Contains(cause, "lacks the member") {
		cause = shapeText.ReplaceAllString(cause, "…")
	}
	words := strings.Fields(cause)
	for i, w := range words {
		bare := strings.TrimRight(w, wordEnds)
		if strings.ContainsAny(bare, "0123456789") || strings.Contains(bare, ":") {
			words[i] = "…" + w[len(bare):]
		}
	}
	return shortened(strings.Join(words, " "))
}

func shortened(text string) string {
	if text = strings.ToValidUTF8(text, ""); len(text) > maxShape {
		text = strings.ToValidUTF8(text[:maxShape], "") + "…"
	}
	return text
}

// ofGroup returns the first open records of a group that the caller sees, by id.
func (s *server) ofGroup(ctx context.Context, group string, limit int) (all []store.DeadletterRow, err error) {
	err = s.eachLetter(ctx, func(l *store.Letter) error {
		if len(all) == limit {
			return nil
		}
		if id, _ := groupOf(&l.DeadletterRow); id == group {
			all = append(all, l.DeadletterRow)
		}
		return nil
	})
	return all, err
}

type groupInput struct {
	ID    string `path:"id" maxLength:"64"`
	After int64  `query:"after" minimum:"0" doc:"only behind this id"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

// DeadletterGroupPage is a group and a page of its records.
type DeadletterGroupPage struct {
	Group *DeadletterGroup `json:"group,omitempty" doc:"absent = no record waits for this cause"`
	DeadletterPage
}

func (s *server) deadletterGroup(ctx context.Context, in *groupInput) (*view[DeadletterGroupPage], error) {
	out := DeadletterGroupPage{DeadletterPage: DeadletterPage{Deadletters: []DeadletterLine{}}}
	err := s.eachLetter(ctx, func(l *store.Letter) error {
		id, shape := groupOf(&l.DeadletterRow)
		if id != in.ID {
			return nil
		}
		if out.Group == nil {
			out.Group = newGroup(id, shape, l)
		}
		out.Group.add(l)
		switch n := len(out.Deadletters); {
		case l.ID <= in.After:
		case n < in.Limit:
			out.Deadletters = append(out.Deadletters, deadletterLine(&l.DeadletterRow))
		default:
			out.Next = out.Deadletters[n-1].ID
		}
		return nil
	})
	if out.Group != nil {
		out.Group.Zone = s.zoneOfAll(out.Group.Plants)
	}
	return &view[DeadletterGroupPage]{out}, err
}

// zoneOfAll returns the time zone of a plant that is alone, UTC for none or several.
func (s *server) zoneOfAll(plants []event.PlantID) string {
	if len(plants) == 1 {
		return s.zoneOf(plants[0])
	}
	return "UTC"
}

// maxGroupRedrive bounds how many records one act applies again, so that it ends within a request.
const maxGroupRedrive = 1000

type groupRedriveInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body ReasonRequest
}

// GroupRedriven says what became of a group.
type GroupRedriven struct {
	Applied int             `json:"applied" doc:"records that were applied, with those that waited behind them"`
	Left    int             `json:"left" doc:"keys that still wait"`
	Results []RedriveResult `json:"results" doc:"of those that still wait: why"`
	More    bool            `json:"more,omitempty" doc:"there were more records than one act takes: do it again"`
}

// redriveGroup applies the records of a group again, key by key, each in a transaction of its own. Where it is cut off,
// what is done is done, and the rest waits as before.
func (s *server) redriveGroup(ctx context.Context, in *groupRedriveInput) (*view[GroupRedriven], error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	rows, err := s.ofGroup(ctx, in.ID, maxGroupRedrive)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, problem.New(problem.RuleRefused, "no record waits for this cause any more")
	}
	out := GroupRedriven{Results: []RedriveResult{}, More: len(rows) == maxGroupRedrive}
	stuck := map[string]bool{}
	for i := range rows {
		if err := s.redriveOne(ctx, &rows[i], in.Body.Reason, &out, stuck); err != nil {
			return nil, err
		}
	}
	out.Left = len(out.Results)
	return &view[GroupRedriven]{out}, nil
}

// redriveOne applies a record of a group again. One that was applied along with another of its key, or whose key stands
// still, is passed over.
func (s *server) redriveOne(ctx context.Context, r *store.DeadletterRow, reason string, out *GroupRedriven, stuck map[string]bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, err := s.deadletter(ctx, r.ID)
	if err != nil || !now.State.Open() || now.State == store.Parked && stuck[now.Key] {
		return err
	}
	results, err := s.engine.Redrive(ctx, r.ID, callerOf(ctx).Principal, reason)
	if err != nil {
		return err
	}
	for _, result := range results {
		if v := redriveResult(result); v.Cause != "" {
			out.Results = append(out.Results, v)
			stuck[now.Key] = true
		} else {
			out.Applied++
		}
	}
	return nil
}

func redriveResult(r workflow.Result) RedriveResult {
	v := RedriveResult{Outcome: r.Outcome, Deadletter: r.Deadletter}
	if r.Cause != nil {
		v.Code, v.Cause = problem.CodeOf(r.Cause), r.Cause.Error()
		v.Cause = strings.TrimSuffix(v.Cause, " ("+string(v.Code)+")")
	}
	return v
}

// DifferenceRequest holds the corrected data of an event, to be looked at before it is put in the place of a record.
type DifferenceRequest struct {
	Value json.RawMessage `json:"value" doc:"the corrected data, of the same type and lot"`
}

type differenceInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body DifferenceRequest
}

// Difference is what a correction would change. It is valid data; whether the rules take it the redrive says.
type Difference struct {
	ID      int64         `json:"id"`
	Changes []FieldChange `json:"changes"`
}

// difference checks a correction as fix would, and changes nothing.
func (s *server) difference(ctx context.Context, in *differenceInput) (*view[Difference], error) {
	r, err := s.deadletter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !r.State.Open() {
		return nil, problem.New(problem.RuleRefused, "dead letter %d is closed: %s", r.ID, r.State)
	}
	data, err := event.DecodeData(r.EventType, in.Body.Value)
	if err != nil {
		return nil, problem.Wrap(problem.EventInvalid, err)
	}
	if key := data.Subject(); r.Key != "" && key != r.Key {
		return nil, problem.Wrap(problem.EventInvalid, fmt.Errorf("the correction is about %q, the original about %q", key, r.Key))
	}
	changes, err := changesOf(r.Message.Value, in.Body.Value)
	if err != nil {
		return nil, problem.Wrap(problem.EventInvalid, err)
	}
	return &view[Difference]{Difference{r.ID, changes}}, nil
}

// DeadletterMove is something that was done about a record.
type DeadletterMove struct {
	At     time.Time `json:"at"`
	Act    string    `json:"act" doc:"kept, tried, redriven, replaced, dropped"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// history tells what was done about a record, oldest first: when it was kept and last tried, and what the ledger has.
func history(tx *store.Tx, r *store.DeadletterRow) ([]DeadletterMove, error) {
	all := []DeadletterMove{{At: r.At, Act: "kept", By: workflow.System, Reason: "it came from " + senderOf(r)}}
	if r.Attempts > 1 && r.State.Open() {
		all = append(all, DeadletterMove{At: r.Updated, Act: "tried"})
	}
	entries, err := tx.EntriesAbout("deadletter:" + strconv.FormatInt(r.ID, 10))
	for i := range entries {
		e := &entries[i]
		act := strings.TrimSuffix(strings.TrimPrefix(e.Act, "deadletter.record."), ".v1")
		all = append(all, DeadletterMove{At: e.At, Act: act, By: e.Principal, Reason: e.Reason})
	}
	return all, err
}

// senderOf names who a record came from: the person or system at the cloud's door, else the agent, else its plant.
func senderOf(r *store.DeadletterRow) string {
	agent := r.Message.Header(event.HeaderAgent)
	switch {
	case r.Principal != "":
		return r.Principal
	case r.Plant == "":
		return "Holdfast itself"
	case agent == "":
		return "plant " + string(r.Plant)
	}
	return string(r.Plant) + "/" + agent
}

// relatives returns the records that a record replaces and is replaced by; 0 = none.
func relatives(tx *store.Tx, r *store.DeadletterRow) (replaces, replacement int64, err error) {
	if r.EventID != "" {
		if replaces, err = tx.ReplacedLetter(r.EventID); err != nil {
			return 0, 0, err
		}
	}
	if r.ReplacedBy == "" {
		return replaces, 0, nil
	}
	next, ok, err := tx.DeadletterOfEvent(r.ReplacedBy)
	if ok {
		replacement = next.ID
	}
	return replaces, replacement, err
}
