// Package assets serves the console's stylesheet, scripts, font and icon from
// the binary. Each file's name carries a hash of its content, so a browser
// keeps it for ever and a new build is a new name; each is compressed once.
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Prefix is where Handler expects to be mounted.
const Prefix = "/assets/"

//go:embed css/*.css js/*.js vendor/*.js font/*.woff2 icon.svg
var files embed.FS

// parts says which files make up an asset, in order.
var parts = map[string][]string{
	"console.css":   {"css/tokens.css", "css/base.css", "css/layout.css", "css/parts.css", "css/data.css", "css/pages.css"},
	"console.js":    {"vendor/htmx.js", "js/console.js"},
	"playground.js": {"js/markdown.js", "js/playground.js"},
	"inter.woff2":   {"font/inter.woff2"},
	"icon.svg":      {"icon.svg"},
}

var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

type asset struct {
	path        string // with the hash
	contentType string
	plain       []byte
	zipped      []byte // nil where compression gains nothing
}

// shelf holds every asset by its plain name and by its path.
type shelf struct{ byName, byPath map[string]asset }

var built = sync.OnceValue(func() shelf {
	s := shelf{map[string]asset{}, map[string]asset{}}
	font := build("inter.woff2", "") // first: the stylesheet names it
	for name := range parts {
		a := build(name, font.path)
		s.byName[name], s.byPath[a.path] = a, a
	}
	return s
})

// build joins the parts of name. What is embedded cannot be missing, so a
// failure here is a programming error and panics.
func build(name, fontPath string) asset {
	var body []byte
	for _, part := range parts[name] {
		b, err := fs.ReadFile(files, part)
		if err != nil {
			panic(fmt.Sprintf("asset %s: %v", name, err))
		}
		body = append(body, b...)
		body = append(body, '\n')
	}
	ext := path.Ext(name)
	switch ext {
	case ".woff2":
		body = body[:len(body)-1]
	case ".css":
		body = bytes.ReplaceAll(body, []byte("asset:inter.woff2"), []byte(fontPath))
	}
	sum := sha256.Sum256(body)
	a := asset{
		path:        Prefix + strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:5]) + ext,
		contentType: types[ext],
		plain:       body,
	}
	if ext != ".woff2" {
		a.zipped = compress(body)
	}
	return a
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	// A bytes.Buffer never fails to be written.
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

// Path returns the address of the asset called name, such as "console.css".
// It panics when there is none: names are constants of the views.
func Path(name string) string {
	a, ok := built().byName[name]
	if !ok {
		panic("no asset is called " + name)
	}
	return a.path
}

// Handler serves every asset under Prefix, with leave to keep it for a year.
// A path without the right hash is 404.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := built().byPath[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		body := a.plain
		if a.zipped != nil {
			h.Set("Vary", "Accept-Encoding")
			if acceptsGzip(r.Header.Get("Accept-Encoding")) {
				h.Set("Content-Encoding", "gzip")
				body = a.zipped
			}
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(body) // a reader that left is no fault of ours
		}
	})
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip.
func acceptsGzip(header string) bool {
	for item := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			return q == "" || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
