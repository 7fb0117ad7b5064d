package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestMetrics(t *testing.T) {
	var server *Server
	c := serve(t, Config{Pool: noDatabase(t), MetricsListen: "127.0.0.1:0"}, func(s *Server) { server = s })
	c.get("/livez")
	c.get("/v1/symbols/AAPL/candles?limit=0")
	c.get("/v1/symbols/MSFT/candles?limit=0")
	c.get("/v1/symbols/AAPL/candles")
	c.get("/nope/1")
	c.get("/nope/2")
	c.raw("BREW", "/livez")
	c.raw(http.MethodPost, "/livez")
	metrics := &client{t: t, http: c.http, base: "http://" + server.MetricsAddr()}
	req, err := http.NewRequest(http.MethodGet, metrics.base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := metrics.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, line := range []string{
		`hypertick_api_requests_total{method="GET",route="/livez",status="200"} 1`,
		`hypertick_api_requests_total{method="GET",route="/v1/symbols/{symbol}/candles",status="422"} 2`,
		`hypertick_api_requests_total{method="GET",route="/v1/symbols/{symbol}/candles",status="503"} 1`,
		`hypertick_api_requests_total{method="GET",route="unknown",status="404"} 2`,
		`hypertick_api_requests_total{method="POST",route="unknown",status="405"} 1`,
		`hypertick_api_requests_total{method="other",route="malformed",status="501"} 1`,
		`hypertick_api_request_seconds_count{route="/v1/symbols/{symbol}/candles"} 3`,
		`hypertick_api_in_flight_requests 0`, `hypertick_api_streams 0`,
		`hypertick_api_pool_max_connections `, `hypertick_api_pool_acquired_connections 0`, `hypertick_api_pool_idle_connections 0`,
		`hypertick_api_pool_acquires_total `, `hypertick_api_pool_waits_total `, `hypertick_api_pool_wait_seconds_total `, `go_goroutines `,
	} {
		if !strings.Contains(got, "\n"+line) {
			t.Errorf("no line %s in\n%s", line, got)
		}
	}
	problems, err := testutil.GatherAndLint(server.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	// The metrics are not on the address of the API.
	if a := c.get("/metrics"); a.status != 404 {
		t.Errorf("/metrics: %d", a.status)
	}
}

func TestTraces(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	defer func() { _ = provider.Shutdown(context.Background()) }()
	inner := make(chan bool, 1)
	c := serve(t, Config{Pool: noDatabase(t), Tracer: provider}, func(s *Server) {
		s.app.Get("/v1/child/:id", func(c *fiber.Ctx) error {
			_, span := provider.Tracer("test").Start(c.UserContext(), "child")
			span.End()
			inner <- span.SpanContext().IsValid()
			return c.SendString("x")
		})
	})
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	a, err := c.do(http.MethodGet, "/v1/child/7", "Traceparent", "00-"+trace+"-"+parent+"-01")
	if err != nil || a.status != 200 || !<-inner {
		t.Fatalf("%+v %v", a, err)
	}
	if a := c.get("/v1/symbols"); a.status != 503 {
		t.Fatalf("%+v", a)
	}
	byName := map[string]tracetest.SpanStub{}
	for _, s := range spans.GetSpans() {
		byName[s.Name] = s
	}
	s, child, failed := byName["GET /v1/child/{id}"], byName["child"], byName["GET /v1/symbols"]
	if s.SpanContext.TraceID().String() != trace || s.Parent.SpanID().String() != parent || child.Parent.SpanID() != s.SpanContext.SpanID() {
		t.Errorf("spans do not hang together: %+v", byName)
	}
	attrs := attribute.NewSet(s.Attributes...)
	if v, _ := attrs.Value("http.route"); v.AsString() != "/v1/child/{id}" {
		t.Errorf("%v", s.Attributes)
	}
	if v, _ := attrs.Value("hypertick.request_id"); v.AsString() != a.header.Get(requestIDHeader) {
		t.Errorf("%v", s.Attributes)
	}
	if failed.Status.Code != codes.Error || s.Status.Code != codes.Unset {
		t.Errorf("status %v, %v", failed.Status, s.Status)
	}
	if !strings.Contains(c.log.String(), `"trace_id":"`+trace+`"`) {
		t.Errorf("the log does not name the trace: %s", c.log)
	}
}
