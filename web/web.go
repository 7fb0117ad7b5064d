// Package web holds the chart page and the API reference, as Vite builds them.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"
)

// dist is what `make web` builds; it is never committed.
//
//go:embed all:dist
var dist embed.FS

// unbuilt stands in for the pages in a binary that was built without them.
//
//go:embed unbuilt.html
var unbuilt []byte

// Policy is the content security policy of the pages: all they load and talk to
// is the server they come from. The icons of the API reference are data: URLs.
const Policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// File is one file to serve.
type File struct {
	// Path is where, from the root: / for the chart page.
	Path         string
	ContentType  string
	CacheControl string
	ETag         string
	Body         []byte
	// Gzip is Body compressed, or nil where that gains nothing.
	Gzip []byte
}

// Page reports whether it is a document and not a part of one.
func (f *File) Page() bool { return strings.HasPrefix(f.ContentType, "text/html") }

// Built reports whether the pages are in this binary.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

// Files are all there is to serve.
var Files = sync.OnceValues(func() ([]*File, error) {
	if !Built() {
		return []*File{file("index.html", unbuilt), file("docs.html", unbuilt)}, nil
	}
	var files []*File
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, file(strings.TrimPrefix(name, "dist/"), body))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded page: %w", err)
	}
	return files, nil
})

func file(name string, body []byte) *File {
	sum := sha256.Sum256(body)
	f := &File{
		Path: "/" + name, Body: body, Gzip: compress(body),
		ContentType: contentType(name), CacheControl: "no-cache",
		ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
	switch {
	case name == "index.html":
		f.Path = "/"
	case path.Ext(name) == ".html":
		f.Path = strings.TrimSuffix(f.Path, ".html")
	case strings.HasPrefix(name, "assets/"):
		// Their names change with their content.
		f.CacheControl = "public, max-age=31536000, immutable"
	}
	return f
}

// contentType does not depend on what the machine's mime.types say of scripts.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html", ".css":
		return "text/" + ext[1:] + "; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	// Neither fails on a buffer.
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(body)
	_ = w.Close()
	if b.Len() > len(body)*9/10 {
		return nil
	}
	return b.Bytes()
}
