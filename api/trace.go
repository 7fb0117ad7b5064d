package api

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracer makes a span of each request, as a child of the caller's.
type tracer struct {
	trace.Tracer
	propagator propagation.TextMapPropagator
}

func newTracer(p trace.TracerProvider) tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return tracer{p.Tracer("github.com/hypertick/hypertick/api"), propagation.TraceContext{}}
}

func (t tracer) begin(ctx context.Context, c *fiber.Ctx, x *exchange) (context.Context, trace.Span) {
	ctx = t.propagator.Extract(ctx, requestHeader{c})
	return t.Start(ctx, x.method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", x.method), attribute.String("url.path", x.path),
		attribute.String("hypertick.request_id", x.id)))
}

func (t tracer) end(x *exchange, status int) {
	x.span.SetName(x.method + " " + x.route)
	x.span.SetAttributes(attribute.String("http.route", x.route), attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, http.StatusText(status))
	}
	x.span.End()
}

// requestHeader is where a caller's trace is found.
type requestHeader struct{ c *fiber.Ctx }

func (h requestHeader) Get(name string) string { return h.c.Get(name) }
func (h requestHeader) Set(string, string)     {}
func (h requestHeader) Keys() []string         { return nil }
