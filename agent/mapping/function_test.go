package mapping

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// evaluate returns what an expression gives for a JSON payload, as text. It must be what the machine alone gives.
func evaluate(t rapid.TB, text, payload string) (string, error) {
	t.Helper()
	names := []string{"line"}
	c := &compiler{opts: options(), configs: []Config{{Name: "x"}}, names: names, env: environment(names)}
	prog, ok := c.expression(text, "x")
	if !ok {
		return "", c.errs[0]
	}
	tree, err := DecodeJSON.decode([]byte(payload))
	if err != nil {
		return "", err
	}
	sig := message("mes", "p1/l1/x", []byte(payload))
	r := newRun(&Mapper{tables: options().Tables}, &sig, View{})
	v, err := r.eval(&work{mapping: &mapping{topic: topicPattern{names: names}}, payload: tree, captures: []string{"l1"}}, tree, prog)
	if want, wantErr := r.onMachine(prog.machine); fmt.Sprint(wantErr) != fmt.Sprint(err) || !reflect.DeepEqual(v, want) {
		t.Errorf("%s gives %#v, %v; the machine alone gives %#v, %v", text, v, err, want, wantErr)
	}
	return fmt.Sprint(v), err
}

func TestExpression(t *testing.T) {
	for _, c := range []struct{ expression, payload, want string }{
		{`p.v`, `{"v":45.10}`, "45.10"},
		{`p.v == 45.1`, `{"v":45.10}`, "true"},
		{`p.v == 45.1`, `{"v":45.11}`, "false"},
		{`p.v != 0.1`, `{"v":1e-1}`, "false"},
		{`p.v > 0.3`, `{"v":0.30000000000000001}`, "true"},
		{`p.v <= -1.5`, `{"v":-1.50}`, "true"},
		{`p.v == 9007199254740993`, `{"v":9007199254740993}`, "true"},
		{`p.v == 9007199254740992.0`, `{"v":9007199254740993}`, "false"},
		{`p.missing == nil`, `{}`, "true"},
		{`p.v in [1, 2.50, "x"]`, `{"v":2.5}`, "true"},
		{`p.v not in [1, 2]`, `{"v":2.0}`, "false"},
		{`p.v in ["a", "b"]`, `{"v":"b"}`, "true"},
		{`"a" in p`, `{"a":null}`, "true"},
		{`p.v + "x"`, `{"v":"a"}`, "ax"},
		{`p.l[len(p.l)-1]`, `{"l":[1,2]}`, "2"},
		{`count(p.l, # > 1.5)`, `{"l":[1,2,1.6]}`, "2"},
		{`num(p.v)`, `{"v":"-0.50"}`, "-0.50"},
		{`num(p.v)`, `{"v":1.5e3}`, "1500"},
		{`num(p.v)`, `{"v":-25e-3}`, "-0.025"},
		{`num(p.v, ",")`, `{"v":"45,2"}`, "45.2"},
		{`num(p.v, ",")`, `{"v":45.2}`, "45.2"},
		{`round(p.v, 1)`, `{"v":45.25}`, "45.3"},
		{`round(p.v, 0)`, `{"v":-0.5}`, "-1"},
		{`add(p.v, "0.2")`, `{"v":0.1}`, "0.3"},
		{`sub(p.v, 1)`, `{"v":0.10}`, "-0.90"},
		{`mul(p.v, 3)`, `{"v":0.1}`, "0.3"},
		{`div(p.v, 3, 4)`, `{"v":1}`, "0.3333"},
		{`judge(p.v, "40", "50")`, `{"v":50.000}`, "pass"},
		{`judge(p.v, "40", "50")`, `{"v":50.001}`, "fail"},
		{`judge(p.v, nil, 50)`, `{"v":-99}`, "pass"},
		{`judge(p.v, nil, nil)`, `{"v":1}`, "none"},
		{`ms(p.v) == rfc3339("2023-11-14T22:13:20.1Z")`, `{"v":1700000000100}`, "true"},
		{`sec(p.v, 500) == rfc3339("2019-12-07T04:00:00.0000005Z")`, `{"v":1575691200}`, "true"},
		{`layout(p.v, "2006-01-02 15:04", "America/New_York") == rfc3339("2026-07-01T16:30:00Z")`, `{"v":"2026-07-01 12:30"}`, "true"},
		{`quality(p.v, "opcua")`, `{"v":1073741824}`, "uncertain"},
		{`quality(p.v, "kepware")`, `{"v":false}`, "bad"},
		{`quality(p.v, "ignition")`, `{"v":64}`, "uncertain"},
		{`quality(p.v, "ignition")`, `{"v":512}`, "bad"},
		{`quality(p.v, "sparkplug")`, `{"v":500}`, "stale"},
		{`quality(p.v, "ie")`, `{"v":3}`, "good"},
		{`unit(p.v, "rec20")`, `{"v":"NU"}`, "N.m"},
		{`lot("p2", p.m, p.l)`, `{"m":"000123","l":"A:1"}`, "lot:p2:000123:A%3A1"},
		{`lot("", p.m, "1")`, `{"m":123456789012345678901}`, "lot::123456789012345678901:1"},
		{`id("order", p.v)`, `{"v":4711}`, "order:mes1:4711"},
		{`pad(p.v, 6, "0")`, `{"v":"123"}`, "000123"},
		{`trim(upper(p.v))`, `{"v":" ok "}`, "OK"},
		{`lookup("ie-names", p.v)`, `{"v":201}`, "torque"},
		{`sha(p.v)`, `{"v":"abc"}`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{`map(entries(p), .key)`, `{"b":1,"a":2}`, "[a b]"},
		{`t.line + sig.ref`, `{}`, "l1p1/l1/x"},
		{`p?.a?.b`, `{}`, "<nil>"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			if got, err := evaluate(t, c.expression, c.payload); err != nil || got != c.want {
				t.Errorf("gives %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestExpression_Err(t *testing.T) {
	for _, c := range []struct{ expression, payload, want string }{
		{`p.v == "45.1"`, `{"v":45.1}`, "cannot be compared"},
		{`p.v < nil`, `{"v":45.1}`, "cannot be compared"},
		{`p.v == true`, `{"v":1}`, "cannot be compared"},
		{`p.a.b`, `{}`, "cannot fetch b"},
		{`p.v + 1`, `{"v":1}`, "joins texts"},
		{`p.v + "x"`, `{}`, "missing"},
		{`p.v in 5`, `{"v":1}`, "no list"},
		{`num(p.v)`, `{}`, "is missing"},
		{`num(p.v)`, `{"v":""}`, "is no number"},
		{`num(p.v)`, `{"v":" 45"}`, "is no number"},
		{`num(p.v)`, `{"v":"45,2"}`, "is no number"},
		{`num(p.v)`, `{"v":"0x10"}`, "is no number"},
		{`num(p.v)`, `{"v":"007"}`, "is no number"},
		{`num(p.v)`, `{"v":"NaN"}`, "is no number"},
		{`num(p.v)`, `{"v":true}`, "want a number"},
		{`num(p.v, ",")`, `{"v":"1.234,5"}`, "has a point"},
		{`div(p.v, 0, 2)`, `{"v":1}`, "division by zero"},
		{`div(1, 3, 99)`, `{}`, "want 0 to 18"},
		{`judge(p.v, "40", "50")`, `{}`, "is missing"},
		{`judge(p.v, "", "50")`, `{"v":1}`, "is no number"},
		{`ms(p.v)`, `{"v":1e18}`, "years 1 and 9999"},
		{`rfc3339(p.v)`, `{"v":"yesterday"}`, "is no time"},
		{`rfc3339(p.v)`, `{"v":"0001-01-01T00:00:00Z"}`, "is no time"},
		{`layout(p.v, "15:04", "UTC")`, `{"v":"noon"}`, "does not fit"},
		{`quality(p.v, "kepware")`, `{"v":192}`, "true or false"},
		{`quality(p.v, "acme")`, `{"v":1}`, "does not know"},
		{`quality(p.v, "opcua")`, `{"v":-1}`, "whole number"},
		{`unit(p.v, "rec20")`, `{"v":"XXX"}`, "no known code"},
		{`unit(p.v, "sap")`, `{"v":"KG"}`, "no table"},
		{`lot("", p.m, "1")`, `{"m":""}`, "not empty"},
		{`lot("", p.m, "1")`, `{"m":" M"}`, "outer blanks"},
		{`lot("", p.m, "1")`, `{"m":1.5}`, "want a text"},
		{`id("Order", "1")`, `{}`, "no object id"},
		{`string(p.v)`, `{}`, "missing"},
		{`trim(p.v)`, `{}`, "missing"},
		{`pad(p.v, 2, "0")`, `{"v":"123"}`, "longer"},
		{`lookup("ie-names", p.v)`, `{"v":"1"}`, "no row"},
		{`state("Lot", "8h")`, `{}`, "has not been seen"},
		{`entries(p.v)`, `{"v":1}`, "want an object"},
		{`lower(p.v)`, `{}`, ""},
		{`split(p.v, ".")`, `{}`, ""},
		{`replace(p.v, "a", "b")`, `{}`, ""},
		{`len(p.v)`, `{}`, ""},
		{`p.v ? 1 : 2`, `{}`, "wrong kind"},
		{`p.v endsWith "x"`, `{"v":1}`, "wrong kind"},
		{`map(1..1000000, # * 2)`, `{}`, "memory budget"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			got, err := evaluate(t, c.expression, c.payload)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("gives %s, %v; want an error of one line with %q", got, err, c.want)
			}
		})
	}
}

// TestExpression_DirectIsTheMachine draws expressions of what is evaluated directly, and some that only the machine knows.
func TestExpression_DirectIsTheMachine(t *testing.T) {
	leaves := []string{
		"p.n", "p.i", "p.s", "p.z", "p.t", "p.f", "p.o", "p.l", "p.none", "p.o.x", "p.none.x", "p.s.x", "p", "row", "row.n", "t.line", "sig.ref", "sig.status",
		"sig.arrived", "sig.flags", "nil", "true", "false", `"a"`, `"45.10"`, `""`, "1", "-2", "0.5", "-1.5", "p?.o?.x", "p.l[0]", `p["s"]`,
	}
	forms := []string{
		"%s == %s", "%s != %s", "%s < %s", "%s >= %s", "%s + %s", "%s in %s", "%s && %s", "%s || %s", "%s ?? %s", "not (%s == %s)", "%s ? %s : p.s",
		"judge(%s, %s, 50)", "add(%s, %s)", `lot("", %s, %s)`, `id("order", %s ?? %s)`, "(%s).x ?? %s", "num(%s) == %s", `[%s, %s]`, `num(%s, string(%s))`,
		"round(%s, %s)", "rfc3339(%s) == %s", "string(%s) + string(%s)", "trim(%s) == upper(%s)", `lookup("ie-names", %s) == %s`, "pad(%s, %s, \"0\")",
	}
	const payload = `{"n":45.10,"i":3,"s":"a","z":null,"t":true,"f":false,"o":{"x":"201"},"l":[1,"a",45.1]}`
	done, failed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		part := func(name string) string { return rapid.SampledFrom(leaves).Draw(t, name) }
		text := fmt.Sprintf(rapid.SampledFrom(forms).Draw(t, "form"), part("left"), part("right"))
		if rapid.Bool().Draw(t, "twice") {
			text = fmt.Sprintf(rapid.SampledFrom(forms).Draw(t, "outer form"), "("+text+")", part("other"))
		}
		if _, err := evaluate(t, text, payload); err != nil {
			failed++
		} else {
			done++
		}
	})
	if done == 0 || failed == 0 {
		t.Errorf("%d gave a value, %d failed: the draws are one-sided", done, failed)
	}
}

func TestNumber_Compare(t *testing.T) {
	decimal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := Number{decimal.Draw(t, "a")}, Number{decimal.Draw(t, "b")}
		x, _ := new(big.Rat).SetString(a.text)
		y, _ := new(big.Rat).SetString(b.text)
		if got := a.compare(b); got != x.Cmp(y) {
			t.Fatalf("compare(%s, %s) = %d, want %d", a, b, got, x.Cmp(y))
		}
		if plain, _ := new(big.Rat).SetString(a.plain()); plain.Cmp(x) != 0 || !isNumber(a.plain()) {
			t.Fatalf("%s is not %s", a.plain(), a.text)
		}
	})
}

func TestTopicPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           string // captures; "-" = no match
	}{
		{"a/b", "a/b", "map[]"},
		{"a/b", "a/b/c", "-"},
		{"a/b/c", "a/b", "-"},
		{"a/+/c", "a/b/c", "map[]"},
		{"a/+", "a", "-"},
		{"a/#", "a", "map[]"},
		{"a/#", "a/b/c", "map[]"},
		{"#", "a", "map[]"},
		{"#", "$SYS/x", "-"},
		{"+/x", "$SYS/x", "-"},
		{"$SYS/x", "$SYS/x", "map[]"},
		{"{site}/{line}", "p1/l1", "map[line:l1 site:p1]"},
		{"{site}/{line}", "p1/", "map[line: site:p1]"},
		{"{site}/#", "p1/x/y", "map[site:p1]"},
		{"/a", "/a", "map[]"},
		{"a", "", "-"},
	} {
		t.Run(c.pattern+" "+c.topic, func(t *testing.T) {
			p, err := parseTopic(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			captures, ok := p.match(c.topic)
			if got := fmt.Sprint(p.named(captures)); (ok && got != c.want) || (!ok && c.want != "-") {
				t.Errorf("match gives %v, %t; want %s", captures, ok, c.want)
			}
			if _, ok := p.match(p.example("p1")); !ok {
				t.Errorf("the example %q does not match", p.example("p1"))
			}
		})
	}
}
