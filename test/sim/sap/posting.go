package sap

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// posting is a quantity that went out of inspection stock by the inspection lot.
type posting struct {
	kind     string // UsageDecisionStockType
	location string
	quantity *big.Rat
	text     string
	document string
	at       time.Time
}

// quantityNames says in which field of the lot each stock type's quantity is shown.
var quantityNames = map[string]string{
	"VMENGE01": "InspLotQtyToFree", "VMENGE02": "InspLotQtyToScrap", "VMENGE03": "InspLotQtyToSample", "VMENGE04": "InspLotQtyToBlocked",
	"VMENGE05": "InspLotQtyToReserves", "VMENGE07": "InspLotQtyReturnedToSupplier",
}

// lotMovements says by which movement type a posting is documented, and where it puts the stock; free means restricted
// while the flag is set, and an empty place is outside the stock.
var lotMovements = map[string][2]string{
	"VMENGE01": {"321", "free"}, "VMENGE02": {"553", ""}, "VMENGE03": {"331", ""}, "VMENGE04": {"350", "07"}, "VMENGE07": {"122", ""},
}

func (l *inspection) sum(kind string) *big.Rat {
	if q := l.posted[kind]; q != nil {
		return q
	}
	return new(big.Rat)
}

func (s *Simulator) servePostings(w http.ResponseWriter, r *http.Request, t target, read bool) {
	switch {
	case t.key == nil && read:
		rows := []map[string]any{}
		for _, l := range s.asked(r) {
			for i := range l.postings {
				rows = append(rows, s.showPosting(l, i))
			}
		}
		s.list(w, r, rows)
	case t.key == nil && r.Method == http.MethodPost:
		s.postPosting(w, r)
	default: // not changed, not deleted, not reversed
		refuse(w, http.StatusMethodNotAllowed, "/IWFND/CM_CONSUMER/101", "Method not allowed")
	}
}

func (s *Simulator) showPosting(l *inspection, i int) map[string]any {
	p := l.postings[i]
	return map[string]any{
		"InspectionLot": nonNegative(l.number), "InspLotMatlDocItem": nonNegative(fmt.Sprintf("%06d", i+1)),
		"InspLotQtyPosted": p.quantity.FloatString(3), "InspLotMatlDocItmQtyUnit": s.data.units[l.material],
		"UsageDecisionStockType": p.kind, "StorageLocation": p.location, "InspLotBatchTransferredTo": "", "MaterialDocumentItemText": p.text,
		"MaterialDocument": p.document, "MaterialDocumentYear": nonNegative(p.at.UTC().Format("2006")), "MaterialDocumentItem": nonNegative("0001"),
		"ChangedDateTime": dateTimeOffset(l.changed),
	}
}

func (s *Simulator) postPosting(w http.ResponseWriter, r *http.Request) {
	var in struct {
		InspectionLot, InspLotQtyPosted, UsageDecisionStockType, StorageLocation string
		MaterialDocumentItemText                                                 string
		ChangedDateTime                                                          *string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	l := s.inspection(in.InspectionLot)
	if l == nil {
		refuse(w, http.StatusBadRequest, "QA/201", "Inspection lot "+in.InspectionLot+" does not exist")
		return
	}
	if !l.unchanged(w, r, in.ChangedDateTime, false) {
		return
	}
	q, ok := new(big.Rat).SetString(in.InspLotQtyPosted)
	if !ok || q.Sign() <= 0 || !new(big.Rat).Mul(q, big.NewRat(1000, 1)).IsInt() {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/023", fmt.Sprintf("quantity %q is no positive decimal of three places", in.InspLotQtyPosted))
		return
	}
	p := posting{kind: in.UsageDecisionStockType, location: in.StorageLocation, quantity: q}
	if s.cfg.References != "dropped" {
		p.text = limit(in.MaterialDocumentItemText, 50)
	}
	if code, err := s.transfer(l, p); err != nil {
		refuse(w, http.StatusBadRequest, code, err.Error())
		return
	}
	answer(w, http.StatusCreated, s.showPosting(l, len(l.postings)-1))
}

// transfer takes a quantity out of inspection stock, by a material document of the system's own that nobody can cancel.
func (s *Simulator) transfer(l *inspection, p posting) (code string, err error) {
	movement, known := lotMovements[p.kind]
	from := stockKey{l.batchKey, l.plant, l.location, "02"}
	have := s.data.stock[l.batchKey][from]
	switch {
	case !known:
		return "QA/507", fmt.Errorf("stock type %q cannot be posted", p.kind)
	case l.decision == nil:
		return "QA/520", fmt.Errorf("stock of inspection lot %s cannot be posted before its usage decision", l.number)
	case l.toPost.Cmp(p.quantity) < 0:
		return "QA/513", fmt.Errorf("inspection lot %s: %s are to be posted, not %s", l.number, decimal(l.toPost), decimal(p.quantity))
	case have == nil || have.Cmp(p.quantity) < 0:
		return "M7/021", fmt.Errorf("deficit of stock in quality inspection %s %s : %s %s %s %s", decimal(p.quantity), s.data.units[l.material],
			l.material, l.plant, l.location, l.batch)
	}
	to := movement[1]
	if to == "free" {
		to = "01"
		if s.data.batches[l.batchKey].restricted && !s.cfg.NoBatchStatus {
			to = "08"
		}
	}
	q := new(big.Rat).Set(p.quantity)
	s.move(from, new(big.Rat).Neg(q))
	if to != "" {
		if p.location == "" {
			p.location = l.location
		}
		s.move(stockKey{l.batchKey, l.plant, p.location, to}, q)
	}
	doc := &document{automatic: true, code: "04", header: "QM", items: []item{{batchKey: l.batchKey, plant: l.plant, location: p.location,
		movement: movement[0], quantity: q, text: p.text}}}
	s.file(doc)
	p.document, p.quantity, p.at = doc.number, q, s.cfg.Now()
	l.postings = append(l.postings, p)
	l.posted[p.kind] = new(big.Rat).Add(l.sum(p.kind), q)
	l.toPost = new(big.Rat).Sub(l.toPost, q)
	s.touch(l)
	s.enter(l.batchKey, book.Entry{Kind: "lot_posting_" + p.kind, Record: l.number, Reference: p.text, Quantity: decimal(q)})
	return "", nil
}
