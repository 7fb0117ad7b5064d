package api

import (
	"context"
	"math"
	"net/http"
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
	Side  *string   `json:"side" nullable:"true" doc:"Who began the trade, buy or sell; null when it is not known." example:"buy"`
	Flags int32     `json:"flags" doc:"What the trade does not move (1 open, 2 high and low, 4 close, 8 volume) and what it is: a sum of the flags in the table trade_flags." example:"0"`
}

// tickColumns are the fields of Tick.
var tickColumns = []column{{"ts", kindTime}, {"price", kindFloat}, {"size", kindFloat}, {"seq", kindInt}, {"venue", kindText}, {"side", kindText}, {"flags", kindInt}}

type ticksInput struct {
	SymbolPath
	RangeQuery
	Conditions
}

func (s *Server) registerTicks() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-ticks", Method: http.MethodGet, Path: "/v1/symbols/{symbol}/ticks", Tags: []string{"market"},
		Summary: "Ticks of a symbol",
		Description: "Trades of one symbol in the order of ts, seq and venue, oldest first within a page. " +
			"Without from: the newest ticks, and pages go back in time.",
		Errors: tableErrors, Responses: tableResponses(pageSchema[Tick](s.api, "Ticks")),
	}, s.ticks)
}

func (s *Server) ticks(ctx context.Context, in *ticksInput) (*reply, error) {
	if err := in.choose(); err != nil {
		return nil, err
	}
	sp, err := in.span(kindTicks, string(in.Symbol), "")
	if err != nil {
		return nil, err
	}
	read := s.ticksBefore
	if sp.forward() {
		read = s.ticksAfter
	}
	t := newTable(tickColumns, in.Limit+1)
	if err := read(ctx, t, string(in.Symbol), sp, in.Limit+1); err != nil {
		return nil, s.failed(ctx, "read ticks", err)
	}
	if t.rows() == 0 {
		if err := s.knowSymbol(ctx, string(in.Symbol)); err != nil {
			return nil, err
		}
	}
	next := ""
	if t.rows() > in.Limit {
		t.keep(0, in.Limit)
		last := t.row(in.Limit - 1)
		next = sp.next(cursor{Kind: kindTicks, Symbol: string(in.Symbol)},
			position{TS: t.micros(last[0]), Seq: t.int(last[3]), Venue: string(t.bytes(last[4]))})
	}
	closed := sp.ticksClosed(t, next != "")
	if !sp.forward() {
		t.reverse()
	}
	return s.reply(ctx, &in.Conditions, t, in.link("ticks", "", in.Limit), next, closed)
}

// ticksClosed is when the range of a page was over.
func (s *span) ticksClosed(t *table, more bool) time.Time {
	switch {
	case more && s.forward():
		return time.UnixMicro(t.micros(t.row(t.rows() - 1)[0])).Add(tickGrace)
	case !s.forward() && s.at != nil:
		return s.at.time().Add(tickGrace)
	case s.to != nil:
		return s.to.Add(tickGrace)
	}
	return time.Time{}
}

// tickGrace is how long ticks of a moment are still on their way.
const tickGrace = time.Minute

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
func (s *Server) ticksAfter(ctx context.Context, t *table, symbol string, sp span, n int) error {
	end := lastTime
	if sp.to != nil {
		end = *sp.to
	}
	// Without a position the start itself is included: every seq lies above.
	arg := db.TicksAfterParams{Symbol: symbol, FromTs: *sp.from, AfterSeq: math.MinInt64}
	if sp.at != nil {
		arg.FromTs, arg.AfterSeq, arg.AfterVenue = sp.at.time(), sp.at.Seq, sp.at.Venue
	}
	for w := 0; arg.FromTs.Before(end); {
		if w == len(windows) {
			bars, err := s.queries.CandleBuckets(ctx, db.CandleBucketsParams{
				Symbol: symbol, Bar: "1d", FromTime: ptr(arg.FromTs.Truncate(day)), ToTime: &end, MaxBars: ptr(int64(1)),
			})
			if err != nil {
				return err
			}
			if len(bars) == 0 {
				break
			}
			if bars[0].After(arg.FromTs) {
				arg.FromTs = bars[0].UTC()
			}
			w = 0
		}
		arg.ToTs = earlier(arg.FromTs.Add(windows[w]), end)
		arg.MaxRows = int32(n - t.rows())
		rows, err := s.queries.TickRowsAfter(ctx, arg)
		if err != nil {
			return err
		}
		if err := t.read(rows); err != nil {
			return err
		}
		if t.rows() >= n {
			break
		}
		arg.FromTs, arg.AfterSeq, arg.AfterVenue = arg.ToTs, math.MinInt64, ""
		w++
	}
	return nil
}

// ticksBefore reads n ticks back from the span's end or position, newest first.
func (s *Server) ticksBefore(ctx context.Context, t *table, symbol string, sp span, n int) error {
	// Without a position the end itself is excluded: no seq lies below.
	arg := db.TicksBeforeParams{Symbol: symbol, BeforeSeq: math.MinInt64}
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
			bars, err := s.queries.CandleBuckets(ctx, db.CandleBucketsParams{
				Symbol: symbol, Bar: "1d", FromTime: &arg.ToTs, ToTime: &arg.ToTs, Warmup: 1, MaxBars: new(int64),
			})
			if err != nil {
				return err
			}
			// The feed may know of a newer tick than the bars do.
			feed, err := s.queries.SymbolFeeds(ctx, symbol)
			if err != nil {
				return err
			}
			var end time.Time
			if len(bars) > 0 {
				end = bars[0].UTC().Add(day)
			}
			if feed.Feeds > 0 && feed.LastTs.Before(arg.ToTs) && feed.LastTs.After(end) {
				end = feed.LastTs.UTC().Add(time.Microsecond)
			}
			if end.IsZero() {
				return nil
			}
			arg.ToTs = earlier(arg.ToTs, end)
			w = 0
		}
		if w >= 0 {
			arg.FromTs = arg.ToTs.Add(-windows[w])
		}
		if arg.ToTs.Before(firstTime) {
			return nil
		}
		arg.MaxRows = int32(n - t.rows())
		rows, err := s.queries.TickRowsBefore(ctx, arg)
		if err != nil {
			return err
		}
		if err := t.read(rows); err != nil {
			return err
		}
		if t.rows() >= n {
			return nil
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
