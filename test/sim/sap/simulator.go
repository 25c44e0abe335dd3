package sap

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
)

// Root is the path under which all services stand.
const Root = "/sap/opu/odata/sap/"

// Config says what kind of system is simulated. The zero Config is one without users that keeps every reference.
type Config struct {
	User     string // empty = no log-in needed
	Password string
	// LockAfter locks the user for good after so many bad log-ins; 0 = never.
	LockAfter int
	// TokenTTL ends sessions of that age; 0 = never.
	TokenTTL time.Duration

	// AutoCreate makes a batch that is asked for and unknown, with Quantity of Unit at Plant and Location in
	// unrestricted stock: plant and system share their master data.
	AutoCreate bool
	Plant      string // empty = 1010
	Location   string // empty = 0001
	Quantity   string // empty = 100
	Unit       string // empty = KG

	// References says what happens to what an effect is found by (ReferenceDocument, the item text of a lot's posting, the
	// code of a usage decision): kept (empty), dropped (taken and lost), missing (no such field).
	References string
	// PageSize is the most rows that an answer has before it points to the next page; 0 = 500.
	PageSize int
	// BatchPlant is the plant that names batches in a system whose batch numbers are unique per plant; empty = they are
	// unique per material. Such a system here has this one plant.
	BatchPlant string
	// QM lists the materials under quality management; * = all. Goods receipts of them go into inspection stock, each under
	// an inspection lot of its own, and that stock moves only by the lot.
	QM []string
	// Codes are those of usage decisions; nil = [DefaultCodes].
	Codes []Code
	// Signatures and Documentation say what usage decisions on new inspection lots need, so that only a person makes them.
	Signatures, Documentation bool

	// NoBatchStatus leaves batch status management off: the flag is kept and moves no stock.
	NoBatchStatus bool

	BookFile string           // empty = the book is in memory alone
	Now      func() time.Time // nil = time.Now
}

// Simulator is one system. It is safe for concurrent use.
type Simulator struct {
	// Handler serves the services, /book and /control.
	Handler http.Handler
	// Faults are those in force.
	Faults *fault.Set

	cfg  Config
	book *book.Book

	// mu guards all below. It is held while one request is served: this system does one thing at a time.
	mu       sync.Mutex
	data     state
	saved    *state
	sessions map[string]session
	bad      int // bad log-ins so far
	fetches  int // tokens handed out
	serial   int // of sessions and ETags
	// pending holds the entries of a changeset until it is whole; nil = there is none.
	pending []book.Entry
}

// state is what a backup holds.
type state struct {
	batches     map[batchKey]*batch
	stock       map[batchKey]map[stockKey]*big.Rat
	documents   []*document
	units       map[string]string // by material
	inspections []*inspection     // in order of their numbers
}

// New returns a simulator with nothing in it. Its error is that of the book's file.
func New(cfg Config) (*Simulator, error) {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&cfg.Plant, "1010")
	fill(&cfg.Location, "0001")
	fill(&cfg.Quantity, "100")
	fill(&cfg.Unit, "KG")
	if cfg.PageSize == 0 {
		cfg.PageSize = 500
	}
	if cfg.Codes == nil {
		cfg.Codes = DefaultCodes()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b, err := book.Open(cfg.BookFile)
	if err != nil {
		return nil, err
	}
	s := &Simulator{cfg: cfg, book: b, data: newState(), sessions: map[string]session{}}
	s.Faults = &fault.Set{Forget: s.ForgetSessions}
	s.Handler = s.routes()
	return s, nil
}

func newState() state {
	return state{
		batches: map[batchKey]*batch{}, stock: map[batchKey]map[stockKey]*big.Rat{},
		units: map[string]string{},
	}
}

func (s *Simulator) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /book", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(append([]book.Entry{}, s.Book()...))
	})
	mux.HandleFunc("POST /hand", s.serveHand)
	mux.Handle("POST /control", s.Faults.Control(map[string]func(){
		"snapshot": s.Snapshot, "restore": s.Restore, "forget": s.ForgetSessions,
	}))
	mux.Handle(Root, s.Faults.Wrap(http.HandlerFunc(s.serve)))
	return mux
}

// Book returns all effects so far.
func (s *Simulator) Book() []book.Entry { return s.book.Entries() }

// Batch returns the effects on one batch.
func (s *Simulator) Batch(material, batch string) []book.Entry {
	return s.book.Of(material + "/" + batch)
}

// Close closes the book's file.
func (s *Simulator) Close() error { return s.book.Close() }

// AddBatch makes a batch, unless it is there, and adds stock to it. A stock type is 01 unrestricted, 02 in inspection,
// 07 blocked, 08 restricted; an empty quantity adds none. While the batch is restricted, what would be unrestricted
// lands in restricted stock.
func (s *Simulator) AddBatch(material, batch, plant, quantity, stockType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(batchKey{material, batch}, plant, quantity, stockType)
}

func (s *Simulator) add(k batchKey, plant, quantity, stockType string) {
	if s.data.batches[k] == nil {
		s.data.batches[k] = &batch{batchKey: k, created: s.cfg.Now(), etag: s.nextETag()}
		s.data.units[k.material] = s.cfg.Unit
	}
	if stockType == "01" && s.data.batches[k].restricted && !s.cfg.NoBatchStatus {
		stockType = "08"
	}
	if q, ok := new(big.Rat).SetString(quantity); ok {
		s.move(stockKey{k, plant, s.cfg.Location, stockType}, q)
	}
}

// SetFlag restricts a batch or frees it as a person in the system would, past the API.
func (s *Simulator) SetFlag(material, batch string, restricted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setFlag(s.data.batches[batchKey{material, batch}], restricted, "")
}

// Restricted tells whether the batch's flag is set.
func (s *Simulator) Restricted(material, batch string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.data.batches[batchKey{material, batch}]
	return b != nil && b.restricted
}

// Stock returns how much of a batch stands in a stock type, over all places, as a decimal.
func (s *Simulator) Stock(material, batch, stockType string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return decimal(s.sum(batchKey{material, batch}, stockType))
}

// PutUnderInspectionLot makes an inspection lot for what stands in inspection stock, one for each plant: it moves only by
// its lot from now on.
func (s *Simulator) PutUnderInspectionLot(material, batch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := batchKey{material, batch}
	for _, at := range s.places(k) {
		if q := s.data.stock[k][at]; at.kind == "02" && q.Sign() > 0 {
			s.inspect(k, at.plant, originReceipt, q)
		}
	}
}

// Snapshot keeps the present state for [Simulator.Restore].
func (s *Simulator) Snapshot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.data.clone()
	s.saved = &c
}

// Restore brings back the state of the last snapshot, as a restored backup does; without one the system is empty. The
// book keeps what it has.
func (s *Simulator) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = newState()
	if s.saved != nil {
		s.data = s.saved.clone()
	}
	s.sessions = map[string]session{}
}

func (d state) clone() state {
	c := newState()
	for k, b := range d.batches {
		copied := *b
		c.batches[k] = &copied
	}
	for k := range d.stock {
		c.stock[k] = d.placesOf(k)
	}
	for k, u := range d.units {
		c.units[k] = u
	}
	for _, l := range d.inspections {
		c.inspections = append(c.inspections, l.clone())
	}
	for _, doc := range d.documents {
		copied := *doc
		copied.items = slices.Clone(doc.items)
		c.documents = append(c.documents, &copied)
	}
	return c
}

// placesOf returns a copy of a batch's stock.
func (d state) placesOf(k batchKey) map[stockKey]*big.Rat {
	c := make(map[stockKey]*big.Rat, len(d.stock[k]))
	for at, q := range d.stock[k] {
		c[at] = new(big.Rat).Set(q)
	}
	return c
}

// serve checks who asks, then hands over to the entity's method.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.authorise(w, r) {
		return
	}
	service, resource, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), Root), "/")
	if resource == "$batch" {
		s.serveMultipart(w, r, service)
		return
	}
	s.route(w, r, service, resource)
}

// route hands a request over to its service.
func (s *Simulator) route(w http.ResponseWriter, r *http.Request, service, resource string) {
	switch {
	case resource == "":
		answer(w, http.StatusOK, map[string]any{"EntitySets": []string{}})
		return
	case resource == "$metadata" && service == inspectionService:
		s.serveMetadata(w, r)
		return
	}
	t, err := parseTarget(resource)
	if err != nil {
		refuse(w, http.StatusBadRequest, "/IWFND/CM_MGW/096", err.Error())
		return
	}
	t.service = service
	switch service {
	case "API_BATCH_SRV":
		s.serveBatch(w, r, t)
	case "API_MATERIAL_STOCK_SRV":
		s.serveStock(w, r, t)
	case "API_MATERIAL_DOCUMENT_SRV":
		s.serveDocument(w, r, t)
	case inspectionService:
		s.serveInspection(w, r, t)
	case "API_PRODUCT_SRV":
		s.serveMaster(w, r, t)
	default:
		refuse(w, http.StatusForbidden, "/IWFND/MED/170", "No service found for namespace '', name '"+service+"', version '0001'")
	}
}
