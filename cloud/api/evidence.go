package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Signer is a person who signs: user name and password, both given at each signing.
type Signer struct {
	User     string `json:"user" maxLength:"64"`
	Password string `json:"password" maxLength:"256"`
}

// EvidenceRequest says for what persons answer: a gap, or an agent's missing answer to a barrier.
type EvidenceRequest struct {
	Gap     event.ObjectID `json:"gap,omitempty" doc:"id of a gap, instead of plant, agent and barrier"`
	Plant   event.PlantID  `json:"plant,omitempty"`
	Agent   string         `json:"agent,omitempty" doc:"the agent that did not answer; absent = the plant has none that was ever heard of"`
	Barrier int64          `json:"barrier,omitempty" minimum:"0" doc:"the number that it did not answer"`
	Reason  string         `json:"reason" maxLength:"4000" doc:"why the lot may be used all the same"`
	Signers []Signer       `json:"signers" minItems:"1" maxItems:"10"`
}

type evidenceInput struct {
	Key            string `path:"key" doc:"lot key, encoded"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	IfMatch        string `header:"If-Match" doc:"ETag of the lot as read"`
	Body           EvidenceRequest
}

// Evidence is what was signed.
type Evidence struct {
	ID         event.ID          `json:"id" doc:"of the event"`
	Lot        event.LotKey      `json:"lot"`
	Version    int64             `json:"version,omitempty" doc:"of the lot that was signed for; absent in the answer to a repeated act"`
	Gap        event.ObjectID    `json:"gap,omitempty"`
	Plant      event.PlantID     `json:"plant,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Barrier    int64             `json:"barrier,omitempty"`
	Reason     string            `json:"reason"`
	Signatures []event.Signature `json:"signatures"`
}

// evidenceOutput is what was signed. Repeated tells that the same act was done before.
type evidenceOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     Evidence
}

// meaningAccepted is what a signature under an acceptance means (21 CFR 11.50).
const meaningAccepted = "approval: the lot may be released without this evidence"

// SignedRecord is what a signature covers; its hash is in the signature. The version of the lot is that of its newest
// ledger entry in front of the signature's.
type SignedRecord struct {
	Lot     event.LotKey
	Version int64
	Gap     event.ObjectID
	Plant   event.PlantID
	Agent   string
	Barrier int64
	Reason  string
}

// Hash returns the record hash of one signature: SHA-256 over canonical JSON of the record and of who signs it, when, and
// with what meaning.
func (r *SignedRecord) Hash(s *event.Signature) event.Hash {
	b, err := json.Marshal(struct {
		Lot         event.LotKey   `json:"lot"`
		Version     int64          `json:"version"`
		Gap         event.ObjectID `json:"gap"`
		Plant       event.PlantID  `json:"plant"`
		Agent       string         `json:"agent"`
		Barrier     int64          `json:"barrier"`
		Reason      string         `json:"reason"`
		Meaning     string         `json:"meaning"`
		By          event.Name     `json:"by"`
		PrintedName event.Name     `json:"printed_name"`
		At          string         `json:"at"`
	}{r.Lot, r.Version, r.Gap, r.Plant, r.Agent, r.Barrier, r.Reason, s.Meaning, s.By, s.PrintedName, s.At.String()})
	if err != nil {
		panic(fmt.Sprintf("api: a record of texts and numbers does not encode: %v", err))
	}
	sum := sha256.Sum256(b)
	return event.Hash(hex.EncodeToString(sum[:]))
}

func (s *server) acceptEvidence(ctx context.Context, in *evidenceInput) (*evidenceOutput, error) {
	r, key := &in.Body, event.LotKey(in.Key)
	if err := checkEvidence(r); err != nil {
		return nil, err
	}
	plant, err := s.plantOf(ctx, key)
	if err != nil {
		return nil, err
	}
	users, err := s.signers(ctx, plant, r.Signers, s.cfg.signersOf(plant))
	if err != nil {
		return nil, err
	}
	data := &event.EvidenceAccepted{
		OfLot: event.OfLot{Lot: key}, GapID: r.Gap, Plant: r.Plant, Agent: event.AgentID(r.Agent), Barrier: r.Barrier, Reason: r.Reason,
	}
	e := s.newEvent(callerOf(ctx), in.IdempotencyKey, data)
	version, err := s.signable(ctx, in, e.ID)
	if err != nil {
		return nil, err
	}
	signed := SignedRecord{key, version, r.Gap, r.Plant, r.Agent, r.Barrier, r.Reason}
	for _, u := range users {
		signature := event.Signature{By: event.Name(u.Name), PrintedName: event.Name(u.Printed), Meaning: meaningAccepted, At: event.At(e.Time)}
		signature.RecordHash = signed.Hash(&signature)
		data.By, data.Signatures = append(data.By, signature.By), append(data.Signatures, signature)
	}
	out := &evidenceOutput{Body: Evidence{
		ID: e.ID, Lot: key, Version: version, Gap: r.Gap, Plant: r.Plant, Agent: r.Agent, Barrier: r.Barrier, Reason: r.Reason,
		Signatures: data.Signatures,
	}}
	out.Repeated, err = s.applyAs(ctx, e, principals(users), r.Reason, etag(version), func(was event.Data) bool {
		old, ok := was.(*event.EvidenceAccepted)
		if ok {
			out.Body.Version, out.Body.Signatures = 0, old.Signatures
		}
		return ok && old.Lot == key && old.GapID == r.Gap && old.Plant == r.Plant && string(old.Agent) == r.Agent && old.Barrier == r.Barrier &&
			old.Reason == r.Reason && slices.Equal(old.By, data.By)
	})
	return out, err
}

func checkEvidence(r *EvidenceRequest) error {
	ofGap := r.Gap != "" && r.Plant == "" && r.Agent == "" && r.Barrier == 0
	ofAnswer := r.Gap == "" && r.Plant != "" && r.Barrier > 0
	if !ofGap && !ofAnswer {
		return problem.New(problem.Usage, "the request names neither a gap alone nor a plant with its agent and the barrier alone")
	}
	return needReason(r.Reason)
}

// plantOf returns the plant of a lot that the caller sees.
func (s *server) plantOf(ctx context.Context, key event.LotKey) (plant event.PlantID, err error) {
	err = s.read(ctx, func(tx *store.Tx) error {
		f, err := s.lot(ctx, tx, key)
		plant = f.Lot.Plant
		return err
	})
	return plant, err
}

// signable returns the version of the lot that is signed for: what the caller read, else what the lot is now. Applying
// refuses another one. It refuses what the lot does not wait for: nobody signs in advance.
func (s *server) signable(ctx context.Context, in *evidenceInput, id event.ID) (version int64, err error) {
	if version, err = versionOf(in.IfMatch); err != nil {
		return 0, err
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		f, err := tx.Facts(event.LotKey(in.Key))
		if err != nil || slices.ContainsFunc(f.Acceptances, func(a quality.Acceptance) bool { return a.ID == id }) {
			return err // the same act again
		}
		if version != 0 && version != f.Lot.Version {
			return problem.New(problem.StateMoved, "lot %s has version %d, the request is about version %d", f.Lot.Key, f.Lot.Version, version)
		}
		version = f.Lot.Version
		return waitsFor(&f, &in.Body)
	})
	return version, err
}

// waitsFor refuses an acceptance of something that does not keep the lot, or that has to be corrected instead.
func waitsFor(f *quality.Facts, r *EvidenceRequest) error {
	if r.Gap != "" {
		i := slices.IndexFunc(f.Gaps, func(g quality.Gap) bool { return g.ID == r.Gap })
		switch {
		case i < 0:
			return problem.New(problem.RuleRefused, "lot %s does not wait for gap %.200s: see coverage show", f.Lot.Key, r.Gap)
		case f.Gaps[i].Lot != "":
			return problem.New(problem.RuleRefused, "gap %s is a record that names the lot and was not understood: it is corrected, not accepted", r.Gap)
		}
		return nil
	}
	i := slices.IndexFunc(f.Answers, func(a quality.Answer) bool { return a.Plant == r.Plant && a.Agent == r.Agent })
	switch {
	case i < 0:
		return problem.New(problem.RuleRefused, "lot %s is not asked of agent %.60s/%.60s", f.Lot.Key, r.Plant, r.Agent)
	case f.Lot.Release.State != quality.Asking || !f.Asked():
		return problem.New(problem.RuleRefused, "lot %s is not asking for answers now: its release is at %s", f.Lot.Key, f.Lot.Release.State)
	case f.Ask.Barrier != r.Barrier:
		return problem.New(problem.RuleRefused, "lot %s has asked anew since: its question is barrier %d, the request is about barrier %d", f.Lot.Key, f.Ask.Barrier, r.Barrier)
	case f.Answers[i].Has(r.Barrier):
		return problem.New(problem.RuleRefused, "agent %s/%s has answered barrier %d", r.Plant, r.Agent, r.Barrier)
	}
	return nil
}

// signers returns the users who sign, each known by name and password right now, as different persons, so many at least.
func (s *server) signers(ctx context.Context, plant event.PlantID, list []Signer, need int) ([]*store.UserRow, error) {
	var users []*store.UserRow
	for _, signer := range list {
		u, err := s.verify(ctx, signer.User, signer.Password)
		if err != nil {
			return nil, err
		}
		if err := s.maySign(ctx, u, plant); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(users, func(x *store.UserRow) bool { return x.Person == u.Person }); i >= 0 {
			return nil, problem.New(problem.SignerRepeated, "%s and %s are one person", users[i].Name, u.Name)
		}
		users = append(users, u)
	}
	if len(users) < need {
		return nil, problem.New(problem.RuleRefused, "it takes the signatures of %d persons, these are %d", need, len(users))
	}
	return users, nil
}

// maySign refuses a user whose role, plants or password do not allow a signature.
func (s *server) maySign(ctx context.Context, u *store.UserRow, plant event.PlantID) error {
	why := ""
	switch {
	case slices.Contains(u.Roles, RoleAdmin):
		why = "an administrator does not sign"
	case !slices.Contains(u.Roles, RoleQuality):
		why = "it takes the role " + RoleQuality + " to sign"
	case len(u.Plants) > 0 && !slices.Contains(u.Plants, plant):
		why = "it is about a plant that the user may not see"
	case u.Given:
		why = "an administrator gave the password, which has to be changed first"
	default:
		return nil
	}
	s.record(ctx, callerOf(ctx), "signature.refused", "user:"+u.Name, why)
	return problem.New(problem.SignatureRefused, "user %s may not sign: %s", u.Name, why)
}

// signersOf returns how many persons have to sign for a lot of a plant.
func (c *Config) signersOf(plant event.PlantID) int {
	if c.OneSigner != nil && c.OneSigner(plant) {
		return 1
	}
	return 2
}

// principals names the persons for the ledger.
func principals(users []*store.UserRow) string {
	text := ""
	for i, u := range users {
		if i > 0 {
			text += ", "
		}
		text += u.Name
	}
	return text
}
