// Package api is the JSON API of holdfast-cloud under /api/v1.
//
// Every request carries a bearer token; the caller's roles decide what it may do, and the caller's plants what exists
// for it: an object of another plant is answered like one that does not exist, and the attempt is entered into the
// ledger. What changes state takes an Idempotency-Key: the event it makes has its id from principal and key, so that the
// same call twice is one change. Fix and redrive need none, a record that was replaced or applied is closed; nor do changes
// of users. Every error is a [Failure].
//
// A token calls; only persons sign. Each gives user name and password at the signing itself, whatever token hands it in:
// see [Signer]. A signature covers the hash of its record, and stands in the ledger with it.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Base is the path of all that the API serves.
const Base = "/api/v1"

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// Config says who may call, and what the answers show besides the state.
type Config struct {
	Callers    []Caller
	Zones      map[event.PlantID]string   // IANA time zone of each plant; empty = UTC
	ERP        func(event.PlantID) string // id of a plant's ERP; empty = none
	LedgerKey  string                     // public key that verifies anchors, in base64
	AnchorFile string                     // anchors of the ledger
	Now        func() time.Time           // the clock
	// OneSigner tells whether one person alone accepts missing evidence for lots of a plant; nil = it takes two everywhere.
	OneSigner func(event.PlantID) bool
	Hashing   Hashing // of new passwords; the zero Hashing means [DefaultHashing]
	// Systems are the business systems by id; each tells how it answers.
	Systems map[string]func() Health
	// AnswerWithin is how long an agent that is to be retired is waited for; 0 = 6 s.
	AnswerWithin time.Duration
	// BodyWithin is how long the body of a request may take to come; 0 = 5 s.
	BodyWithin time.Duration
}

// server answers the requests.
type server struct {
	cfg     Config
	callers []registered
	store   *store.Store
	engine  *workflow.Engine
	log     zerolog.Logger
	api     huma.API
	acts    acts
	logins  logins
}

// Register adds the API to a mux. The desk is its door for callers inside this process.
func Register(mux *http.ServeMux, cfg Config, s *store.Store, engine *workflow.Engine, log zerolog.Logger) *Desk {
	if cfg.Hashing == (Hashing{}) {
		cfg.Hashing = DefaultHashing
	}
	if cfg.AnswerWithin == 0 {
		cfg.AnswerWithin = answerWithin
	}
	srv := &server{cfg: cfg, callers: register(cfg.Callers), store: s, engine: engine, log: log, logins: newLogins(cfg.Hashing)}
	c := huma.DefaultConfig("Holdfast", "1")
	// No page that loads scripts from another host, and no paths of the framework outside of Base.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil
	c.Transformers = []huma.Transformer{translate}
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	srv.api = humago.New(mux, c)
	srv.api.UseMiddleware(srv.guard, srv.authenticate)
	srv.routes()
	mux.HandleFunc("GET "+Base+"/openapi.json", srv.openapi())
	mux.HandleFunc(Base+"/", nothing)
	return &Desk{srv, mux}
}

// nothing answers what no operation takes.
func nothing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	f := failure(http.StatusNotFound, problem.New(problem.Usage, "the API has no %s %.200s", r.Method, r.URL.Path))
	_ = json.NewEncoder(w).Encode(f) // the caller may have gone
}

// openapi serves the description of the API, made once.
func (s *server) openapi() http.HandlerFunc {
	text := sync.OnceValues(func() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() })
	return func(w http.ResponseWriter, _ *http.Request) {
		b, err := text()
		if err != nil {
			s.log.Error().Err(err).Msg("api is not described")
			http.Error(w, "the description could not be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(b) // the caller may have gone
	}
}

// metaAction is the key of an operation's action.
const metaAction = "action"

// route adds one operation.
func route[I, O any](s *server, method, path string, a action, does string, handle func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: method + " " + path, Method: method, Path: Base + path, Summary: does, MaxBodyBytes: maxBody + 1, BodyReadTimeout: s.cfg.BodyWithin,
		Metadata: map[string]any{metaAction: string(a)}, Security: []map[string][]string{{"token": {}}},
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.fail(err)
		}
		return out, nil
	})
}

// view is the output of an operation that answers with a body alone.
type view[T any] struct{ Body T }

func (s *server) routes() {
	route(s, http.MethodGet, "/version", actRead, "tell which build answers", s.version)
	route(s, http.MethodGet, "/overview", actRead, "the state of everything in a few figures", s.overview)
	route(s, http.MethodGet, "/lots", actRead, "list lots", s.lots)
	route(s, http.MethodGet, "/lots/{key}", actRead, "show a lot: disposition, holds, usage, and why it may not move", s.showLot)
	route(s, http.MethodGet, "/lots/{key}/record", actRead, "show what was inspected, measured and decided about a lot", s.lotRecord)
	route(s, http.MethodGet, "/board", actRead, "show where all lots stand", s.board)
	route(s, http.MethodGet, "/board/{stage}", actRead, "list the lots of one column of the board", s.boardStage)
	route(s, http.MethodPost, "/lots/{key}/holds", actHold, "hold a lot", s.hold)
	route(s, http.MethodPost, "/lots/{key}/holds/{id}/lift", actLift, "lift a hold of a lot", s.lift)
	route(s, http.MethodPost, "/lots/{key}/evidence", actAccept, "accept a gap or a missing answer for a lot, by signatures", s.acceptEvidence)
	route(s, http.MethodGet, "/coverage", actRead, "what is not known of a lot or a plant, and keeps a release", s.coverage)
	route(s, http.MethodGet, "/holds", actRead, "list the open holds by scope", s.scopeHolds)
	route(s, http.MethodPost, "/holds", actScope, "hold all lots of a scope", s.holdScope)
	route(s, http.MethodPost, "/holds/{id}/lift", actScope, "lift a hold by scope", s.liftScope)
	route(s, http.MethodGet, "/trace/{id}", actRead, "the way of an event, a lot or a case, hop by hop", s.trace)
	route(s, http.MethodGet, "/fleet", actRead, "show how plants and their agents stand", s.fleet)
	route(s, http.MethodGet, "/agents", actRead, "list agents by their newest epochs", s.agents)
	route(s, http.MethodPost, "/agents/{plant}/{agent}/epochs/{epoch}/decision", actEpoch, "say which of two gateways goes on", s.decideEpoch)
	route(s, http.MethodGet, "/agents/{plant}/{agent}/rest", actRead, "what would be missing if an agent were retired now", s.agentRest)
	route(s, http.MethodPost, "/agents/{plant}/{agent}/retirement", actRetire, "retire an agent, with signatures where something of it is not known", s.retire)
	route(s, http.MethodGet, "/systems", actRead, "list systems, what waits for each, and whether it is written to", s.systems)
	route(s, http.MethodGet, "/systems/{id}", actRead, "show a system, what waits for it, and how it answers", s.showSystem)
	route(s, http.MethodGet, "/systems/{id}/effects", actRead, "list effects on a system that wait, or need a person", s.systemEffects)
	route(s, http.MethodPost, "/systems/{id}/pause", actPause, "write nothing to a system for a time", s.pause)
	route(s, http.MethodPost, "/systems/{id}/resume", actPause, "end a pause", s.resume)
	route(s, http.MethodPost, "/dispatch", actDispatch, "turn dispatch on or off, for one system or for all", s.dispatch)
	route(s, http.MethodGet, "/alerts", actRead, "list what a person has to see to", s.alerts)
	route(s, http.MethodGet, "/deadletters", actDeadletters, "list records that were not applied", s.deadletters)
	route(s, http.MethodGet, "/deadletters/groups", actDeadletters, "list records that were not applied by their cause", s.deadletterGroups)
	route(s, http.MethodGet, "/deadletters/groups/{id}", actDeadletters, "list the records of one cause", s.deadletterGroup)
	route(s, http.MethodPost, "/deadletters/groups/{id}/redrive", actRedrive, "apply the records of one cause again, key by key", s.redriveGroup)
	route(s, http.MethodPost, "/deadletters/{id}/difference", actFix, "check a correction and show what it changes", s.difference)
	route(s, http.MethodGet, "/deadletters/{id}", actDeadletters, "show a record that was not applied", s.showDeadletter)
	route(s, http.MethodPost, "/deadletters/{id}/fix", actFix, "put a corrected event in the place of a record", s.fix)
	route(s, http.MethodPost, "/deadletters/{id}/redrive", actRedrive, "apply a record again, with those behind it", s.redrive)
	route(s, http.MethodPost, "/deadletters/{id}/drop", actDrop, "drop a record for good, by the signatures of two persons", s.drop)
	route(s, http.MethodGet, "/unread", actDeadletters, "list messages that an agent did not understand", s.unread)
	route(s, http.MethodGet, "/unread/{id}", actDeadletters, "show a message that an agent did not understand", s.unreadMessage)
	route(s, http.MethodGet, "/users", actReadUsers, "list users", s.users)
	route(s, http.MethodPost, "/users", actUsers, "add a user", s.addUser)
	route(s, http.MethodPost, "/users/{name}/disable", actUsers, "let a user sign and log in no more", s.disableUser)
	route(s, http.MethodPost, "/users/{name}/enable", actUsers, "let a user sign and log in again", s.enableUser)
	route(s, http.MethodPost, "/users/{name}/password", actOwnPassword, "change a password", s.changePassword)
	route(s, http.MethodGet, "/ledger", actLedger, "list ledger entries; all pages are the export", s.ledger)
	route(s, http.MethodGet, "/ledger/search", actLedger, "search the ledger", s.searchLedger)
	route(s, http.MethodGet, "/ledger/state", actLedger, "how far the ledger is sealed and anchored", s.ledgerState)
	route(s, http.MethodGet, "/ledger/key", actLedger, "the key that verifies anchors", s.ledgerKey)
	route(s, http.MethodGet, "/anchors", actLedger, "the anchors of the ledger, one a line", s.anchors)
}
