package sap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateTime is an Edm.DateTime; the zero value is null.
type dateTime time.Time

// MarshalJSON writes /Date(ms)/.
func (d dateTime) MarshalJSON() ([]byte, error) {
	if time.Time(d).IsZero() {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, `"/Date(%d)/"`, time.Time(d).UnixMilli()), nil
}

// dateTimeOffset is an Edm.DateTimeOffset; the zero value is null.
type dateTimeOffset time.Time

// MarshalJSON writes /Date(ms+0000)/.
func (d dateTimeOffset) MarshalJSON() ([]byte, error) {
	if time.Time(d).IsZero() {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, `"/Date(%d+0000)/"`, time.Time(d).UnixMilli()), nil
}

// target is what a path names: an entity set or function, with a key or without.
type target struct {
	service, set string
	key          map[string]string // nil = the whole set; a key without a name stands under ""
	nav          string            // what is looked at from there; empty = the entity itself
}

// parseTarget reads Set, Set(Name='value',...) or Set('value'), with a link behind it or not, still escaped as it came.
func parseTarget(resource string) (target, error) {
	text, err := url.PathUnescape(strings.TrimSuffix(resource, "/"))
	if err != nil {
		return target{}, err
	}
	set, rest, found := strings.Cut(text, "(")
	t := target{set: set}
	if !found {
		return t, nil
	}
	t.key = map[string]string{}
	for {
		name, after, ok := strings.Cut(rest, "='")
		if single, found := strings.CutPrefix(rest, "'"); found && len(t.key) == 0 {
			name, after, ok = "", single, true
		}
		if !ok {
			return target{}, fmt.Errorf("malformed key of %s", set)
		}
		value, after, ok := cutString(after)
		if !ok || after == "" {
			return target{}, fmt.Errorf("malformed key of %s", set)
		}
		t.key[name] = value
		if tail, closed := strings.CutPrefix(after, ")"); closed && (tail == "" || tail[0] == '/') {
			t.nav = strings.TrimPrefix(tail, "/")
			return t, nil
		}
		if after[0] != ',' {
			return target{}, fmt.Errorf("malformed key of %s", set)
		}
		rest = after[1:]
	}
}

// cutString reads up to the closing quote; two quotes in a row stand for one.
func cutString(text string) (value, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\'' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), text[i+1:], true
	}
	return "", "", false
}

func quote(text string) string { return url.PathEscape(strings.ReplaceAll(text, "'", "''")) }

// parseTime reads a time as callers write it: /Date(ms+0000)/, /Date(ms)/ or ISO text.
func parseTime(text string) (time.Time, error) {
	if inner, ok := strings.CutPrefix(text, "/Date("); ok {
		inner, _, _ = strings.Cut(strings.TrimSuffix(inner, ")/"), "+")
		ms, err := strconv.ParseInt(inner, 10, 64)
		return time.UnixMilli(ms), err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}

func trimQuotes(text string) string { return strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'") }

// answer writes an entity or a list in the envelope of version 2.
func answer(w http.ResponseWriter, status int, d any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("DataServiceVersion", "2.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"d": d})
}

// refuse writes an error body.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": code, "message": map[string]string{"lang": "en", "value": message},
		"innererror": map[string]any{"errordetails": []any{}},
	}})
}

// list applies the query options to rows and answers one page of them.
func (s *Simulator) list(w http.ResponseWriter, r *http.Request, rows []map[string]any) {
	q := r.URL.Query()
	f, err := parseFilter(q.Get("$filter"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/176", err.Error())
		return
	}
	for _, name := range []string{"ReferenceDocument", "MaterialDocumentItemText"} {
		if s.cfg.References == "missing" && strings.Contains(q.Get("$filter"), name) {
			refuse(w, http.StatusBadRequest, "/IWBEP/CM_MGW_RT/022", "Property "+name+" not found")
			return
		}
	}
	rows = slices.DeleteFunc(rows, func(row map[string]any) bool { return !f.matches(row) })
	order(rows, q.Get("$orderby"))
	out := map[string]any{}
	if q.Get("$inlinecount") == "allpages" {
		out["__count"] = strconv.Itoa(len(rows))
	}
	skip, top := number(q.Get("$skip"), 0), number(q.Get("$top"), len(rows))
	rows = rows[min(skip, len(rows)):]
	rows = rows[:min(top, len(rows))]
	if len(rows) > s.cfg.PageSize {
		rows = rows[:s.cfg.PageSize]
		next := *r.URL
		q.Set("$skip", strconv.Itoa(skip+s.cfg.PageSize))
		if q.Get("$top") != "" {
			q.Set("$top", strconv.Itoa(top-s.cfg.PageSize))
		}
		next.RawQuery = q.Encode()
		out["__next"] = "http://" + r.Host + next.String()
	}
	out["results"] = rows
	answer(w, http.StatusOK, out)
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return n
	}
	return otherwise
}

// order sorts rows by a list of properties, each with desc or without.
func order(rows []map[string]any, by string) {
	if by == "" {
		return
	}
	slices.SortStableFunc(rows, func(a, b map[string]any) int {
		for term := range strings.SplitSeq(by, ",") {
			name, direction, _ := strings.Cut(strings.TrimSpace(term), " ")
			c, _ := compare(a[name], b[name])
			if direction == "desc" {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}
