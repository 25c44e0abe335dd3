package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/expr-lang/expr/ast"
)

// Functions that operators are rewritten to. No expression can name them: an identifier has no blank.
const (
	fnEqual  = "is equal"
	fnLess   = "is less"
	fnAtMost = "is at most"
	fnIn     = "is in"
	fnJoin   = "join texts"
)

// scopeName is the variable that holds what a function needs besides its arguments.
const scopeName = "the scope"

// rewriter makes comparisons exact and refuses arithmetic by operators. It also notes what an expression uses. It is
// made for one expression.
type rewriter struct {
	tables map[string]map[string]string

	err     error
	arrived bool // sig.arrived is used
	quality bool // the quality of the value is looked at
	state   bool // state() is used
}

// Visit implements [ast.Visitor]. Children are visited before their parents.
func (r *rewriter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		r.binary(node, n)
	case *ast.UnaryNode:
		r.unary(node, n)
	case *ast.CallNode:
		r.call(n)
	case *ast.MemberNode:
		id, isName := n.Node.(*ast.IdentifierNode)
		member, isText := n.Property.(*ast.StringNode)
		if isName && isText {
			r.arrived = r.arrived || id.Value == "sig" && member.Value == "arrived"
			r.quality = r.quality || isQuality(id.Value, member.Value)
		}
	}
}

func (r *rewriter) fail(node ast.Node, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s (column %d)", fmt.Sprintf(format, args...), node.Location().From+1)
	}
}

func (r *rewriter) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "==":
		patch(node, fnEqual, n.Left, n.Right)
	case "!=":
		negate(node, fnEqual, n.Left, n.Right)
	case "<":
		patch(node, fnLess, n.Left, n.Right)
	case ">":
		patch(node, fnLess, n.Right, n.Left)
	case "<=":
		patch(node, fnAtMost, n.Left, n.Right)
	case ">=":
		patch(node, fnAtMost, n.Right, n.Left)
	case "in":
		patch(node, fnIn, n.Left, n.Right)
	case "+":
		if !bothInts(n) {
			patch(node, fnJoin, n.Left, n.Right)
		}
	case "-", "*", "%", "/", "**", "^":
		if !bothInts(n) || n.Operator == "/" || n.Operator == "**" || n.Operator == "^" {
			r.fail(n, "operator %s works in floats: use add, sub, mul or div", n.Operator)
		}
	}
}

// unary refuses a sign in front of anything but a literal.
func (r *rewriter) unary(node *ast.Node, n *ast.UnaryNode) {
	if n.Operator != "-" && n.Operator != "+" {
		return
	}
	switch operand := n.Node.(type) {
	case *ast.IntegerNode:
		return
	case *ast.FloatNode:
		if n.Operator == "-" {
			operand.Value = -operand.Value
		}
		ast.Patch(node, operand)
		return
	}
	r.fail(n, "operator %s works in floats: use sub(0, x)", n.Operator)
}

func bothInts(n *ast.BinaryNode) bool {
	return n.Left.Type().Kind() == reflect.Int && n.Right.Type().Kind() == reflect.Int
}

func patch(node *ast.Node, name string, args ...ast.Node) {
	ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args})
}

func negate(node *ast.Node, name string, args ...ast.Node) {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
	call.SetLocation((*node).Location())
	ast.Patch(node, &ast.UnaryNode{Operator: "not", Node: call})
}

func (r *rewriter) call(n *ast.CallNode) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		r.fail(n, "only functions can be called")
		return
	}
	switch {
	case name.Value == "id" && len(n.Arguments) == 2, name.Value == "judge" && len(n.Arguments) == 3:
		r.addScope(n)
	case name.Value == "lookup" && len(n.Arguments) == 2:
		r.addScope(n)
		if table, isText := n.Arguments[1].(*ast.StringNode); isText && r.tables[table.Value] == nil {
			r.fail(n, "there is no table %q", table.Value)
		}
	case name.Value == "state" && len(n.Arguments) == 2:
		r.state = true
		r.addScope(n)
		r.maxAge(n)
	case name.Value == "layout" && len(n.Arguments) == 3:
		r.zone(n)
	}
}

func (r *rewriter) addScope(n *ast.CallNode) {
	n.Arguments = append([]ast.Node{&ast.IdentifierNode{Value: scopeName}}, n.Arguments...)
}

func (r *rewriter) maxAge(n *ast.CallNode) {
	text, isText := n.Arguments[2].(*ast.StringNode)
	if !isText {
		r.fail(n, `state: max_age is a constant text such as "8h"`)
		return
	}
	age, err := time.ParseDuration(text.Value)
	if err != nil || age <= 0 {
		r.fail(n, "state: max_age is %q: want a duration above 0, such as 8h", text.Value)
		return
	}
	ast.Patch(&n.Arguments[2], constant(age))
}

// zone loads the zone of a layout once, so that mapping itself reads no file.
func (r *rewriter) zone(n *ast.CallNode) {
	text, isText := n.Arguments[2].(*ast.StringNode)
	if !isText {
		r.fail(n, `layout: zone is a constant text such as "Europe/Berlin"`)
		return
	}
	zone, err := time.LoadLocation(text.Value)
	if err != nil || text.Value == "" || text.Value == "Local" {
		r.fail(n, "layout: there is no time zone %q", text.Value)
		return
	}
	ast.Patch(&n.Arguments[2], constant(zone))
}

func constant(v any) ast.Node {
	n := &ast.ConstantNode{Value: v}
	n.SetType(reflect.TypeOf(v))
	return n
}

// order returns the order of two values of one kind.
func order(a, b any) (int, error) {
	if x, ok := numeric(a); ok {
		if y, ok := numeric(b); ok {
			return x.compare(y), nil
		}
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			switch {
			case x < y:
				return -1, nil
			case x > y:
				return 1, nil
			}
			return 0, nil
		}
	case time.Time, instant:
		s, _, err := asTime(a)
		t, _, err2 := asTime(b)
		if err == nil && err2 == nil {
			return s.Compare(t), nil
		}
	}
	return 0, fmt.Errorf("%s cannot be compared with %s", kind(a), kind(b))
}

func equal(args ...any) (any, error) {
	a, b := args[0], args[1]
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	if x, ok := a.(bool); ok {
		if y, ok := b.(bool); ok {
			return x == y, nil
		}
	}
	c, err := order(a, b)
	return c == 0, err
}

func less(args ...any) (any, error) {
	c, err := order(args[0], args[1])
	return c < 0, err
}

func atMost(args ...any) (any, error) {
	c, err := order(args[0], args[1])
	return c <= 0, err
}

// within tells whether a list has an entry equal to a value, or an object a member of a name. Entries of another kind
// than the value are passed over.
func within(args ...any) (any, error) {
	switch in := args[1].(type) {
	case map[string]any:
		name, ok := args[0].(string)
		if !ok {
			return nil, fmt.Errorf("%s is no name of a member", kind(args[0]))
		}
		_, has := in[name]
		return has, nil
	case []any:
		for _, entry := range in {
			if same, err := equal(args[0], entry); err == nil && same.(bool) {
				return true, nil
			}
		}
		return false, nil
	}
	// A literal list of one kind is a typed slice.
	list := reflect.ValueOf(args[1])
	if !list.IsValid() || list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("%s is no list", kind(args[1]))
	}
	for i := range list.Len() {
		if same, err := equal(args[0], list.Index(i).Interface()); err == nil && same.(bool) {
			return true, nil
		}
	}
	return false, nil
}

func joinTexts(args ...any) (any, error) {
	a, aIsText := args[0].(string)
	b, bIsText := args[1].(string)
	if !aIsText || !bIsText {
		return nil, errors.New("operator + joins texts: " + kind(args[0]) + " and " + kind(args[1]) + " are not both one; numbers use add")
	}
	return a + b, nil
}
