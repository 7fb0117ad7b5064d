package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// Version is the version of the contract, not of the program.
const Version = "1.0.0"

// OpenAPI is the description of the API.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

func (s *Server) config() huma.Config {
	cfg := huma.DefaultConfig("Hypertick", Version)
	cfg.Info.Description = "Market data kept by TimescaleDB: ticks, and candles of any interval.\n\n" +
		"Every list answers `{\"data\": [...], \"next\": \"...\"}`. Pass `next` as `cursor` for the next page; it is absent on the last one. " +
		"Times are RFC 3339 in UTC. Errors are `application/problem+json` (RFC 9457) with the location of what is wrong; " +
		"`request_id` names the request in the server's log."
	cfg.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	cfg.Tags = []*huma.Tag{
		{Name: "market", Description: "Symbols, ticks and candles."},
		{Name: "indicators", Description: "Indicators the database keeps, and the screener over them."},
		{Name: "alerts", Description: "What is watched for, and what was found."},
		{Name: "health", Description: "For whoever supervises the server."},
	}
	cfg.CreateHooks = nil // no $schema in the answers
	cfg.DocsPath = ""     // its page would load from a foreign host
	cfg.OpenAPIPath = ""  // see registerOpenAPI
	cfg.SchemasPath = ""
	cfg.Transformers = []huma.Transformer{nameRequest}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An API key. Servers that only their own machine reaches need none by default."},
		"key":    {Type: "apiKey", In: "header", Name: apiKeyHeader, Description: "The same key, for clients that cannot send Authorization."},
	}
	cfg.Components.Headers = headers()
	// Only the database knows all parameters of an indicator.
	cfg.OnAddOperation = append(cfg.OnAddOperation, func(_ *huma.OpenAPI, op *huma.Operation) {
		op.RejectUnknownQueryParameters = op.OperationID != operationIndicator
	}, describeFrame)
	return cfg
}

// headers are those that answers share.
func headers() map[string]*huma.Header {
	text := func(doc string, example any) *huma.Header {
		return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
	}
	seconds := &huma.Header{Description: "Seconds to wait before the next attempt.", Schema: &huma.Schema{Type: huma.TypeInteger}, Example: 1}
	must := func(h *huma.Header) *huma.Header {
		h.Required = true
		return h
	}
	return map[string]*huma.Header{
		"RequestID":       must(text("Names the request in the server's log. A client may send its own, of 1 to 64 of A-Z a-z 0-9 . _ -", "6ZB3TDOZ5U4CZYDXD2PVZRP4YE")),
		"RateLimitPolicy": text("Quota q of requests in w seconds. Absent when there is no limit.", `"default";q=100;w=2`),
		"RateLimit":       text("Requests r that are left, and the seconds t until all of the quota is back. Absent when there is no limit.", `"default";r=99;t=1`),
		"RetryAfter":      must(seconds),
		"Authenticate":    must(text("How to send a key.", `Bearer realm="hypertick"`)),
	}
}

func headerRef(name string) *huma.Header { return &huma.Header{Ref: "#/components/headers/" + name} }

// describeFrame adds what every operation shares: the name of the request,
// keys, limits, and the errors that arise before it.
func describeFrame(oapi *huma.OpenAPI, op *huma.Operation) {
	refused := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
			problemType: {Schema: oapi.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")},
		}}
	}
	guarded := strings.HasPrefix(op.Path, "/v1/")
	if guarded {
		op.Security = []map[string][]string{{}, {"bearer": {}}, {"key": {}}}
		op.Responses["401"] = refused("No API key, or an unknown one, where one is needed")
		op.Responses["429"] = refused("Too many requests")
	}
	op.Responses["default"] = refused("The request cannot be read or is too large, or something went wrong in the server")
	for status, r := range op.Responses {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers[requestIDHeader] = headerRef("RequestID")
		if guarded {
			r.Headers["RateLimit-Policy"], r.Headers["RateLimit"] = headerRef("RateLimitPolicy"), headerRef("RateLimit")
		}
		switch status {
		case "401":
			r.Headers[fiber.HeaderWWWAuthenticate] = headerRef("Authenticate")
		case "429", "503":
			r.Headers[fiber.HeaderRetryAfter] = headerRef("RetryAfter")
		}
	}
}

// registerOpenAPI serves the description. huma's own handlers build it on the first request
// without a lock.
func (s *Server) registerOpenAPI() {
	serve := func(path, contentType string, build func() ([]byte, error)) {
		build = sync.OnceValues(build)
		s.app.Get(path, func(c *fiber.Ctx) error {
			b, err := build()
			if err != nil {
				return s.failed(c.UserContext(), "describe the api", err)
			}
			c.Set(fiber.HeaderContentType, contentType)
			return c.Status(http.StatusOK).Send(b)
		})
	}
	serve("/openapi.json", "application/openapi+json", func() ([]byte, error) { return json.Marshal(s.OpenAPI()) })
	serve("/openapi.yaml", "application/openapi+yaml", s.specYAML)
}

func (s *Server) specYAML() ([]byte, error) { return s.OpenAPI().YAML() }
