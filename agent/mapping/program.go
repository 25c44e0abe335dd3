package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	language "github.com/expr-lang/expr/vm/runtime"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// program is a compiled expression. Most are made of constants, members and calls of our functions. Those are evaluated
// directly, in a tenth of the time that the language's machine takes for them. All others run on the machine, and so does
// what goes wrong directly: the machine knows what to say of it, and where in the text.
type program struct {
	machine *vm.Program
	direct  evaluator // nil: it has parts that only the machine knows
}

// An evaluator gives what the machine gives for a part of an expression, or an error that says no more than that it is to
// be asked.
type evaluator func(*run) (any, error)

var errMachine = errors.New("the machine is to be asked")

// eval runs an expression.
func (r *run) eval(w *work, row any, p *program) (any, error) {
	r.work, r.row = w, row
	if p.direct != nil {
		if v, ok := r.directly(p.direct); ok {
			return v, nil
		}
	}
	return r.onMachine(p.machine)
}

// directly evaluates without the machine; ok is false where that went wrong.
func (r *run) directly(e evaluator) (v any, ok bool) {
	defer func() {
		if recover() != nil {
			v, ok = nil, false
		}
	}()
	r.stack = r.stack[:0]
	v, err := e(r)
	return v, err == nil
}

// onMachine evaluates as the language does it.
func (r *run) onMachine(p *vm.Program) (any, error) {
	if r.machine == nil {
		r.machine = &vm.VM{MemoryBudget: memoryBudget}
		r.env = map[string]any{"sig": r.signal(), scopeName: &r.scope}
	}
	r.env["p"], r.env["row"], r.env["t"] = r.work.payload, r.row, r.work.topic.named(r.work.captures)
	v, err := r.machine.Run(p, r.env)
	if err != nil {
		return nil, plain(err)
	}
	return v, nil
}

// signal returns what expressions see as sig; environment has the types.
func (r *run) signal() map[string]any {
	all := map[string]any{}
	for name, member := range signalMembers() {
		all[name] = member(r.sig)
	}
	return all
}

func signalMembers() map[string]func(*source.Signal) any {
	return map[string]func(*source.Signal) any{
		"source":    func(s *source.Signal) any { return s.Source },
		"system":    func(s *source.Signal) any { return s.System },
		"equipment": func(s *source.Signal) any { return s.Equipment },
		"ref":       func(s *source.Signal) any { return s.Ref },
		"item":      func(s *source.Signal) any { return s.Item },
		"quality":   func(s *source.Signal) any { return string(s.Quality) },
		"status":    func(s *source.Signal) any { return int(s.Status) },
		"flags":     func(s *source.Signal) any { return s.Flags },
		"time":      func(s *source.Signal) any { return s.Time },
		"arrived":   func(s *source.Signal) any { return s.Arrived },
	}
}

// plain returns an expression's error as one line with its place, without the language's own drawing of it.
func plain(err error) error {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return err
	}
	message := fe.Message
	if mismatch, ok := errors.AsType[*runtime.TypeAssertionError](err); ok {
		message = "an operator met a value of the wrong kind: " + mismatch.Error()
	}
	return fmt.Errorf("%s (%d:%d)", message, fe.Line, fe.Column+1)
}

// direct compiles what is evaluated without the machine.
type direct struct {
	captures []string // names of those of the topic, in order
}

// compile returns the evaluator of a part, nil where only the machine knows it.
func (d direct) compile(node ast.Node) evaluator {
	switch n := node.(type) {
	case *ast.NilNode:
		return fixed(nil)
	case *ast.BoolNode:
		return fixed(n.Value)
	case *ast.StringNode:
		return fixed(n.Value)
	case *ast.ConstantNode:
		return fixed(n.Value)
	case *ast.IntegerNode:
		if t := n.Type(); t == nil || t.Kind() == reflect.Int {
			return fixed(n.Value)
		}
	case *ast.FloatNode:
		if t := n.Type(); t == nil || t.Kind() == reflect.Float64 {
			return fixed(n.Value)
		}
	case *ast.IdentifierNode:
		return variable(n.Value)
	case *ast.MemberNode:
		return d.member(n)
	case *ast.CallNode:
		return d.call(n)
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return not(d.compile(n.Node))
		}
	case *ast.BinaryNode:
		return choice(n.Operator, d.compile(n.Left), d.compile(n.Right))
	case *ast.ConditionalNode:
		return condition(d.compile(n.Cond), d.compile(n.Exp1), d.compile(n.Exp2))
	}
	return nil
}

func fixed(v any) evaluator { return func(*run) (any, error) { return v, nil } }

func variable(name string) evaluator {
	switch name {
	case "p":
		return func(r *run) (any, error) { return r.work.payload, nil }
	case "row":
		return func(r *run) (any, error) { return r.row, nil }
	case scopeName:
		return func(r *run) (any, error) { return &r.scope, nil }
	}
	return nil
}

// member knows t.name, sig.name and what stands in an object of the payload.
func (d direct) member(n *ast.MemberNode) evaluator {
	property, isText := n.Property.(*ast.StringNode)
	if !isText || n.Optional {
		return nil
	}
	name := property.Value
	if id, isName := n.Node.(*ast.IdentifierNode); isName {
		switch id.Value {
		case "t":
			if i := slices.Index(d.captures, name); i >= 0 {
				return func(r *run) (any, error) { return r.work.captures[i], nil }
			}
		case "sig":
			if member := signalMembers()[name]; member != nil {
				return func(r *run) (any, error) { return member(r.sig), nil }
			}
		}
	}
	of := d.compile(n.Node)
	if of == nil {
		return nil
	}
	return func(r *run) (any, error) {
		v, err := of(r)
		object, isObject := v.(map[string]any)
		if !isObject || err != nil {
			return nil, errMachine
		}
		return object[name], nil
	}
}

// call knows our own functions.
func (d direct) call(n *ast.CallNode) evaluator {
	callee, isName := n.Callee.(*ast.IdentifierNode)
	if !isName {
		return nil
	}
	all := functions()
	i := slices.IndexFunc(all, func(f function) bool { return f.name == callee.Value })
	if i < 0 {
		return nil
	}
	args := make([]evaluator, len(n.Arguments))
	for j, arg := range n.Arguments {
		if args[j] = d.compile(arg); args[j] == nil {
			return nil
		}
	}
	function := all[i].call
	return func(r *run) (any, error) {
		first := len(r.stack)
		for _, arg := range args {
			v, err := arg(r)
			if err != nil {
				return nil, err
			}
			r.stack = append(r.stack, v)
		}
		v, err := function(r.stack[first:]...)
		r.stack = r.stack[:first]
		return v, err
	}
}

func not(of evaluator) evaluator {
	if of == nil {
		return nil
	}
	return func(r *run) (any, error) {
		yes, err := truth(r, of)
		return !yes, err
	}
}

// choice knows the operators that may leave their right side out.
func choice(operator string, left, right evaluator) evaluator {
	if left == nil || right == nil {
		return nil
	}
	switch operator {
	case "and", "&&":
		return func(r *run) (any, error) {
			if yes, err := truth(r, left); !yes || err != nil {
				return false, err
			}
			return right(r)
		}
	case "or", "||":
		return func(r *run) (any, error) {
			if yes, err := truth(r, left); yes || err != nil {
				return true, err
			}
			return right(r)
		}
	case "??":
		return func(r *run) (any, error) {
			if v, err := left(r); err != nil || !language.IsNil(v) {
				return v, err
			}
			return right(r)
		}
	}
	return nil
}

func condition(of, then, otherwise evaluator) evaluator {
	if of == nil || then == nil || otherwise == nil {
		return nil
	}
	return func(r *run) (any, error) {
		yes, err := truth(r, of)
		switch {
		case err != nil:
			return nil, err
		case yes:
			return then(r)
		}
		return otherwise(r)
	}
}

func truth(r *run, of evaluator) (bool, error) {
	v, err := of(r)
	yes, isBool := v.(bool)
	if err == nil && !isBool {
		err = errMachine
	}
	return yes, err
}
