package sap

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

type stockKey struct {
	batchKey
	plant, location, kind string
}

// move adds a quantity, which may be negative, to a place. Zero stays as a row, as in the real table.
func (s *Simulator) move(at stockKey, q *big.Rat) {
	if s.data.stock[at.batchKey] == nil {
		s.data.stock[at.batchKey] = map[stockKey]*big.Rat{}
	}
	sum := s.data.stock[at.batchKey][at]
	if sum == nil {
		sum = new(big.Rat)
		s.data.stock[at.batchKey][at] = sum
	}
	sum.Add(sum, q)
}

// sum returns how much of a batch stands in a stock type.
func (s *Simulator) sum(k batchKey, kind string) *big.Rat {
	sum := new(big.Rat)
	for at, q := range s.data.stock[k] {
		if at.kind == kind {
			sum.Add(sum, q)
		}
	}
	return sum
}

// places returns where a batch has rows, in order.
func (s *Simulator) places(k batchKey) []stockKey {
	var out []stockKey
	for at := range s.data.stock[k] {
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b stockKey) int {
		return strings.Compare(a.plant+a.location+a.kind, b.plant+b.location+b.kind)
	})
	return out
}

// serveStock serves API_MATERIAL_STOCK_SRV: a list by filter, never a row by its key.
func (s *Simulator) serveStock(w http.ResponseWriter, r *http.Request, t target) {
	if t.set != "A_MatlStkInAcctMod" || t.key != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusNotFound, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment '"+t.set+"'")
		return
	}
	var keys []stockKey
	if wanted, ok := wantedBatches(r); ok {
		for _, k := range wanted {
			s.arrive(k)
			keys = append(keys, s.places(k)...)
		}
	} else {
		for k := range s.data.stock {
			keys = append(keys, s.places(k)...)
		}
	}
	slices.SortFunc(keys, func(a, b stockKey) int {
		return strings.Compare(a.material+a.plant+a.location+a.batch+a.kind, b.material+b.plant+b.location+b.batch+b.kind)
	})
	rows := make([]map[string]any, 0, len(keys))
	for _, at := range keys {
		rows = append(rows, s.showStock(at))
	}
	s.list(w, r, rows)
}

// wantedBatches returns the batches that a request's filter names; ok is false if it lets others through, too.
func wantedBatches(r *http.Request) (keys []batchKey, ok bool) {
	f, err := parseFilter(r.URL.Query().Get("$filter"))
	if err != nil {
		return nil, false
	}
	return f.batches()
}

func (s *Simulator) showStock(at stockKey) map[string]any {
	uri := fmt.Sprintf("%sAPI_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod(Material='%s',Plant='%s',StorageLocation='%s',Batch='%s',Supplier='',"+
		"Customer='',WBSElementInternalID='',SDDocument='',SDDocumentItem='',InventorySpecialStockType='',InventoryStockType='%s')",
		Root, quote(at.material), at.plant, at.location, quote(at.batch), at.kind)
	return map[string]any{
		"__metadata": map[string]string{"id": uri, "uri": uri, "type": "API_MATERIAL_STOCK_SRV.A_MatlStkInAcctModType"},
		"Material":   at.material, "Plant": at.plant, "StorageLocation": at.location, "Batch": at.batch, "Supplier": "",
		"Customer": "", "WBSElementInternalID": "", "SDDocument": "", "SDDocumentItem": "0",
		"InventorySpecialStockType": "", "InventoryStockType": at.kind, "MaterialBaseUnit": s.data.units[at.material],
		"MatlWrhsStkQtyInMatlBaseUnit": stockDecimal(s.data.stock[at.batchKey][at]),
	}
}

// stockDecimal writes a quantity as the stock service has been seen to: 10000, 1160.000, 0.000.
func stockDecimal(q *big.Rat) string {
	if q.IsInt() && q.Cmp(big.NewRat(10000, 1)) >= 0 {
		return q.FloatString(0)
	}
	if three := new(big.Rat).Mul(q, big.NewRat(1000, 1)); three.IsInt() {
		return q.FloatString(3)
	}
	return q.FloatString(14)
}

// decimal writes a quantity without trailing zeros.
func decimal(q *big.Rat) string {
	text := q.FloatString(14)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
