package sap

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const inspectionService = "API_INSPECTIONLOT_SRV"

// Origins of inspection lots that this system makes.
const (
	originReceipt = "01" // a goods receipt
	originOther   = "89" // made by hand or by the API; it holds no stock
)

// inspection is an inspection lot.
type inspection struct {
	batchKey
	number           string // twelve digits
	plant, location  string // where its stock stands
	origin           string
	external         string // InspLotExternalNumber
	quantity, toPost *big.Rat
	posted           map[string]*big.Rat // by stock type of the posting, VMENGE01 and so on
	created, changed time.Time           // whole seconds: changed is the lock
	signature        bool                // a usage decision needs a digital signature
	documentation    bool                // a usage decision needs documentation
	cancelled        bool
	decision         *decision // nil = none yet
	postings         []posting
	results          []result
}

type result struct{ operation, characteristic, value string }

// inspect makes an inspection lot for a quantity, which stands in inspection stock already.
func (s *Simulator) inspect(k batchKey, plant, origin string, q *big.Rat) *inspection {
	now := s.cfg.Now().Truncate(time.Second)
	l := &inspection{
		batchKey: k, number: fmt.Sprintf("%s%010d", origin, len(s.data.inspections)+1), plant: plant, location: s.cfg.Location, origin: origin,
		quantity: new(big.Rat).Set(q), toPost: new(big.Rat).Set(q), posted: map[string]*big.Rat{}, created: now, changed: now,
		signature: s.cfg.Signatures, documentation: s.cfg.Documentation,
	}
	s.data.inspections = append(s.data.inspections, l)
	return l
}

// touch marks a lot as changed. Two changes in one second leave it with one version, as in the real system.
func (s *Simulator) touch(l *inspection) { l.changed = s.cfg.Now().Truncate(time.Second) }

func (l *inspection) etag() string {
	return `W/"datetimeoffset'` + url.QueryEscape(l.changed.UTC().Format("2006-01-02T15:04:05Z")) + `'"`
}

func (l *inspection) clone() *inspection {
	c := *l
	c.quantity, c.toPost, c.posted = new(big.Rat).Set(l.quantity), new(big.Rat).Set(l.toPost), map[string]*big.Rat{}
	for kind, q := range l.posted {
		c.posted[kind] = new(big.Rat).Set(q)
	}
	c.postings, c.results = slices.Clone(l.postings), slices.Clone(l.results)
	if l.decision != nil {
		d := *l.decision
		c.decision = &d
	}
	return &c
}

// managed tells whether a material is under quality management.
func (s *Simulator) managed(material string) bool {
	return slices.Contains(s.cfg.QM, material) || slices.Contains(s.cfg.QM, "*")
}

// underInspection tells whether a batch's inspection stock moves only by its inspection lot.
func (s *Simulator) underInspection(k batchKey) bool {
	return s.managed(k.material) || slices.ContainsFunc(s.data.inspections, func(l *inspection) bool {
		return l.batchKey == k && l.origin == originReceipt && !l.cancelled
	})
}

// inspection returns a lot by its number, with or without its leading zeros.
func (s *Simulator) inspection(number string) *inspection {
	number = padded(number)
	for _, l := range s.data.inspections {
		if l.number == number {
			return l
		}
	}
	return nil
}

// asked returns the inspection lots that a list is about: the one that its filter names, or all.
func (s *Simulator) asked(r *http.Request) []*inspection {
	number := wantedText(r, "InspectionLot")
	if number == "" {
		return s.data.inspections
	}
	if l := s.inspection(number); l != nil {
		return []*inspection{l}
	}
	return nil
}

// nonNegative is a number that is kept with leading zeros and shown without them.
type nonNegative string

// MarshalJSON writes the number without leading zeros.
func (n nonNegative) MarshalJSON() ([]byte, error) {
	return json.Marshal(strings.TrimLeft(string(n), "0"))
}

func padded(number string) string { return strings.Repeat("0", max(0, 12-len(number))) + number }

// serveInspection serves API_INSPECTIONLOT_SRV.
func (s *Simulator) serveInspection(w http.ResponseWriter, r *http.Request, t target) {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch t.set {
	case "A_InspectionLot", "A_InspectionLotWithStatus":
		s.serveLots(w, r, t, read)
	case "A_InspLotUsageDecision":
		s.serveDecisions(w, r, t, read)
	case "A_InspLotMatlDocItem":
		s.servePostings(w, r, t, read)
	case "A_InspectionResult":
		s.serveResults(w, r, t, read)
	default:
		unknownSet(w, t)
	}
}

func unknownSet(w http.ResponseWriter, t target) {
	refuse(w, http.StatusNotFound, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment '"+t.set+"'")
}

func (s *Simulator) serveLots(w http.ResponseWriter, r *http.Request, t target, read bool) {
	switch {
	case t.key == nil && read:
		wanted, some := wantedBatches(r)
		for _, k := range wanted {
			s.arrive(k)
		}
		rows := []map[string]any{}
		for _, l := range s.data.inspections {
			if !some || slices.Contains(wanted, l.batchKey) {
				rows = append(rows, s.showLot(l, t, r))
			}
		}
		s.list(w, r, rows)
		return
	case t.key == nil && r.Method == http.MethodPost && t.set == "A_InspectionLot":
		s.postLot(w, r)
		return
	}
	l := s.inspection(t.key[""] + t.key["InspectionLot"])
	switch {
	case t.key == nil || l == nil:
		unknownSet(w, t)
	case read:
		w.Header().Set("ETag", l.etag())
		answer(w, http.StatusOK, s.showLot(l, t, r))
	case r.Method == http.MethodPatch && t.set == "A_InspectionLot":
		s.patchLot(w, r, l)
	default: // there is no DELETE
		refuse(w, http.StatusMethodNotAllowed, "/IWFND/CM_CONSUMER/101", "Method not allowed")
	}
}

func (s *Simulator) showLot(l *inspection, t target, r *http.Request) map[string]any {
	if t.set == "A_InspectionLotWithStatus" || t.nav == "to_InspectionLotWithStatus" {
		return l.showStatus()
	}
	uri := fmt.Sprintf("%s%s/A_InspectionLot('%s')", Root, inspectionService, strings.TrimLeft(l.number, "0"))
	out := map[string]any{
		"__metadata":    map[string]string{"id": uri, "uri": uri, "type": inspectionService + ".A_InspectionLotType", "etag": l.etag()},
		"InspectionLot": nonNegative(l.number), "Material": l.material, "Batch": l.batch, "Plant": l.plant, "InspectionLotOrigin": l.origin,
		"InspectionLotType": l.origin, "InspectionLotPlant": l.plant, "InspectionLotStorageLocation": l.location,
		"InspLotExternalNumber": l.external, "InspectionLotQuantity": l.quantity.FloatString(3),
		"InspectionLotActualQuantity": l.quantity.FloatString(3), "InspectionLotQuantityUnit": s.data.units[l.material],
		"InspectionLotHasUsageDecision": l.decision != nil, "InspLotIsStockPostingCompleted": l.decision != nil && l.toPost.Sign() == 0,
		"InspLotDigitalSgntrInUsgeDcsn": mark(l.signature), "InspLotIsDocumentationRequired": l.documentation,
		"InspLotQtyToBePosted": l.toPost.FloatString(3), "ChangedDateTime": dateTimeOffset(l.changed),
	}
	for kind, name := range quantityNames {
		out[name] = l.sum(kind).FloatString(3)
	}
	if strings.Contains(r.URL.Query().Get("$expand"), "to_InspectionLotWithStatus") {
		out["to_InspectionLotWithStatus"] = l.showStatus()
	} else {
		out["to_InspectionLotWithStatus"] = map[string]any{"__deferred": map[string]string{"uri": uri + "/to_InspectionLotWithStatus"}}
	}
	return out
}

// showStatus shows the lot's statuses, each X or empty.
func (l *inspection) showStatus() map[string]any {
	return map[string]any{
		"InspectionLot": nonNegative(l.number), "InspectionLotStatusCreated": mark(!l.cancelled && l.decision == nil && len(l.results) == 0),
		"InspectionLotStatusReleased": mark(!l.cancelled), "InspLotStatusRsltsConfirmed": mark(len(l.results) > 0),
		"InspLotStatusInspCompleted": mark(l.decision != nil), "InspLotStatusCanceled": mark(l.cancelled),
	}
}

func mark(set bool) string {
	if set {
		return "X"
	}
	return ""
}

type postedLot struct {
	Material, Batch, Plant, InspectionLotOrigin string
	InspLotExternalNumber                       *string
	ChangedDateTime                             *string
}

// postLot makes a lot of origin 89: those of goods receipts the system makes itself.
func (s *Simulator) postLot(w http.ResponseWriter, r *http.Request) {
	var in postedLot
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	k := batchKey{in.Material, in.Batch}
	switch {
	case in.InspectionLotOrigin != "" && in.InspectionLotOrigin != originOther:
		refuse(w, http.StatusBadRequest, "QPL1/101", "Inspection lots of origin "+in.InspectionLotOrigin+" cannot be created manually")
	case s.data.batches[k] == nil:
		refuse(w, http.StatusBadRequest, "QA/154", fmt.Sprintf("Batch %s of material %s does not exist", in.Batch, in.Material))
	default:
		l := s.inspect(k, in.Plant, originOther, new(big.Rat))
		l.name(in.InspLotExternalNumber, s.cfg.References)
		answer(w, http.StatusCreated, s.showLot(l, target{set: "A_InspectionLot"}, r))
	}
}

// name gives the lot its external number, which the system keeps in upper case.
func (l *inspection) name(external *string, references string) {
	if external != nil && references != "dropped" {
		l.external = strings.ToUpper(limit(*external, 20))
	}
}

func (s *Simulator) patchLot(w http.ResponseWriter, r *http.Request, l *inspection) {
	var in postedLot
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	if !l.unchanged(w, r, in.ChangedDateTime, true) {
		return
	}
	l.name(in.InspLotExternalNumber, s.cfg.References)
	s.touch(l)
	w.WriteHeader(http.StatusNoContent)
}

// unchanged checks the version that a change was decided on: the time of the last change in its body, and the ETag.
func (l *inspection) unchanged(w http.ResponseWriter, r *http.Request, changed *string, tagged bool) bool {
	tag := r.Header.Get("If-Match")
	if changed == nil || tagged && tag == "" {
		refuse(w, http.StatusPreconditionRequired, "/IWFND/CM_MGW_RT/021", "Conditional request: ChangedDateTime or header If-Match is missing")
		return false
	}
	at, err := parseTime(*changed)
	if err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/023", err.Error())
		return false
	}
	if !at.Equal(l.changed) || tag != "" && tag != "*" && tag != l.etag() {
		refuse(w, http.StatusPreconditionFailed, "QPL1/025", "Inspection lot "+l.number+" was changed in the meantime")
		return false
	}
	return true
}

func (s *Simulator) serveResults(w http.ResponseWriter, r *http.Request, t target, read bool) {
	if read && t.key == nil {
		rows := []map[string]any{}
		for _, l := range s.asked(r) {
			for _, x := range l.results {
				rows = append(rows, l.showResult(x))
			}
		}
		s.list(w, r, rows)
		return
	}
	var in struct {
		InspectionLot, InspPlanOperationInternalID, InspectionCharacteristic string
		InspectionResultOriginalValue                                        string
	}
	if t.key != nil || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	l := s.inspection(in.InspectionLot)
	switch {
	case l == nil:
		unknownSet(w, t)
	case l.decision != nil || l.cancelled:
		refuse(w, http.StatusBadRequest, "QE/203", "Results can no longer be recorded for inspection lot "+l.number+": the usage decision has been made")
	default:
		x := result{in.InspPlanOperationInternalID, in.InspectionCharacteristic, limit(in.InspectionResultOriginalValue, 25)}
		l.results = append(l.results, x)
		s.touch(l)
		answer(w, http.StatusCreated, l.showResult(x))
	}
}

func (l *inspection) showResult(x result) map[string]any {
	return map[string]any{
		"InspectionLot": nonNegative(l.number), "InspPlanOperationInternalID": nonNegative(x.operation),
		"InspectionCharacteristic": nonNegative(x.characteristic), "InspectionResultOriginalValue": x.value,
	}
}
