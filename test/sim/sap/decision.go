package sap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// Code is a code of a usage decision, as customizing has it.
type Code struct {
	Set       string // selected set
	Group     string
	Code      string
	Valuation string // A accepts, R rejects
	// Posts is the stock type, such as VMENGE01, to which the code's follow-up action posts all stock; empty = none.
	Posts string
}

// DefaultCodes are those of a system fresh from its installation.
func DefaultCodes() []Code {
	return []Code{
		{Set: "01", Group: "01", Code: "A", Valuation: "A"}, {Set: "01", Group: "01", Code: "AC", Valuation: "A"},
		{Set: "01", Group: "01", Code: "R", Valuation: "R"},
	}
}

// decision is the usage decision on an inspection lot: one per lot.
type decision struct {
	Code
	plant string // of the selected set
	by    string
	at    time.Time
}

func (s *Simulator) serveDecisions(w http.ResponseWriter, r *http.Request, t target, read bool) {
	switch {
	case t.key == nil && read:
		rows := []map[string]any{}
		for _, l := range s.asked(r) {
			if l.decision != nil {
				rows = append(rows, l.showDecision())
			}
		}
		s.list(w, r, rows)
		return
	case t.key == nil && r.Method == http.MethodPost:
		s.postDecision(w, r, nil)
		return
	}
	l := s.inspection(t.key[""] + t.key["InspectionLot"])
	switch {
	case l == nil || l.decision == nil:
		unknownSet(w, t)
	case read:
		w.Header().Set("ETag", l.etag())
		answer(w, http.StatusOK, l.showDecision())
	case r.Method == http.MethodPatch:
		s.postDecision(w, r, l)
	default:
		refuse(w, http.StatusMethodNotAllowed, "/IWFND/CM_CONSUMER/101", "Method not allowed")
	}
}

func (l *inspection) showDecision() map[string]any {
	uri := fmt.Sprintf("%s%s/A_InspLotUsageDecision('%s')", Root, inspectionService, strings.TrimLeft(l.number, "0"))
	d := l.decision
	return map[string]any{
		"__metadata":    map[string]string{"id": uri, "uri": uri, "type": inspectionService + ".A_InspLotUsageDecisionType", "etag": l.etag()},
		"InspectionLot": nonNegative(l.number), "InspLotUsageDecisionLevel": "L", "InspLotUsageDecisionCatalog": "3",
		"SelectedCodeSetPlant": d.plant, "InspLotUsgeDcsnSelectedSet": d.Set, "InspLotUsageDecisionCodeGroup": d.Group,
		"InspectionLotUsageDecisionCode": d.Code.Code, "InspLotUsageDecisionValuation": d.Valuation, "InspectionLotQualityScore": "100",
		"InspectionLotUsageDecidedBy": d.by, "InspectionLotUsageDecidedOn": dateTime(d.at.UTC().Truncate(24 * time.Hour)),
		"ChangedDateTime": dateTimeOffset(l.changed),
	}
}

type postedDecision struct {
	InspectionLot, InspLotUsageDecisionLevel, InspLotUsageDecisionCatalog string
	SelectedCodeSetPlant, InspLotUsgeDcsnSelectedSet                      string
	InspLotUsageDecisionCodeGroup, InspectionLotUsageDecisionCode         string
	ChangedDateTime                                                       *string
}

// postDecision makes a decision, or changes the one of old. A change leaves stock that was posted where it is.
func (s *Simulator) postDecision(w http.ResponseWriter, r *http.Request, old *inspection) {
	var in postedDecision
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	l := old
	if l == nil {
		l = s.inspection(in.InspectionLot)
	}
	if l == nil || l.cancelled {
		refuse(w, http.StatusBadRequest, "QA/201", "Inspection lot "+in.InspectionLot+" does not exist or was cancelled")
		return
	}
	if !l.unchanged(w, r, in.ChangedDateTime, old != nil) {
		return
	}
	code, ok := s.code(in)
	switch {
	case old == nil && l.decision != nil:
		refuse(w, http.StatusBadRequest, "QA/332", "A usage decision has already been made for inspection lot "+l.number)
	case l.signature:
		refuse(w, http.StatusBadRequest, "QA/861", "A digital signature is required for the usage decision of inspection lot "+l.number)
	case l.documentation:
		refuse(w, http.StatusBadRequest, "QA/318", "Documentation is required for the usage decision of inspection lot "+l.number)
	case in.InspLotUsageDecisionLevel != "L" || in.InspLotUsageDecisionCatalog != "3" || in.SelectedCodeSetPlant == "" || !ok:
		refuse(w, http.StatusBadRequest, "QA/317", fmt.Sprintf("Code %s of group %s is not allowed in selected set %s",
			in.InspectionLotUsageDecisionCode, in.InspLotUsageDecisionCodeGroup, in.InspLotUsgeDcsnSelectedSet))
	default:
		s.decide(l, decision{Code: code, plant: in.SelectedCodeSetPlant, by: s.cfg.User, at: s.cfg.Now()}, old == nil)
		if old != nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, http.StatusCreated, l.showDecision())
	}
}

func (s *Simulator) code(in postedDecision) (Code, bool) {
	for _, c := range s.cfg.Codes {
		if c.Set == in.InspLotUsgeDcsnSelectedSet && c.Group == in.InspLotUsageDecisionCodeGroup && c.Code == in.InspectionLotUsageDecisionCode {
			return c, true
		}
	}
	return Code{}, false
}

// decide enters a decision and, for the first one, plays the code's follow-up action.
func (s *Simulator) decide(l *inspection, d decision, first bool) {
	kind, posts := "usage_decision", d.Posts
	if !first {
		kind, posts = "usage_decision_changed", ""
	}
	reference := d.Group + "/" + d.Code.Code
	if s.cfg.References == "dropped" {
		d.Code.Code = "" // what the decision is known by is taken and lost
	}
	l.decision = &d
	s.touch(l)
	s.enter(l.batchKey, book.Entry{Kind: kind, Record: l.number, Reference: reference})
	if posts != "" && l.toPost.Sign() > 0 {
		if _, err := s.transfer(l, posting{kind: posts, location: l.location, quantity: l.toPost}); err != nil {
			s.enter(l.batchKey, book.Entry{Kind: "follow_up_failed", Record: l.number, Reference: err.Error()})
		}
	}
}
