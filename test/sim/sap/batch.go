package sap

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

type batchKey struct{ material, batch string }

type batch struct {
	batchKey
	restricted       bool
	created, changed time.Time // changed is zero until the first change
	etag             string
}

// serveBatch serves API_BATCH_SRV.
func (s *Simulator) serveBatch(w http.ResponseWriter, r *http.Request, t target) {
	if t.set != "Batch" {
		refuse(w, http.StatusNotFound, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment '"+t.set+"'")
		return
	}
	switch {
	case t.key == nil && r.Method == http.MethodGet:
		s.listBatches(w, r)
	case t.key == nil && r.Method == http.MethodPost:
		s.postBatch(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if b := s.find(w, t); b != nil {
			w.Header().Set("ETag", b.etag)
			answer(w, http.StatusOK, s.showBatch(b))
		}
	case r.Method == http.MethodPatch:
		if b := s.find(w, t); b != nil {
			s.patchBatch(w, r, b)
		}
	default:
		refuse(w, http.StatusMethodNotAllowed, "/IWFND/CM_CONSUMER/101", "Method not allowed")
	}
}

// find answers 404 and returns nil for a batch that is not there.
func (s *Simulator) find(w http.ResponseWriter, t target) *batch {
	k := batchKey{t.key["Material"], t.key["Batch"]}
	if t.key["BatchIdentifyingPlant"] == s.cfg.BatchPlant {
		s.arrive(k)
		if b := s.data.batches[k]; b != nil {
			return b
		}
	}
	refuse(w, http.StatusNotFound, "BATCH_API/001", fmt.Sprintf("Batch %s of material %s does not exist.", k.batch, k.material))
	return nil
}

// arrive makes an unknown batch where the configuration says so.
func (s *Simulator) arrive(k batchKey) {
	if s.cfg.AutoCreate && s.data.batches[k] == nil && k.material != "" && k.batch != "" {
		s.receive(k, s.cfg.Plant, s.cfg.Quantity)
	}
}

func (s *Simulator) showBatch(b *batch) map[string]any {
	uri := fmt.Sprintf("%sAPI_BATCH_SRV/Batch(Material='%s',BatchIdentifyingPlant='%s',Batch='%s')", Root, quote(b.material), s.cfg.BatchPlant, quote(b.batch))
	return map[string]any{
		"__metadata": map[string]string{"id": uri, "uri": uri, "type": "API_BATCH_SRV.BatchType", "etag": b.etag},
		"Material":   b.material, "BatchIdentifyingPlant": s.cfg.BatchPlant, "Batch": b.batch,
		"BatchIsMarkedForDeletion": false, "MatlBatchIsInRstrcdUseStock": b.restricted,
		"Supplier": "", "BatchBySupplier": "", "MatlBatchAvailabilityDate": nil,
		"ManufactureDate": dateTime(b.created.Truncate(24 * time.Hour)), "ShelfLifeExpirationDate": nil,
		"CreationDateTime": dateTimeOffset(b.created), "LastChangeDateTime": dateTimeOffset(b.changed),
	}
}

func (s *Simulator) listBatches(w http.ResponseWriter, r *http.Request) {
	rows := make([]map[string]any, 0, len(s.data.batches))
	for _, b := range s.data.batches {
		rows = append(rows, s.showBatch(b))
	}
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return strings.Compare(a["Material"].(string)+"\x00"+a["Batch"].(string), b["Material"].(string)+"\x00"+b["Batch"].(string))
	})
	s.list(w, r, rows)
}

func (s *Simulator) postBatch(w http.ResponseWriter, r *http.Request) {
	var in struct{ Material, Batch string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Material == "" || in.Batch == "" {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	k := batchKey{in.Material, in.Batch}
	if s.data.batches[k] != nil {
		refuse(w, http.StatusBadRequest, "LB/037", fmt.Sprintf("Batch %s of material %s already exists", in.Batch, in.Material))
		return
	}
	s.add(k, s.cfg.Plant, "", "")
	s.enter(k, book.Entry{Kind: "batch_created"})
	answer(w, http.StatusCreated, s.showBatch(s.data.batches[k]))
}

// patchBatch changes the flag. Its ETag must be the one that was read; * is taken, as by some systems.
func (s *Simulator) patchBatch(w http.ResponseWriter, r *http.Request, b *batch) {
	switch r.Header.Get("If-Match") {
	case "":
		refuse(w, http.StatusPreconditionRequired, "/IWFND/CM_MGW_RT/021", "Conditional request: header If-Match is required")
		return
	case "*", b.etag:
	default:
		refuse(w, http.StatusPreconditionFailed, "/IWFND/CM_MGW_RT/022", "Precondition failed: the entity was changed")
		return
	}
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/021", "Malformed request")
		return
	}
	if inner, ok := in["d"].(map[string]any); ok {
		in = inner
	}
	flag, ok := in["MatlBatchIsInRstrcdUseStock"].(bool)
	if !ok || len(in) != 1 {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/022", "Property is invalid or cannot be changed")
		return
	}
	s.setFlag(b, flag, "")
	w.WriteHeader(http.StatusNoContent)
}

// setFlag changes the flag and moves what is free to restricted use, or back, by a document of the system's own. By says
// who did it; empty = the API.
func (s *Simulator) setFlag(b *batch, restricted bool, by string) {
	if b == nil || b.restricted == restricted {
		return
	}
	b.restricted, b.changed, b.etag = restricted, s.cfg.Now(), s.nextETag()
	from, to, kind, movement := "01", "08", "flag_set", "342"
	if !restricted {
		from, to, kind, movement = "08", "01", "flag_cleared", "341"
	}
	moved := new(big.Rat)
	if !s.cfg.NoBatchStatus {
		moved = s.shift(b.batchKey, from, to, movement)
	}
	s.enter(b.batchKey, book.Entry{Kind: kind, Reference: by, Quantity: decimal(moved)})
}

// shift moves all of a batch between two stock types and returns how much that was.
func (s *Simulator) shift(k batchKey, from, to, movement string) *big.Rat {
	moved, doc := new(big.Rat), &document{automatic: true, header: "batch status change"}
	for _, at := range s.places(k) {
		if at.kind != from || s.data.stock[k][at].Sign() <= 0 {
			continue
		}
		q := new(big.Rat).Set(s.data.stock[k][at])
		s.move(at, new(big.Rat).Neg(q))
		target := at
		target.kind = to
		s.move(target, q)
		moved.Add(moved, q)
		doc.items = append(doc.items, item{batchKey: k, plant: at.plant, location: at.location, movement: movement, quantity: q})
	}
	if len(doc.items) > 0 {
		s.file(doc)
	}
	return moved
}

// enter completes an entry of the book for a batch.
func (s *Simulator) enter(k batchKey, e book.Entry) {
	e.At, e.Key, e.Material, e.Batch = s.cfg.Now(), k.material+"/"+k.batch, k.material, k.batch
	e.FreeAfter, e.Detail = s.sum(k, "01").Sign() > 0, string(s.usage(k))
	if s.pending != nil {
		s.pending = append(s.pending, e)
		return
	}
	s.book.Add(e)
}

// usage returns what the batch may be used for, as far as its least restricted quantity may be.
func (s *Simulator) usage(k batchKey) event.UsageStatus {
	restricted := s.data.batches[k] != nil && s.data.batches[k].restricted
	for _, x := range []struct {
		kind  string
		usage event.UsageStatus
	}{{"01", event.Unrestricted}, {"02", event.InInspection}, {"08", event.Restricted}, {"07", event.Blocked}} {
		switch {
		case s.sum(k, x.kind).Sign() <= 0:
		case restricted && x.usage == event.InInspection:
			return event.Restricted
		default:
			return x.usage
		}
	}
	if restricted {
		return event.Restricted
	}
	return event.Unrestricted
}

// nextETag returns a version of the form that the services use: a time stamp and a hash, below the second.
func (s *Simulator) nextETag() string {
	s.serial++
	return fmt.Sprintf(`W/"'SADL-0%s%07d~%s'"`, s.cfg.Now().UTC().Format("20060102150405.000000"), s.serial, s.cfg.Now().UTC().Format("20060102150405"))
}
