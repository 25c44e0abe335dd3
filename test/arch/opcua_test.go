package arch

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// asked are the requests that the OPC UA source may make of a server: none of them changes anything there. The one call
// is judged by TestOPCUA_OneCall.
func asked() []string {
	return []string{"ReadRequest", "BrowseRequest", "HistoryReadRequest", "MonitoredItemCreateRequest", "CallMethodRequest"}
}

// TestOPCUA_ReadsOnly proves that the program cannot write to a machine: what is not in its source cannot be reached.
// Nothing but this package may import the library, which is the wall's part of the proof.
func TestOPCUA_ReadsOnly(t *testing.T) {
	verbs := []string{
		"Write", "WriteValue", "SetAttribute", "Call", "HistoryUpdate", "AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences", "RegisterNodes",
		"SetTriggering", "SetMonitoringMode", "ModifyMonitoredItems", "TransferSubscriptions",
	}
	seen := 0
	for _, s := range sources(t) {
		if s.test || s.dir != "agent/source/opcua" {
			continue
		}
		seen++
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if name, ok := strings.CutPrefix(types.ExprString(n.Type), "ua."); ok && strings.HasSuffix(name, "Request") && !slices.Contains(asked(), name) {
					t.Errorf("%s: makes a %s", s.at(n), name)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains(verbs, sel.Sel.Name) {
					return true
				}
				if of := types.ExprString(sel.X); strings.HasSuffix(of, "client") && sel.Sel.Name != "Call" || strings.HasSuffix(of, "Subscription") {
					t.Errorf("%s: %s.%s changes something at the server", s.at(n), of, sel.Sel.Name)
				}
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("no source of the package was seen")
	}
}

// TestOPCUA_OneCall holds the one call of a method to ConditionRefresh, by name.
func TestOPCUA_OneCall(t *testing.T) {
	calls, requests := 0, 0
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.dir, "agent/") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Call" && strings.HasSuffix(types.ExprString(sel.X), "client") {
					calls++
				}
			case *ast.CompositeLit:
				if n.Type == nil || !strings.HasPrefix(types.ExprString(n.Type), "ua.Call") {
					return true
				}
				requests++
				if method := member(n, "MethodID"); method != "numeric(0, id.ConditionType_ConditionRefresh)" {
					t.Errorf("%s: calls the method %s", s.at(n), method)
				}
			}
			return true
		})
	}
	if calls != 1 || requests != 1 {
		t.Errorf("%d calls and %d requests for one: want one of each", calls, requests)
	}
}

// member returns the source of a literal's member.
func member(lit *ast.CompositeLit, name string) string {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && types.ExprString(kv.Key) == name {
			return types.ExprString(kv.Value)
		}
	}
	return ""
}
