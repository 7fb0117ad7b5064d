package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract holds answers against the OpenAPI document. The test client asks
// it about every answer it gets.
type contract struct {
	doc      map[string]any
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // by JSON pointer
}

func newContract(t testing.TB, s *Server) *contract {
	t.Helper()
	b, err := json.Marshal(s.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &contract{doc: doc.(map[string]any), compiler: c, compiled: map[string]*jsonschema.Schema{}}
}

// anywhere are the statuses that any request can end in before an operation
// is chosen, or when one fails: the default response describes them.
var anywhere = []int{
	http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
	http.StatusRequestHeaderFieldsTooLarge, http.StatusInternalServerError,
}

// check is nil when a is an answer the document allows to the request.
func (k *contract) check(method, target string, a answer) error {
	if !validName(a.header.Get(requestIDHeader)) {
		return fmt.Errorf("%s %s: no %s in %v", method, target, requestIDHeader, a.header)
	}
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	pointer, op := k.operation(method, target)
	if op == nil {
		if a.status < 400 || method == http.MethodHead {
			return nil
		}
		if media != problemType {
			return fmt.Errorf("%s %s: %d with content type %q, want %s", method, target, a.status, media, problemType)
		}
		return k.validate("/components/schemas/Problem", a.body)
	}
	responses := op["responses"].(map[string]any)
	name := strconv.Itoa(a.status)
	if responses[name] == nil && slices.Contains(anywhere, a.status) {
		name = "default"
	}
	described, _ := responses[name].(map[string]any)
	if described == nil {
		return fmt.Errorf("%s %s: status %d is not described", method, target, a.status)
	}
	for header, h := range object(described["headers"]) {
		if k.resolve(object(h))["required"] == true && a.header.Get(header) == "" {
			return fmt.Errorf("%s %s: %d without the header %s", method, target, a.status, header)
		}
	}
	contents := object(described["content"])
	if method == http.MethodHead || len(contents) == 0 {
		if len(a.body) > 0 {
			return fmt.Errorf("%s %s: %d with a body where none is described: %s", method, target, a.status, clip(string(a.body)))
		}
		return nil
	}
	if contents[media] == nil {
		return fmt.Errorf("%s %s: %d with content type %q, which is not described", method, target, a.status, media)
	}
	if !strings.HasSuffix(media, "json") {
		return nil
	}
	return k.validate(pointer+"/responses/"+name+"/content/"+escape(media)+"/schema", a.body)
}

// operation finds what the document says of a request. A literal segment of a
// path wins over a parameter.
func (k *contract) operation(method, target string) (pointer string, op map[string]any) {
	raw, _, _ := strings.Cut(target, "?")
	path := strings.Split(raw, "/")
	for i := range path {
		var err error
		if path[i], err = url.PathUnescape(path[i]); err != nil {
			return "", nil
		}
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	best := -1
	for template, item := range object(k.doc["paths"]) {
		literals, ok := conforms(template, path)
		found, _ := object(item)[strings.ToLower(method)].(map[string]any)
		if ok && found != nil && literals > best {
			best, op, pointer = literals, found, "/paths/"+escape(template)+"/"+strings.ToLower(method)
		}
	}
	return pointer, op
}

func conforms(template string, got []string) (literals int, ok bool) {
	want := strings.Split(template, "/")
	if len(want) != len(got) {
		return 0, false
	}
	for i := range want {
		switch {
		case strings.HasPrefix(want[i], "{"):
			if got[i] == "" {
				return 0, false
			}
		case want[i] != got[i]:
			return 0, false
		default:
			literals++
		}
	}
	return literals, true
}

func (k *contract) resolve(o map[string]any) map[string]any {
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	at := k.doc
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = object(at[part])
	}
	return at
}

func (k *contract) validate(pointer string, body []byte) error {
	k.mu.Lock()
	schema, ok := k.compiled[pointer]
	if !ok {
		var err error
		if schema, err = k.compiler.Compile("openapi.json#" + (&url.URL{Path: pointer}).EscapedPath()); err != nil {
			k.mu.Unlock()
			return fmt.Errorf("%s: %w", pointer, err)
		}
		k.compiled[pointer] = schema
	}
	k.mu.Unlock()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w: %s", pointer, err, clip(string(body)))
	}
	if err := schema.Validate(v); err != nil {
		return fmt.Errorf("%s: %w: %s", pointer, err, body[:min(len(body), 300)])
	}
	return nil
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// TestContract checks that the contract rejects what it must reject.
func TestContract(t *testing.T) {
	k := newContract(t, unreachable(t, Config{}))
	id := http.Header{"X-Request-Id": {"a"}}
	with := func(h http.Header, pairs ...string) http.Header {
		h = h.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	asJSON, asProblem := with(id, "Content-Type", "application/json"), with(id, "Content-Type", problemType)
	const path = "/v1/symbols/A/candles"
	bar := `{"data":[{"bucket":"2026-11-24T15:30:00Z","open":1,"high":1,"low":1,"close":1,"volume":0,"buy_volume":null,"vwap":null,"trades":1}]}`
	wrong := `{"title":"x","status":503,"detail":"d","request_id":"a"}`
	for _, c := range []struct {
		what, path string
		a          answer
		ok         bool
	}{
		{"fine", path, answer{200, asJSON, []byte(bar)}, true},
		{"no request id", path, answer{200, http.Header{"Content-Type": {"application/json"}}, []byte(bar)}, false},
		{"a number as text", path, answer{200, asJSON, []byte(strings.Replace(bar, `"open":1`, `"open":"1"`, 1))}, false},
		{"a time that is none", path, answer{200, asJSON, []byte(strings.Replace(bar, "15:30", "25:30", 1))}, false},
		{"a field missing", path, answer{200, asJSON, []byte(strings.Replace(bar, `"close":1,`, "", 1))}, false},
		{"a field too many", path, answer{200, asJSON, []byte(strings.Replace(bar, `"close":1,`, `"close":1,"x":1,`, 1))}, false},
		{"cut off", path, answer{200, asJSON, []byte(bar[:40])}, false},
		{"another content type", path, answer{200, with(id, "Content-Type", "text/html"), []byte(bar)}, false},
		{"a status nobody described", path, answer{418, asProblem, []byte(wrong)}, false},
		{"503 without Retry-After", path, answer{503, asProblem, []byte(wrong)}, false},
		{"503", path, answer{503, with(asProblem, "Retry-After", "5"), []byte(wrong)}, true},
		{"500 is the default", path, answer{500, asProblem, []byte(wrong)}, true},
		{"unknown path", "/nope", answer{404, asProblem, []byte(wrong)}, true},
		{"unknown path, not a problem", "/nope", answer{404, with(id, "Content-Type", "text/plain"), []byte("nope")}, false},
	} {
		if err := k.check(http.MethodGet, c.path, c.a); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
