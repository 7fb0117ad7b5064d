package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace"
)

// exchange is one request and its answer, as log, metrics and traces see it.
type exchange struct {
	id, method, path string
	route            string // the template that matched
	key              string // the name of the API key, never the key
	guarded          bool   // whether a key was needed
	start            time.Time
	span             trace.Span
}

type exchangeKey struct{}

func exchangeOf(c *fiber.Ctx) *exchange {
	x, _ := c.UserContext().Value(exchangeKey{}).(*exchange)
	return x
}

// requestID is the name of the request that ctx belongs to.
func requestID(ctx context.Context) string {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.id
	}
	return ""
}

// record ends an exchange: metrics, trace, and its line in the access log.
func (s *Server) record(c *fiber.Ctx, x *exchange) {
	took := time.Since(x.start)
	resp := c.Response()
	status := resp.StatusCode()
	s.metrics.requests.WithLabelValues(x.route, methodLabel(x.method), strconv.Itoa(status)).Inc()
	s.metrics.seconds.WithLabelValues(x.route).Observe(took.Seconds())
	// The bytes of a stream are yet to come, and asking for its body would wait for them.
	stream, bytes := resp.IsBodyStream(), 0
	if !stream {
		bytes = len(resp.Body())
	}
	sent := bytes
	if x.method == http.MethodHead {
		sent = 0
	}
	s.activity.add(methodLabel(x.method), x.route, status, took, sent)
	s.tracer.end(x, status)

	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	ctx := c.UserContext()
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("method", x.method), slog.String("path", x.path), slog.String("route", x.route),
		slog.Int("status", status), slog.Duration("took", took), slog.String("remote", c.Context().RemoteAddr().String()),
	}
	if stream {
		attrs = append(attrs, slog.Bool("stream", true))
	} else {
		attrs = append(attrs, slog.Int("bytes", bytes))
	}
	if x.key != "" {
		attrs = append(attrs, slog.String("key", x.key))
	}
	if sc := x.span.SpanContext(); sc.IsValid() {
		attrs = append(attrs, slog.String("trace_id", sc.TraceID().String()))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// methodLabel keeps made-up methods from becoming series.
func methodLabel(method string) string {
	if slices.Contains(fiber.DefaultMethods, method) {
		return method
	}
	return "other"
}
