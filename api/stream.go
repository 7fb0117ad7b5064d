package api

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/stream"
)

const (
	// streamIdle is the time without an event after which a comment is sent.
	streamIdle = 10 * time.Second
	// streamRetry asks clients to reconnect after 2000 ms.
	streamRetry = "retry: 2000\n\n"
)

var kinds = map[string]stream.Kind{"tick": stream.Ticks, "candle": stream.Candles, "alert": stream.Alerts, "status": stream.Status}

type streamInput struct {
	Symbols  []string       `query:"symbols,explode" doc:"Symbols, separated by commas; may be given several times, for up to 200 symbols. Write a comma in a symbol as \\, and a backslash as \\\\. Without it, or with *: all." example:"[\"AAPL,MSFT\"]"`
	Interval []IntervalName `query:"interval" maxItems:"8" default:"1m" doc:"Intervals of the candles, separated by commas: those of /v1/intervals, or any number of s, m, h, d, w, mo or y such as 90m." example:"1m,5m"`
	Events   []string       `query:"events" enum:"tick,candle,alert,status" doc:"Kinds of events, separated by commas. Without it: all." example:"candle,status"`
	Alerts   string         `query:"alerts" enum:"symbols,all" default:"symbols" doc:"Whose alerts: those of symbols, or of all. Alerts of the pipeline always come." example:"all"`
	LastID   string         `header:"Last-Event-ID" maxLength:"320" doc:"Id of the last event the client has. A browser sends it when it reconnects."`
}

func (s *Server) registerStream() {
	huma.Register(s.api, huma.Operation{
		OperationID: "stream", Method: http.MethodGet, Path: "/v1/stream", Tags: []string{"market"},
		Summary: "Live events",
		Description: "Server-Sent Events. `tick`: a trade, as in the list of ticks, with its symbol. " +
			"`candle`: a bar, as in the list of candles, with symbol, interval and state: `forming` while it lasts, `closed` once when its end has passed, " +
			"`revised` when a late, cancelled or corrected tick has changed it since, `removed`, without prices, when all its ticks were cancelled. `status`: every 5 s, how the system is. `alert`: an event of an alert rule, as in the list of those, whenever it changes: found, resolved, revised or retracted. " +
			"`reset`: events were missed, read what you show again (of one symbol, if it names one). " +
			"With Last-Event-ID, the alerts and the closed and revised candles missed since come first, each once, for a day. " +
			"A client that does not keep up is disconnected.",
		Responses: map[string]*huma.Response{"200": {
			Description: "Events until the client or the server ends the stream.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
		Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
	}, s.streamEvents)
}

func (s *Server) streamEvents(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	sub := stream.Subscription{LastID: in.LastID, AllAlerts: in.Alerts == "all"}
	for _, name := range in.Interval {
		if _, err := s.width(ctx, "query.interval", name); err != nil {
			return nil, err
		}
		sub.Intervals = append(sub.Intervals, string(name))
	}
	for _, e := range in.Events {
		sub.Kinds |= kinds[e]
	}
	if sub.Kinds == 0 {
		sub.Kinds = stream.All
	}
	if !everySymbol(in.Symbols) {
		symbols, err := symbolList("query.symbols", in.Symbols, feed.ValidSymbol, wantSymbol)
		if err != nil {
			return nil, err
		}
		if err := s.knowSymbols(ctx, symbols); err != nil {
			return nil, err
		}
		sub.Symbols = symbols
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		c := humafiber.Unwrap(hc)
		if err := s.startStream(c, sub); err != nil {
			_ = s.handleError(c, err)
		}
	}}, nil
}

// knowSymbols is nil when every symbol has been heard of.
func (s *Server) knowSymbols(ctx context.Context, symbols []string) error {
	known, err := s.queries.StreamKnown(ctx, symbols)
	if err != nil {
		return s.failed(ctx, "find symbols", err)
	}
	for _, symbol := range symbols {
		if slices.Contains(known, symbol) {
			continue
		}
		if err := s.knowSymbol(ctx, symbol); err != nil {
			var p *Problem
			if errors.As(err, &p) && p.Status == http.StatusNotFound && len(p.Errors) > 0 {
				p.Errors[0].Location = "query.symbols"
			}
			return err
		}
	}
	return nil
}

// startStream makes the answer of c a stream of sub's events.
func (s *Server) startStream(c *fiber.Ctx, sub stream.Subscription) error {
	fc := c.Context()
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no")
	if fc.IsHead() {
		return nil
	}
	conn, id := fc.Conn(), requestID(c.UserContext())
	// Its end must not wait for what it has not read.
	sub.Dropped = func() { _ = conn.SetWriteDeadline(time.Now()) }
	client, err := s.hub.Subscribe(sub)
	switch {
	case errors.Is(err, stream.ErrFull):
		c.Set(fiber.HeaderRetryAfter, retryAfter)
		return problem(http.StatusServiceUnavailable, "There are too many streams at the moment.")
	case errors.Is(err, stream.ErrIntervals):
		c.Set(fiber.HeaderRetryAfter, retryAfter)
		return problem(http.StatusServiceUnavailable, "The streams follow too many different intervals at the moment.")
	case err != nil:
		c.Set(fiber.HeaderRetryAfter, retryAfter)
		return problem(http.StatusServiceUnavailable, "The server is stopping.")
	}
	// The connection ends with the stream: nothing may follow what was cut.
	c.Set(fiber.HeaderConnection, "close")
	// The context of the request ends with the handler, the stream does not.
	ctx := s.base
	fc.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer client.Close()
		s.metrics.streams.Inc()
		defer s.metrics.streams.Dec()
		start := time.Now()
		_, _ = w.WriteString(streamRetry)
		var err error
		for {
			// The server's deadline is for a whole answer, and this one has no end.
			if err = conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
				break
			}
			if err = w.Flush(); err != nil {
				break
			}
			var out []byte
			if out, err = client.Next(ctx, streamIdle); err != nil {
				break
			}
			if _, err = w.Write(out); err != nil {
				break
			}
		}
		s.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "stream ended", slog.String("request_id", id),
			slog.Duration("took", time.Since(start)), slog.Any("error", err))
	})
	return nil
}
