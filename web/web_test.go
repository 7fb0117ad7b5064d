package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"
)

func files(t *testing.T) map[string]*File {
	t.Helper()
	list, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]*File{}
	for _, f := range list {
		if byPath[f.Path] != nil {
			t.Errorf("%s is there twice", f.Path)
		}
		byPath[f.Path] = f
	}
	return byPath
}

func TestFiles(t *testing.T) {
	byPath := files(t)
	tags := map[string]string{}
	for _, page := range []string{"/", "/docs"} {
		f := byPath[page]
		if f == nil {
			t.Fatalf("no page at %s", page)
		}
		if !f.Page() || f.CacheControl != "no-cache" {
			t.Errorf("%s: %s, %s", page, f.ContentType, f.CacheControl)
		}
	}
	for path, f := range byPath {
		if f.Gzip != nil {
			r, err := gzip.NewReader(bytes.NewReader(f.Gzip))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			plain, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(plain, f.Body) {
				t.Errorf("%s: gzip is of something else (%v)", path, err)
			}
		}
		if other, ok := tags[f.ETag]; ok && Built() {
			t.Errorf("%s and %s have one ETag", path, other)
		}
		tags[f.ETag] = path
		if strings.Contains(path, ".gitkeep") {
			t.Errorf("%s is served", path)
		}
	}
}

// What the policy forbids must not be in the pages, and nothing may come from
// another host.
func TestPagesKeepThePolicy(t *testing.T) {
	if !Built() {
		t.Skip("the page is not built: make web")
	}
	byPath := files(t)
	inline := regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=`)
	loads := regexp.MustCompile(`<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]*)"`)
	for _, page := range []string{"/", "/docs"} {
		body := string(byPath[page].Body)
		if m := inline.FindString(body); m != "" {
			t.Errorf("%s has %q inline", page, m)
		}
		found := loads.FindAllStringSubmatch(body, -1)
		if len(found) < 3 {
			t.Errorf("%s loads only %q", page, found)
		}
		for _, m := range found {
			f := byPath[strings.TrimPrefix(m[1], ".")]
			if f == nil {
				t.Errorf("%s loads %s, which is not served", page, m[1])
				continue
			}
			if strings.HasPrefix(f.Path, "/assets/") && !strings.Contains(f.CacheControl, "immutable") {
				t.Errorf("%s: %s", f.Path, f.CacheControl)
			}
		}
	}
}
