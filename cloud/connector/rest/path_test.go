package rest

import "testing"

func TestPath_Leads(t *testing.T) {
	body, err := decode([]byte(`{"a": {"b": {"c": 7}}, "list": [{"name": "x", "v": [1, 2]}, {"name": "y=z", "v": ["first"]}, "odd", {"v": 1}],
		"deep": [[{"k": true}]], "no": null, "": 1, "n": [{"id": 12, "v": "by number"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[Path]string{
		"a.b.c": "7", "a.b": `{"c":7}`, "list[0].v[1]": "2", "list[name=y=z].v[0]": "first", "list[2]": "odd", "deep[0][0].k": "true",
		"n[id=12].v":     "by number",
		"list[name=z].v": "", "list[9]": "", "list[65535].v": "", "a[0]": "", "a.b.c.d": "", "list.name": "", "no": "", "no.x": "", "x": "", "a[name=x]": "",
		"list[v=].v": "",
	} {
		if got := text(at(body, path)); got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
	if at(body, "") == nil || atPath(body, "") != nil {
		t.Error("an empty path leads to the whole, or nowhere")
	}
	list, err := decode([]byte(`["said"]`))
	if err != nil || text(at(list, "[0]")) != "said" {
		t.Errorf("a list at the top: %v, %v", at(list, "[0]"), err)
	}
}

func TestPath_UnmarshalText_Bad(t *testing.T) {
	for _, path := range []string{".", ".a", "a.", "a..b", "a[", "a[0", "a[]", "a[-1]", "a[x]", "a[=x]", "a[0]b", "a[0].", "[0]..b", "a.[0]", "a[99999]"} {
		var p Path
		if err := p.UnmarshalText([]byte(path)); err == nil || p != "" {
			t.Errorf("%q was taken: %v", path, err)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, path := range []string{"", "a.b", "a[0].b", "list[name=x].v[1]", "[[", "a.[0]", "a[b=]=c]"} {
		f.Add(path, []byte(`{"a":[{"b":1}],"list":[{"name":"x","v":[1,2]}]}`))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		var p Path
		if p.UnmarshalText([]byte(path)) != nil {
			return
		}
		if string(p) != path {
			t.Errorf("%q became %q", path, p)
		}
		if v, err := decode(body); err == nil {
			_ = text(at(v, p))
		}
	})
}
