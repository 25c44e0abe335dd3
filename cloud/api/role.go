package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Roles of callers.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleQuality  = "quality"
	RoleAuditor  = "auditor"
	RoleAdmin    = "admin"
)

// action is something that a caller asks for.
type action string

// Actions.
const (
	actRead        action = "read lots and traces"
	actHold        action = "hold a lot"
	actLift        action = "lift a lot's hold"
	actScope       action = "hold or lift by scope"
	actDeadletters action = "read dead letters"
	actFix         action = "fix a dead letter"
	actRedrive     action = "redrive a dead letter"
	actLedger      action = "read the ledger"
	actEpoch       action = "decide about an agent's epoch"
	actAccept      action = "hand in signatures"
	actDrop        action = "drop a dead letter"
	actRetire      action = "retire an agent"
	actPause       action = "pause a system"
	actDispatch    action = "turn dispatch on or off"
	actReadUsers   action = "read users"
	actUsers       action = "change users"
	actOwnPassword action = "change a password"
)

// rights is the one table of who may do what. An operator's holds have the authority operator, so that the rules let
// operators lift them and nobody else's. An administrator changes no quality state, but says which gateway is the right one.
var rights = map[string][]action{
	RoleViewer:   {actRead, actOwnPassword},
	RoleOperator: {actRead, actHold, actLift, actDeadletters, actRedrive, actPause, actOwnPassword},
	RoleQuality:  {actRead, actHold, actLift, actScope, actDeadletters, actFix, actRedrive, actLedger, actEpoch, actAccept, actDrop, actRetire, actOwnPassword},
	RoleAuditor:  {actRead, actDeadletters, actLedger, actReadUsers, actOwnPassword},
	RoleAdmin:    {actRead, actDeadletters, actLedger, actEpoch, actRetire, actPause, actDispatch, actReadUsers, actUsers, actOwnPassword},
}

// RoleNames lists the roles in the order in which people read them.
func RoleNames() []string {
	return []string{RoleViewer, RoleOperator, RoleQuality, RoleAuditor, RoleAdmin}
}

// CheckRole tells whether a role exists.
func CheckRole(role string) error {
	if _, ok := rights[role]; ok {
		return nil
	}
	return fmt.Errorf("role %q does not exist: want one of %s", role, strings.Join(RoleNames(), ", "))
}

// may tells whether one of the roles allows the action.
func may(roles []string, a action) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(rights[role], a) })
}

// rolesFor names the roles that allow the action.
func rolesFor(a action) string {
	var names []string
	for _, role := range RoleNames() {
		if slices.Contains(rights[role], a) {
			names = append(names, role)
		}
	}
	return strings.Join(names, " or ")
}

// authority returns in whose name a caller with these roles holds and lifts.
func authority(roles []string) event.Authority {
	if slices.Contains(roles, RoleQuality) {
		return event.AuthorityQuality
	}
	return event.AuthorityOperator
}
