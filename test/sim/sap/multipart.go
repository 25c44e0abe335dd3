package sap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// serveMultipart answers $batch: reads one by one, and changesets that take place as a whole or not at all. The answer is
// 202 whatever happened inside.
func (s *Simulator) serveMultipart(w http.ResponseWriter, r *http.Request, service string) {
	parts, err := partsOf(textproto.MIMEHeader(r.Header), r.Body)
	if err != nil || r.Method != http.MethodPost {
		refuse(w, http.StatusBadRequest, "/IWFND/CM_MGW/508", fmt.Sprintf("Malformed batch request: %v", err))
		return
	}
	var body bytes.Buffer
	out := multipart.NewWriter(&body)
	for _, p := range parts {
		if inner, err := partsOf(p.header, bytes.NewReader(p.body)); err == nil {
			s.changeset(out, service, inner)
			continue
		}
		writePart(out, s.single(service, p.body, false))
	}
	_ = out.Close() // into memory
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+out.Boundary())
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body.Bytes())
}

// changeset serves changes one by one and takes all of them back after the first one that is refused: its answer then
// stands for them all.
func (s *Simulator) changeset(out *multipart.Writer, service string, parts []part) {
	before := s.data.clone()
	s.pending = []book.Entry{}
	defer func() { s.pending = nil }()
	var body bytes.Buffer
	inner := multipart.NewWriter(&body)
	for _, p := range parts {
		a := s.single(service, p.body, true)
		if a.Code >= http.StatusBadRequest {
			s.data = before
			writePart(out, a)
			return
		}
		writePart(inner, a)
	}
	for _, e := range s.pending {
		s.book.Add(e)
	}
	_ = inner.Close() // into memory
	w, err := out.CreatePart(textproto.MIMEHeader{"Content-Type": {"multipart/mixed; boundary=" + inner.Boundary()}})
	if err == nil {
		_, _ = w.Write(body.Bytes())
	}
}

// single serves one request of a batch.
func (s *Simulator) single(service string, raw []byte, changes bool) *httptest.ResponseRecorder {
	a := httptest.NewRecorder()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err == nil && changes == (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		err = errors.New("reads stand outside of changesets, and changes inside")
	}
	if err != nil {
		refuse(a, http.StatusBadRequest, "/IWFND/CM_MGW/508", fmt.Sprintf("Malformed request in a batch: %v", err))
		return a
	}
	_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	r.Body = io.NopCloser(bytes.NewReader(body)) // many callers give no Content-Length
	s.route(a, r, service, strings.TrimPrefix(r.URL.EscapedPath(), Root+service+"/"))
	return a
}

type part struct {
	header textproto.MIMEHeader
	body   []byte
}

// partsOf reads the parts of a body of type multipart/mixed.
func partsOf(header textproto.MIMEHeader, body io.Reader) ([]part, error) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		return nil, fmt.Errorf("content type %q is not multipart/mixed", header.Get("Content-Type"))
	}
	var parts []part
	for r := multipart.NewReader(body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{p.Header, raw})
	}
}

// writePart writes an answer as a part of type application/http.
func writePart(out *multipart.Writer, a *httptest.ResponseRecorder) {
	w, err := out.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Transfer-Encoding": {"binary"}})
	if err != nil {
		return // into memory: it does not fail
	}
	res := a.Result()
	res.ContentLength = int64(a.Body.Len())
	_ = res.Write(w)
}
