package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracing sends spans to the endpoint in the OTEL_* environment. Its zero value
// sends none.
type tracing struct {
	provider trace.TracerProvider
	stop     func()
}

// startTracing is off unless an OTLP endpoint is set. The OpenTelemetry libraries read the
// rest of the environment themselves: headers, certificates, sampler, resource attributes.
func startTracing(ctx context.Context, service string, log *slog.Logger) (tracing, error) {
	off := tracing{stop: func() {}}
	first := func(names ...string) string {
		for _, n := range names {
			if v := os.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	if first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "" ||
		strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return off, nil
	}
	var exporter sdktrace.SpanExporter
	var err error
	switch p := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p {
	case "", "http/protobuf":
		exporter, err = otlptracehttp.New(ctx)
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx)
	default:
		return off, usagef("OTEL_EXPORTER_OTLP_PROTOCOL: want http/protobuf or grpc, got %q", p)
	}
	if err != nil {
		return off, fmt.Errorf("start tracing: %w", err)
	}
	name := first("OTEL_SERVICE_NAME")
	if name == "" {
		name = service
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv(),
		resource.WithAttributes(attribute.String("service.name", name), attribute.String("service.version", version())))
	if err != nil {
		return off, fmt.Errorf("start tracing: %w", err)
	}
	// A collector that is unavailable is logged, once per failure, and stops nothing.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing failed", slog.Any("error", err)) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return tracing{provider: provider, stop: func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("spans not sent", slog.Any("error", err))
		}
	}}, nil
}

// pool adds a span for each query.
func (t tracing) pool(cfg *pgxpool.Config) {
	if t.provider != nil {
		cfg.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider))
	}
}

// hooks add a span for each record from the broker.
func (t tracing) hooks() []kgo.Hook {
	if t.provider == nil {
		return nil
	}
	tracer := kotel.NewTracer(kotel.TracerProvider(t.provider), kotel.TracerPropagator(propagation.TraceContext{}))
	return kotel.NewKotel(kotel.WithTracer(tracer)).Hooks()
}
