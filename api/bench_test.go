package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/valyala/fasthttp"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// BenchmarkLastCandles asks for the last 100 candles of a symbol, in turns: over
// the API, from the same server by way of sqlc's structs and encoding/json, and
// as raw rows of the same query without any HTTP. The turns are short and
// repeated, so that what else the machine does falls on all three.
func BenchmarkLastCandles(b *testing.B) {
	d := dbtest.New(b)
	start := time.Now().UTC().Truncate(time.Minute).Add(-6 * time.Hour)
	var rows [][]any
	for i := range 6 * 60 * 6 {
		rows = append(rows, []any{start.Add(time.Duration(i) * 10 * time.Second), "AAPL", 100 + float64(i%97)/7, 1 + float64(i%13)/3, int64(i + 1), "SIM"})
	}
	ctx := context.Background()
	if _, err := d.Pool.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"}, pgx.CopyFromRows(rows)); err != nil {
		b.Fatal(err)
	}
	d.Settle(b)
	// As autovacuum would have by now.
	if _, err := d.Pool.Exec(ctx, "ANALYZE"); err != nil {
		b.Fatal(err)
	}
	pool := reader(b, d)
	c := serve(b, Config{Pool: pool}, func(s *Server) {
		huma.Get(s.api, "/scan/{symbol}/candles", s.scanCandles)
	})
	// A client that costs less than what it measures.
	hc := &fasthttp.HostClient{Addr: strings.TrimPrefix(c.base, "http://"), Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }}
	b.Cleanup(hc.CloseIdleConnections)
	get := func(path string) func() (int, error) {
		return func() (int, error) {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(resp)
			req.SetRequestURI(c.base + path)
			if err := hc.DoTimeout(req, resp, time.Minute); err != nil {
				return 0, err
			}
			if resp.StatusCode() != http.StatusOK {
				return 0, fmt.Errorf("%d %s", resp.StatusCode(), resp.Body())
			}
			return len(resp.Body()), nil
		}
	}
	queries := db.New(describing{pool})
	raw := func() (int, error) {
		rows, err := queries.CandleRows(ctx, db.CandlesParams{Symbol: "AAPL", Bar: "1m", Warmup: 101, MaxBars: new(int64)})
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			for _, v := range rows.RawValues() {
				n += len(v)
			}
		}
		return n, rows.Err()
	}
	ways := []func() (int, error){get("/v1/symbols/AAPL/candles?limit=100"), get("/scan/AAPL/candles?limit=100"), raw}

	// Both servers say the same, but for the moment at which they say it.
	var page1, page2 page[Candle]
	if err := json.Unmarshal(c.get("/v1/symbols/AAPL/candles?limit=100").body, &page1); err != nil || len(page1.Data) != 100 {
		b.Fatal(err, len(page1.Data))
	}
	if err := json.Unmarshal(c.get("/scan/AAPL/candles?limit=100").body, &page2); err != nil || fmt.Sprint(page1.Data[50].Close) != fmt.Sprint(page2.Data[50].Close) {
		b.Fatal(err, len(page2.Data))
	}
	var took [3]time.Duration
	done := 0
	turn := func(way func() (int, error), n int) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for range 4 {
			wg.Go(func() {
				for range n / 4 {
					if _, err := way(); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			b.Fatal(err)
		default:
		}
		return time.Since(begin)
	}
	for _, way := range ways {
		turn(way, 100)
	}
	b.ResetTimer()
	for b.Loop() {
		for range 20 {
			for i, way := range ways {
				runtime.GC()
				took[i] += turn(way, 100)
			}
			done += 100
		}
	}
	rate := func(i int) float64 { return float64(done) / took[i].Seconds() }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate(0), "requests/s")
	b.ReportMetric(rate(1), "scan-and-encode/s")
	b.ReportMetric(rate(2), "raw-pgx/s")
	b.ReportMetric(rate(0)/rate(2), "x-raw-pgx")
	b.ReportMetric(rate(0)/rate(1), "x-scan-and-encode")
}

type scanInput struct {
	SymbolPath
	IntervalQuery
	RangeQuery
}

type scanOutput struct{ Body page[Candle] }

// scanCandles is the peer: the rows as sqlc's structs, the answer by huma.
func (s *Server) scanCandles(ctx context.Context, in *scanInput) (*scanOutput, error) {
	rows, err := s.queries.Candles(ctx, db.CandlesParams{Symbol: string(in.Symbol), Bar: string(in.Interval), Warmup: int32(in.Limit) + 1, MaxBars: new(int64)})
	if err != nil {
		return nil, err
	}
	out := &scanOutput{}
	if len(rows) > in.Limit {
		rows = rows[1:]
	}
	out.Body.Data = make([]Candle, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Candle{r.Bucket.UTC(), r.Open, r.High, r.Low, r.Close, r.Volume, &r.BuyVolume, &r.Vwap, r.Trades}
	}
	return out, nil
}

// BenchmarkPage makes the bytes of 100 candles out of raw rows, and by
// encoding/json out of structs, without a database.
func BenchmarkPage(b *testing.B) {
	raw := newTable(candleColumns, 100)
	var p page[Candle]
	at := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	for i := range 100 {
		f := func(n int) float64 { return 100 + float64((i*31+n)%977)/7 }
		k := Candle{at.Add(time.Duration(i) * time.Minute), f(1), f(2), f(3), f(4), f(5), ptr(f(6)), ptr(f(7)), int64(i)}
		p.Data = append(p.Data, k)
		for _, v := range []any{k.Bucket, k.Open, k.High, k.Low, k.Close, k.Volume, *k.BuyVolume, *k.VWAP, k.Trades} {
			putAny(raw, v)
		}
	}
	const times = 2000
	var appended, encoded time.Duration
	for b.Loop() {
		begin := time.Now()
		for range times {
			// From the rows of the connection on, as a request does it.
			t := newTable(candleColumns, 101)
			for _, c := range raw.cells {
				t.put(raw.bytes(c))
			}
			_ = t.appendPage(make([]byte, 0, 64+len(t.cells)*28), "")
		}
		appended += time.Since(begin)
		begin = time.Now()
		for range times {
			if _, err := json.Marshal(p); err != nil {
				b.Fatal(err)
			}
		}
		encoded += time.Since(begin)
	}
	n := float64(b.N * times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(appended.Nanoseconds())/n, "ns/page")
	b.ReportMetric(float64(encoded.Nanoseconds())/n, "encoding-json-ns/page")
	b.ReportMetric(float64(encoded)/float64(appended), "x-encoding-json")
}
