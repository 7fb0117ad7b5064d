package api

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Tick is one trade.
type Tick struct {
	TS    time.Time `json:"ts" doc:"Trade time, UTC, in microseconds." example:"2026-11-24T19:00:00.123456Z"`
	Price float64   `json:"price" doc:"Price." example:"189.37"`
	Size  float64   `json:"size" doc:"Units traded." example:"100"`
	Seq   int64     `json:"seq" doc:"Number of the tick; rises strictly per venue and symbol. Orders ticks of the same ts." example:"123"`
	Venue string    `json:"venue" doc:"Where the trade took place." example:"SIM"`
}

type ticksInput struct {
	SymbolPath
	RangeQuery
}

type ticksOutput struct{ Body page[Tick] }

func (s *Server) registerTicks() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-ticks", Method: http.MethodGet, Path: "/v1/symbols/{symbol}/ticks", Tags: []string{"market"},
		Summary: "Ticks of a symbol",
		Description: "Trades of one symbol in the order of ts, seq and venue, oldest first within a page. " +
			"Without from: the newest ticks, and pages go back in time.",
		Errors: marketErrors,
	}, s.ticks)
}

func (s *Server) ticks(ctx context.Context, in *ticksInput) (*ticksOutput, error) {
	sp, err := in.span(kindTicks, in.Symbol, "")
	if err != nil {
		return nil, err
	}
	read := s.ticksBefore
	if sp.forward() {
		read = s.ticksAfter
	}
	ticks, err := read(ctx, in.Symbol, sp, in.Limit+1)
	if err != nil {
		return nil, s.failed(ctx, "read ticks", err)
	}
	if len(ticks) == 0 {
		if err := s.knowSymbol(ctx, in.Symbol); err != nil {
			return nil, err
		}
	}
	out := &ticksOutput{}
	if len(ticks) > in.Limit {
		ticks = ticks[:in.Limit]
		last := ticks[in.Limit-1]
		out.Body.Next = sp.next(kindTicks, in.Symbol, "", position{TS: last.TS.UnixMicro(), Seq: last.Seq, Venue: last.Venue})
	}
	if !sp.forward() {
		slices.Reverse(ticks)
	}
	if out.Body.Data = ticks; ticks == nil {
		out.Body.Data = []Tick{}
	}
	return out, nil
}

// A query may touch only a window of time, because planning alone looks at
// every chunk within. The first window is that of an active symbol. After the
// last, the gap is longer than a year: then the daily bars, whose chunks are
// few, say where the next ticks are. So ticks imported into such a gap are
// seen only once a refresh has seen them.
var windows = []time.Duration{7 * day, 56 * day, 448 * day}

const day = 24 * time.Hour

// The ends of time, as far as ticks go.
var (
	firstTime = time.UnixMicro(minMicros).UTC()
	lastTime  = time.UnixMicro(maxMicros).UTC()
)

// ticksAfter reads n ticks from the span's start or position on.
func (s *Server) ticksAfter(ctx context.Context, symbol string, sp span, n int) ([]Tick, error) {
	end := lastTime
	if sp.to != nil {
		end = *sp.to
	}
	// Without a position the start itself is included: every seq lies above.
	arg := db.TicksAfterParams{Symbol: symbol, FromTs: *sp.from, AfterSeq: math.MinInt64}
	if sp.at != nil {
		arg.FromTs, arg.AfterSeq, arg.AfterVenue = sp.at.time(), sp.at.Seq, sp.at.Venue
	}
	var out []Tick
	for w := 0; arg.FromTs.Before(end); {
		if w == len(windows) {
			bars, err := s.queries.Candles(ctx, db.CandlesParams{
				Symbol: symbol, Bar: "1d", FromTime: ptr(arg.FromTs.Truncate(day)), ToTime: &end, MaxBars: ptr(int64(1)),
			})
			if err != nil {
				return nil, err
			}
			if len(bars) == 0 {
				break
			}
			if bars[0].Bucket.After(arg.FromTs) {
				arg.FromTs = bars[0].Bucket.UTC()
			}
			w = 0
		}
		arg.ToTs = earlier(arg.FromTs.Add(windows[w]), end)
		arg.MaxRows = int32(n - len(out))
		rows, err := s.queries.TicksAfter(ctx, arg)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, Tick{r.Ts.UTC(), r.Price, r.Size, r.Seq, r.Venue})
		}
		if len(out) >= n {
			break
		}
		arg.FromTs, arg.AfterSeq, arg.AfterVenue = arg.ToTs, math.MinInt64, ""
		w++
	}
	return out, nil
}

// ticksBefore reads n ticks back from the span's end or position, newest first.
func (s *Server) ticksBefore(ctx context.Context, symbol string, sp span, n int) ([]Tick, error) {
	// Without a position the end itself is excluded: no seq lies below.
	arg := db.TicksBeforeParams{Symbol: symbol, BeforeSeq: math.MinInt64}
	var out []Tick
	w := 0
	switch {
	case sp.at != nil:
		arg.ToTs, arg.BeforeSeq, arg.BeforeVenue = sp.at.time(), sp.at.Seq, sp.at.Venue
	case sp.to != nil:
		arg.ToTs = *sp.to
	default:
		arg.ToTs = lastTime
	}
	if now := time.Now().Add(day); arg.ToTs.After(now) {
		// The future holds a few chunks at most: the first window takes all of it.
		arg.FromTs, w = now.Add(-windows[0]), -1
	}
	for {
		if w == len(windows) {
			bars, err := s.queries.Candles(ctx, db.CandlesParams{
				Symbol: symbol, Bar: "1d", FromTime: &arg.ToTs, ToTime: &arg.ToTs, Warmup: 1, MaxBars: new(int64),
			})
			if err != nil {
				return nil, err
			}
			// The feed may know of a newer tick than the bars do.
			feed, err := s.queries.SymbolFeeds(ctx, symbol)
			if err != nil {
				return nil, err
			}
			var end time.Time
			if len(bars) > 0 {
				end = bars[0].Bucket.UTC().Add(day)
			}
			if feed.Feeds > 0 && feed.LastTs.Before(arg.ToTs) && feed.LastTs.After(end) {
				end = feed.LastTs.UTC().Add(time.Microsecond)
			}
			if end.IsZero() {
				return out, nil
			}
			arg.ToTs = earlier(arg.ToTs, end)
			w = 0
		}
		if w >= 0 {
			arg.FromTs = arg.ToTs.Add(-windows[w])
		}
		if arg.ToTs.Before(firstTime) {
			return out, nil
		}
		arg.MaxRows = int32(n - len(out))
		rows, err := s.queries.TicksBefore(ctx, arg)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, Tick{r.Ts.UTC(), r.Price, r.Size, r.Seq, r.Venue})
		}
		if len(out) >= n {
			return out, nil
		}
		arg.ToTs, arg.BeforeSeq, arg.BeforeVenue = arg.FromTs, math.MinInt64, ""
		w++
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func ptr[T any](v T) *T { return &v }
