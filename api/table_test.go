package api

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"pgregory.net/rapid"
)

// putAny adds a cell in the database's binary format.
func putAny(t *table, v any) {
	switch v := v.(type) {
	case *float64:
		if v == nil {
			t.put(nil)
			return
		}
		t.put(binary.BigEndian.AppendUint64(nil, math.Float64bits(*v)))
	case float64:
		t.put(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
	case int64:
		t.put(binary.BigEndian.AppendUint64(nil, uint64(v)))
	case time.Time:
		t.put(binary.BigEndian.AppendUint64(nil, uint64(v.UnixMicro()-epoch)))
	case int32:
		t.put(binary.BigEndian.AppendUint32(nil, uint32(v)))
	case string:
		t.put([]byte(v))
	case *string:
		if v == nil {
			t.put(nil)
			return
		}
		t.put([]byte(*v))
	}
}

var (
	drawFloat = rapid.OneOf(
		rapid.Float64(), rapid.Float64Range(0, 1000), rapid.Map(rapid.Uint64(), math.Float64frombits),
		rapid.Map(rapid.IntRange(-330, 310), func(e int) float64 { return math.Pow(10, float64(e)) }),
		rapid.Map(rapid.IntRange(-1e6, 1e6), func(i int) float64 { return float64(i) / 100 }),
	).Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) })
	drawTime = rapid.Map(rapid.Int64Range(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()),
		func(us int64) time.Time { return time.UnixMicro(us).UTC() })
	drawNext = rapid.StringMatching("[A-Za-z0-9_-]{0,20}")
)

func plainJSON(t *rapid.T, v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The bytes made of raw rows are those encoding/json makes of the types the
// OpenAPI document describes.
func TestJSON(t *testing.T) {
	t.Run("candles", rapid.MakeCheck(func(t *rapid.T) {
		p := page[Candle]{Data: []Candle{}, Next: drawNext.Draw(t, "next")}
		tab := newTable(candleColumns, 0)
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			f := func() float64 { return drawFloat.Draw(t, "float") }
			k := Candle{Bucket: drawTime.Draw(t, "bucket"), Open: f(), High: f(), Low: f(), Close: f(), Volume: f(), Trades: rapid.Int64().Draw(t, "trades")}
			if rapid.Bool().Draw(t, "no volume") {
				k.Volume = 0
			}
			if v := f(); k.Volume > 0 {
				k.VWAP = &v
			}
			if v := f(); rapid.Bool().Draw(t, "sides") {
				k.BuyVolume = &v
			}
			p.Data = append(p.Data, k)
			for _, v := range []any{k.Bucket, k.Open, k.High, k.Low, k.Close, k.Volume, k.BuyVolume, k.VWAP, k.Trades} {
				putAny(tab, v)
			}
		}
		if got, want := string(tab.appendPage(nil, p.Next)), plainJSON(t, p); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}))
	t.Run("ticks", rapid.MakeCheck(func(t *rapid.T) {
		p := page[Tick]{Data: []Tick{}, Next: drawNext.Draw(t, "next")}
		tab := newTable(tickColumns, 0)
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			k := Tick{drawTime.Draw(t, "ts"), drawFloat.Draw(t, "price"), drawFloat.Draw(t, "size"), rapid.Int64().Draw(t, "seq"), rapid.String().Draw(t, "venue"), nil, rapid.Int32().Draw(t, "flags")}
			if v := rapid.SampledFrom([]string{"buy", "sell"}).Draw(t, "side"); rapid.Bool().Draw(t, "known") {
				k.Side = &v
			}
			p.Data = append(p.Data, k)
			for _, v := range []any{k.TS, k.Price, k.Size, k.Seq, k.Venue, k.Side, k.Flags} {
				putAny(tab, v)
			}
		}
		if got, want := string(tab.appendPage(nil, p.Next)), plainJSON(t, p); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}))
	t.Run("indicators", rapid.MakeCheck(func(t *rapid.T) {
		names := []string{"a", "b <é\"", "c"}[:rapid.IntRange(0, 3).Draw(t, "series")]
		columns := []column{{"bucket", kindTime}}
		for _, n := range names {
			columns = append(columns, column{n, kindFloat})
		}
		p := page[IndicatorValue]{Data: []IndicatorValue{}}
		tab := newTable(columns, 0)
		tab.nested = "values"
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			k := IndicatorValue{drawTime.Draw(t, "bucket"), map[string]*float64{}}
			putAny(tab, k.Bucket)
			for _, n := range names {
				k.Values[n] = rapid.Ptr(drawFloat, true).Draw(t, n)
				putAny(tab, k.Values[n])
			}
			p.Data = append(p.Data, k)
		}
		if got, want := string(tab.appendPage(nil, "")), plainJSON(t, p); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}))
	t.Run("no number", func(t *testing.T) {
		for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if got := string(appendFloat(nil, f)); got != "null" {
				t.Errorf("%v: %s", f, got)
			}
		}
	})
}

// mixed is a table of every kind of column, with what it was made of.
func mixed(t *rapid.T) (*table, [][]any) {
	tab := newTable([]column{{"at", kindTime}, {"x", kindFloat}, {"n", kindInt}, {"word, \"é\"", kindText}, {"odd", kindBool}, {"fine", kindNumber}}, 0)
	var rows [][]any
	for range rapid.IntRange(0, 20).Draw(t, "rows") {
		row := []any{drawTime.Draw(t, "at"), drawFloat.Draw(t, "x"), rapid.Int64().Draw(t, "n"),
			rapid.String().Draw(t, "word"), rapid.Bool().Draw(t, "odd"), strconv.Itoa(rapid.Int().Draw(t, "fine")) + ".50"}
		for i, v := range row {
			if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
				row[i] = nil
				tab.put(nil)
			} else if b, ok := v.(bool); ok {
				tab.put([]byte{map[bool]byte{true: 1}[b]})
			} else {
				putAny(tab, v)
			}
		}
		rows = append(rows, row)
	}
	return tab, rows
}

// What CSV says is read back by encoding/csv.
func TestCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, rows := mixed(t)
		r := csv.NewReader(bytes.NewReader(tab.appendCSV(nil)))
		got, err := r.ReadAll()
		if err != nil || len(got) != len(rows)+1 || got[0][3] != `word, "é"` {
			t.Fatalf("%v: %d lines of %d rows", err, len(got), len(rows))
		}
		for i, row := range rows {
			for j, v := range row {
				cell := got[i+1][j]
				var ok bool
				switch v := v.(type) {
				case nil:
					ok = cell == ""
				case time.Time:
					at, err := time.Parse(time.RFC3339Nano, cell)
					ok = err == nil && at.Equal(v)
				case float64:
					f, err := strconv.ParseFloat(cell, 64)
					ok = err == nil && f == v
				case int64:
					ok = cell == strconv.FormatInt(v, 10)
				case bool:
					ok = cell == strconv.FormatBool(v)
				case string:
					// encoding/csv reads \r\n inside a field as \n.
					ok = cell == string(bytes.ReplaceAll([]byte(v), []byte("\r\n"), []byte("\n")))
				}
				if !ok {
					t.Fatalf("row %d column %d: %q, want %v", i, j, cell, v)
				}
			}
		}
	})
}

// What Arrow says is read back by its own reader.
func TestArrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, rows := mixed(t)
		b, err := tab.arrowStream()
		if err != nil {
			t.Fatal(err)
		}
		r, err := ipc.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		if got := r.Schema().Field(0).Type; !arrow.TypeEqual(got, utcMicros) || r.Schema().NumFields() != 6 {
			t.Fatalf("schema %v", r.Schema())
		}
		n := 0
		for r.Next() {
			batch := r.RecordBatch()
			for i := range int(batch.NumRows()) {
				for j, want := range rows[n+i] {
					if got := arrowCell(batch.Column(j), i); !sameCell(got, want) {
						t.Fatalf("row %d column %d: %v, want %v", n+i, j, got, want)
					}
				}
			}
			n += int(batch.NumRows())
		}
		if r.Err() != nil || n != len(rows) {
			t.Fatalf("%v: %d rows, want %d", r.Err(), n, len(rows))
		}
	})
}

func arrowCell(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i))).UTC()
	case *array.Float64:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	}
	return a.DataType()
}

func sameCell(got, want any) bool {
	if s, ok := want.(string); ok {
		if f, ok := got.(float64); ok {
			w, err := strconv.ParseFloat(s, 64)
			return err == nil && f == w
		}
	}
	return got == want
}

func TestAccepts(t *testing.T) {
	for header, want := range map[string]string{
		"": typeJSON, "*/*": typeJSON, "application/json": typeJSON, "text/csv": typeCSV, "TEXT/CSV; q=0.5": typeCSV,
		"text/*": typeCSV, "application/*": typeJSON, "application/vnd.apache.arrow.stream": typeArrow,
		"application/json;q=0.5, text/csv": typeCSV, "*/*, application/json;q=0": typeCSV, "text/html, */*;q=0.1": typeJSON,
		"text/html": "", "application/json;q=0": "", "text/csv;q=x": "", "text/csv;q=2": "",
	} {
		c := Conditions{Accept: header}
		if err := c.choose(); c.format != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", header, c.format, err, want)
		}
	}
}

func TestCacheControl(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for closed, want := range map[time.Time]string{
		{}: "no-cache", at.Add(time.Second): "no-cache", at: "max-age=60", at.Add(-time.Hour): "max-age=360", at.AddDate(-1, 0, 0): "max-age=86400",
	} {
		if got := cacheControl(closed, at); got != want {
			t.Errorf("%v: got %s, want %s", closed, got, want)
		}
	}
}
