package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// asset is a file that pages load. Its address holds its hash, so that a browser may keep it for ever.
type asset struct {
	url  string
	kind string
	body []byte
	gzip []byte
}

// assets are the files by name, and by address.
type assets struct {
	byName, byURL map[string]*asset
}

func readAssets(base string) (assets, error) {
	a := assets{map[string]*asset{}, map[string]*asset{}}
	err := fs.WalkDir(staticFiles, "static", func(file string, d fs.DirEntry, err error) error {
		kind := mime.TypeByExtension(path.Ext(file))
		if err != nil || d.IsDir() || kind == "" {
			return err
		}
		body, err := staticFiles.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		x := &asset{url: base + "/static/" + hex.EncodeToString(sum[:6]) + "/" + path.Base(file), kind: kind, body: body}
		if x.gzip, err = compress(body, gzip.BestCompression); err != nil {
			return err
		}
		a.byName[path.Base(file)], a.byURL[x.url] = x, x
		return nil
	})
	return a, err
}

func compress(b []byte, level int) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// Asset returns the address of a file.
func (v *visit) Asset(name string) (string, error) {
	a := v.c.assets.byName[name]
	if a == nil {
		return "", fmt.Errorf("there is no file %q", name)
	}
	return a.url, nil
}

func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	a := c.assets.byURL[r.URL.Path]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Vary", "Accept-Encoding")
	body := a.body
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	_, _ = w.Write(body) // the visitor may have gone
}

func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
