package sap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// document is a material document.
type document struct {
	number    string
	posted    time.Time
	code      string
	reference string
	header    string
	items     []item
	automatic bool   // made by the system itself
	cancelled string // number of the document that cancels it
	reverses  string // number of the document that it cancels
}

type item struct {
	batchKey
	plant, location string
	movement        string
	quantity        *big.Rat
	text            string
	order           string // manufacturing order that it was issued for
}

// movements says where each movement type takes stock from and puts it; free means unrestricted, or restricted while
// the batch's flag is set. An empty side is outside the stock.
func movements(movement string) (from, to string, ok bool) {
	m := map[string][2]string{
		"321": {"02", "free"}, "322": {"free", "02"},
		"343": {"07", "free"}, "344": {"free", "07"},
		"349": {"07", "02"}, "350": {"02", "07"},
		"101": {"", "free"}, "102": {"free", ""},
		"551": {"free", ""}, "552": {"", "free"},
		"261": {"01", ""}, "262": {"", "free"},
		"601": {"01", ""}, "602": {"", "free"},
	}[movement]
	return m[0], m[1], m != [2]string{}
}

// debitCredit tells whether a movement type takes stock out of a place, H, or only brings some, S. A transfer does both: its
// item stands where the stock came from.
func debitCredit(movement string) string {
	if from, _, ok := movements(movement); ok && from == "" {
		return "S"
	}
	return "H"
}

func opposite(movement string) string {
	n, _ := strconv.Atoi(movement)
	if n%2 == 1 {
		return strconv.Itoa(n + 1)
	}
	return strconv.Itoa(n - 1)
}

// bypassesInspection tells whether a movement type takes stock past the inspection lot that it is under.
func bypassesInspection(movement string) bool {
	return slices.Contains([]string{"321", "322", "349", "350"}, movement)
}

// serveDocument serves API_MATERIAL_DOCUMENT_SRV.
func (s *Simulator) serveDocument(w http.ResponseWriter, r *http.Request, t target) {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case t.set == "A_MaterialDocumentHeader" && t.key == nil && read:
		rows := []map[string]any{}
		reference := wantedText(r, "ReferenceDocument")
		for _, d := range s.data.documents {
			if reference == "" || d.reference == reference {
				rows = append(rows, s.showDocument(d, r.URL.Query().Get("$expand") != ""))
			}
		}
		s.list(w, r, rows)
	case t.set == "A_MaterialDocumentHeader" && read:
		if d := s.document(t.key["MaterialDocumentYear"], t.key["MaterialDocument"]); d != nil {
			answer(w, http.StatusOK, s.showDocument(d, r.URL.Query().Get("$expand") != ""))
			return
		}
		refuse(w, http.StatusNotFound, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment 'A_MaterialDocumentHeaderType'")
	case t.set == "A_MaterialDocumentItem" && t.key == nil && read:
		rows := []map[string]any{}
		wanted, some := wantedBatches(r)
		for _, d := range s.data.documents {
			for i, it := range d.items {
				if !some || slices.Contains(wanted, it.batchKey) {
					row := s.showItem(d, i)
					if strings.Contains(r.URL.Query().Get("$expand"), "to_MaterialDocumentHeader") {
						row["to_MaterialDocumentHeader"] = s.showDocument(d, false)
					}
					rows = append(rows, row)
				}
			}
		}
		s.list(w, r, rows)
	case t.set == "A_MaterialDocumentHeader" && r.Method == http.MethodPost:
		s.postDocument(w, r)
	case t.set == "Cancel" && r.Method == http.MethodPost:
		s.cancel(w, r)
	default:
		refuse(w, http.StatusNotFound, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment '"+t.set+"'")
	}
}

// wantedText returns the text that a request's filter demands of a property, or "".
func wantedText(r *http.Request, name string) string {
	f, err := parseFilter(r.URL.Query().Get("$filter"))
	if err != nil {
		return ""
	}
	return f.wanted(name)
}

func (s *Simulator) document(year, number string) *document {
	for _, d := range s.data.documents {
		if d.number == number && d.posted.UTC().Format("2006") == year {
			return d
		}
	}
	return nil
}

func (s *Simulator) showDocument(d *document, expand bool) map[string]any {
	year := d.posted.UTC().Format("2006")
	uri := fmt.Sprintf("%sAPI_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader(MaterialDocumentYear='%s',MaterialDocument='%s')", Root, year, d.number)
	day := dateTime(d.posted.UTC().Truncate(24 * time.Hour))
	out := map[string]any{
		"__metadata":           map[string]string{"id": uri, "uri": uri, "type": "API_MATERIAL_DOCUMENT_SRV.A_MaterialDocumentHeaderType"},
		"MaterialDocumentYear": year, "MaterialDocument": d.number, "PostingDate": day, "DocumentDate": day,
		"CreationDate": day, "CreationTime": d.posted.UTC().Format("PT15H04M05S"), "GoodsMovementCode": d.code,
		"ReferenceDocument": d.reference, "MaterialDocumentHeaderText": d.header,
	}
	if s.cfg.References == "missing" {
		delete(out, "ReferenceDocument")
	}
	if expand {
		items := []map[string]any{}
		for i := range d.items {
			items = append(items, s.showItem(d, i))
		}
		out["to_MaterialDocumentItem"] = map[string]any{"results": items}
	} else {
		out["to_MaterialDocumentItem"] = map[string]any{"__deferred": map[string]string{"uri": uri + "/to_MaterialDocumentItem"}}
	}
	return out
}

// showItem shows an item; its number is NonNegative and so comes without leading zeros.
func (s *Simulator) showItem(d *document, i int) map[string]any {
	it := d.items[i]
	reversed := ""
	if d.reverses != "" {
		reversed = strconv.Itoa(i + 1)
	}
	return map[string]any{
		"MaterialDocumentYear": d.posted.UTC().Format("2006"), "MaterialDocument": d.number, "MaterialDocumentItem": strconv.Itoa(i + 1),
		"Material": it.material, "Plant": it.plant, "StorageLocation": it.location, "Batch": it.batch,
		"GoodsMovementType": it.movement, "QuantityInEntryUnit": it.quantity.FloatString(3), "EntryUnit": s.data.units[it.material],
		"QuantityInBaseUnit": it.quantity.FloatString(3), "MaterialBaseUnit": s.data.units[it.material],
		"MaterialDocumentItemText": it.text, "GoodsMovementIsCancelled": d.cancelled != "", "ManufacturingOrder": it.order,
		"DebitCreditCode": debitCredit(it.movement), "ReversedMaterialDocument": d.reverses, "ReversedMaterialDocumentItem": reversed,
		"to_MaterialDocumentHeader": map[string]any{"__deferred": map[string]string{"uri": Root + "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem/to_MaterialDocumentHeader"}},
	}
}

type postedItem struct {
	Material, Plant, StorageLocation, Batch, GoodsMovementType string
	QuantityInEntryUnit, EntryUnit                             string
	MaterialDocumentItemText                                   string
}

type posted struct {
	PostingDate, DocumentDate, GoodsMovementCode string
	ReferenceDocument                            *string
	MaterialDocumentHeaderText                   string
	Items                                        json.RawMessage `json:"to_MaterialDocumentItem"`
}

func (s *Simulator) postDocument(w http.ResponseWriter, r *http.Request) {
	d, code, err := s.readDocument(r.Body)
	if err == nil {
		code, err = s.commit(d)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, code, err.Error())
		return
	}
	answer(w, http.StatusCreated, s.showDocument(d, true))
}

// readDocument checks the form of a posting.
func (s *Simulator) readDocument(from io.Reader) (*document, string, error) {
	var in posted
	if err := json.NewDecoder(from).Decode(&in); err != nil {
		return nil, "/IWBEP/CM_MGW_RT/021", fmt.Errorf("malformed request: %w", err)
	}
	var items []postedItem
	var wrapped struct{ Results []postedItem }
	if json.Unmarshal(in.Items, &items) != nil {
		if err := json.Unmarshal(in.Items, &wrapped); err != nil {
			return nil, "/IWBEP/CM_MGW_RT/021", fmt.Errorf("malformed items: %w", err)
		}
		items = wrapped.Results
	}
	switch {
	case in.PostingDate == "" || in.DocumentDate == "":
		return nil, "M7/053", fmt.Errorf("enter posting date and document date")
	case in.GoodsMovementCode == "" || len(items) == 0:
		return nil, "M7/051", fmt.Errorf("document does not contain any items")
	case in.ReferenceDocument != nil && s.cfg.References == "missing":
		return nil, "/IWBEP/CM_MGW_RT/022", fmt.Errorf("property 'ReferenceDocument' is invalid")
	}
	d := &document{code: in.GoodsMovementCode, header: limit(in.MaterialDocumentHeaderText, 25)}
	if in.ReferenceDocument != nil && s.cfg.References != "dropped" {
		d.reference = limit(*in.ReferenceDocument, 16)
	}
	for _, it := range items {
		q, ok := new(big.Rat).SetString(it.QuantityInEntryUnit)
		if !ok || q.Sign() <= 0 || !new(big.Rat).Mul(q, big.NewRat(1000, 1)).IsInt() {
			return nil, "/IWBEP/CM_MGW_RT/023", fmt.Errorf("quantity %q is no positive decimal of three places", it.QuantityInEntryUnit)
		}
		k := batchKey{it.Material, it.Batch}
		if s.data.batches[k] == nil {
			return nil, "M7/042", fmt.Errorf("batch %s of material %s does not exist", it.Batch, it.Material)
		}
		if it.GoodsMovementType == "601" || it.GoodsMovementType == "602" {
			return nil, "M7/003", fmt.Errorf("movement type %s is posted by a delivery", it.GoodsMovementType)
		}
		if it.EntryUnit != s.data.units[it.Material] {
			return nil, "M7/065", fmt.Errorf("unit %q cannot be converted for material %s", it.EntryUnit, it.Material)
		}
		d.items = append(d.items, item{batchKey: k, plant: it.Plant, location: it.StorageLocation, movement: it.GoodsMovementType,
			quantity: q, text: limit(it.MaterialDocumentItemText, 50)})
	}
	return d, "", nil
}

// commit posts a document: all of its items or none.
func (s *Simulator) commit(d *document) (code string, err error) {
	before := map[batchKey]map[stockKey]*big.Rat{}
	for _, it := range d.items {
		before[it.batchKey] = s.data.placesOf(it.batchKey)
	}
	for _, it := range d.items {
		if code, err := s.post(it); err != nil {
			maps.Copy(s.data.stock, before)
			return code, err
		}
	}
	s.file(d)
	for _, it := range d.items {
		if it.movement == "101" && s.managed(it.material) {
			s.inspect(it.batchKey, it.plant, originReceipt, it.quantity)
		}
		s.enter(it.batchKey, book.Entry{Kind: "transfer_" + it.movement, Record: d.number, Reference: d.reference, Quantity: decimal(it.quantity)})
	}
	return "", nil
}

func (s *Simulator) post(it item) (string, error) {
	from, to, ok := movements(it.movement)
	if !ok {
		return "M7/003", fmt.Errorf("movement type %s cannot be posted here", it.movement)
	}
	if bypassesInspection(it.movement) && s.underInspection(it.batchKey) {
		return "QV/226", fmt.Errorf("change the inspection stock of material %s in the inspection lot", it.material)
	}
	free := "01"
	if s.data.batches[it.batchKey].restricted && !s.cfg.NoBatchStatus {
		free = "08"
	}
	place := func(kind string) stockKey {
		if kind == "free" {
			kind = free
		}
		return stockKey{it.batchKey, it.plant, it.location, kind}
	}
	if it.movement == "101" && s.managed(it.material) {
		to = "02" // a goods receipt, under an inspection lot
	}
	if from != "" {
		have := s.data.stock[it.batchKey][place(from)]
		if have == nil || have.Cmp(it.quantity) < 0 {
			return "M7/021", fmt.Errorf("deficit of stock type %s %s %s : %s %s %s %s", place(from).kind, decimal(it.quantity),
				s.data.units[it.material], it.material, it.plant, it.location, it.batch)
		}
		s.move(place(from), new(big.Rat).Neg(it.quantity))
	}
	if to != "" {
		s.move(place(to), it.quantity)
	}
	return "", nil
}

// file gives a document its number and keeps it.
func (s *Simulator) file(d *document) {
	d.number = strconv.FormatInt(4900000001+int64(len(s.data.documents)), 10)
	d.posted = s.cfg.Now()
	s.data.documents = append(s.data.documents, d)
}

// cancel serves the function Cancel.
func (s *Simulator) cancel(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	counter, status, code, err := s.reverse(trimQuotes(q.Get("MaterialDocumentYear")), trimQuotes(q.Get("MaterialDocument")))
	if err != nil {
		refuse(w, status, code, err.Error())
		return
	}
	answer(w, http.StatusCreated, s.showDocument(counter, true))
}

// reverse posts the counter-document of a document that was posted here, once.
func (s *Simulator) reverse(year, number string) (counter *document, status int, code string, err error) {
	d := s.document(year, number)
	switch {
	case d == nil:
		return nil, http.StatusNotFound, "M7/008", errors.New("material document does not exist")
	case d.automatic:
		return nil, http.StatusBadRequest, "M7/192", errors.New("material document was made by the system and cannot be cancelled")
	case d.cancelled != "" || d.reverses != "":
		return nil, http.StatusBadRequest, "M7/191", errors.New("material document is cancelled already")
	}
	counter = &document{code: "06", header: d.header, reference: d.reference, reverses: d.number}
	for _, it := range d.items {
		it.movement = opposite(it.movement)
		counter.items = append(counter.items, it)
	}
	if code, err := s.commit(counter); err != nil {
		return nil, http.StatusBadRequest, code, err
	}
	d.cancelled = counter.number
	return counter, 0, "", nil
}

// limit cuts a text at the field's length, in characters, as the screens do.
func limit(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}
