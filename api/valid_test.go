package api

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// specSchema is https://spec.openapis.org/oas/3.1/schema/2022-10-07, of the
// OpenAPI Initiative (Apache License 2.0).
const specSchema = "testdata/openapi-3.1-schema.json"

// specFaults are what a document is refused for: what OpenAPI's own schema
// says of it, schemas that are no JSON Schema, and references to nothing.
func specFaults(t testing.TB, document []byte) (faults []string) {
	t.Helper()
	b, err := os.ReadFile(specSchema)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(document, &doc); err != nil {
		return []string{err.Error()}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, v := range map[string]any{specSchema: schema, specFile: doc} {
		if err := c.AddResource(name, v); err != nil {
			return []string{err.Error()}
		}
	}
	if err := c.MustCompile(specSchema).Validate(doc); err != nil {
		faults = append(faults, err.Error())
	}
	root := object(doc)
	for name := range object(object(root["components"])["schemas"]) {
		if _, err := c.Compile(specFile + "#/components/schemas/" + escape(name)); err != nil {
			faults = append(faults, err.Error())
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && len((&contract{doc: root}).resolve(v)) == 0 {
				faults = append(faults, ref+" is not there")
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return faults
}

// TestSpecIsValid holds the committed document against OpenAPI's own schema,
// and checks that the schema rejects an invalid one.
func TestSpecIsValid(t *testing.T) {
	good, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range specFaults(t, good) {
		t.Errorf("not OpenAPI 3.1: %s", fault)
	}
	for what, change := range map[string][2]string{
		"another version":           {"openapi: 3.1.0", "openapi: 2.0.0"},
		"a field that is not there": {"\ninfo:\n", "\ninformation:\n"},
		"a parameter in no place":   {"in: query", "in: body"},
		"a status that is a number": {`"200":`, `200:`},
		"a schema that is none":     {"type: object", "type: thing"},
		"a reference to nothing":    {"#/components/schemas/Problem", "#/components/schemas/Trouble"},
		"a header to nothing":       {"#/components/headers/RequestID", "#/components/headers/ID"},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Errorf("%s: the document has no %q to change", what, change[0])
		} else if len(specFaults(t, []byte(bad))) == 0 {
			t.Errorf("%s: accepted", what)
		}
	}
}
