package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// SignedAct is what a signature under an act covers; its hash is in the signature, and the act with it in the ledger.
type SignedAct struct {
	Act     string
	About   string
	Reason  string
	Details map[string]string // without the signatures
}

// Hash returns the record hash of one signature: SHA-256 over canonical JSON.
func (a *SignedAct) Hash(s *event.Signature) event.Hash {
	b, err := json.Marshal(struct {
		Act         string            `json:"act"`
		About       string            `json:"about"`
		Reason      string            `json:"reason"`
		Details     map[string]string `json:"details"`
		Meaning     string            `json:"meaning"`
		By          event.Name        `json:"by"`
		PrintedName event.Name        `json:"printed_name"`
		At          string            `json:"at"`
	}{a.Act, a.About, a.Reason, a.Details, s.Meaning, s.By, s.PrintedName, s.At.String()})
	if err != nil {
		panic(fmt.Sprintf("api: an act of texts does not encode: %v", err))
	}
	sum := sha256.Sum256(b)
	return event.Hash(hex.EncodeToString(sum[:]))
}

// sign puts the signatures of users under an act.
func sign(d *event.ActRecorded, at time.Time, meaning string, users []*store.UserRow) ([]event.Signature, error) {
	signed := SignedAct{Act: string(d.Act), About: d.About, Reason: d.Reason, Details: map[string]string{}}
	for k, v := range d.Detail {
		signed.Details[k] = v
	}
	list := []event.Signature{}
	for _, u := range users {
		s := event.Signature{By: event.Name(u.Name), PrintedName: event.Name(u.Printed), Meaning: meaning, At: event.At(at)}
		s.RecordHash = signed.Hash(&s)
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		workflow.AddSignature(d, u.Name, text)
		list = append(list, s)
	}
	return list, nil
}

// act applies an act in the name of those who signed it, or of the caller where nobody has to. It returns true if the same
// act was done before.
func (s *server) act(ctx context.Context, e *event.Event, users []*store.UserRow) (repeated bool, err error) {
	d, principal := e.Data.(*event.ActRecorded), callerOf(ctx).Principal
	if len(users) > 0 {
		principal = principals(users)
	}
	return s.applyAs(ctx, e, principal, d.Reason, "", func(was event.Data) bool {
		old, ok := was.(*event.ActRecorded)
		return ok && old.Act == d.Act && old.About == d.About && old.Reason == d.Reason
	})
}
