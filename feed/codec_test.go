package feed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/feed"
)

const canonical = `{"symbol":"AAPL","ts":"2026-11-24T19:00:00.123456Z","price":189.37,"size":100,"seq":123,"venue":"SIM"}`

var canonicalTick = feed.Tick{
	Symbol: "AAPL", Venue: "SIM", TS: 1795546800123456, Price: 189.37, Size: 100, Seq: 123,
}

// oracle decodes with encoding/json alone. Decode must return the same, apart from
// the text of an error.
func oracle(b []byte) (feed.Tick, bool) {
	var m struct {
		Symbol, TS, Venue *string
		Price, Size       *float64
		Seq               *int64
		Side, Type        *string
		Conditions        []string
	}
	trimmed := bytes.TrimSpace(b)
	if !utf8.Valid(b) || json.Unmarshal(b, &m) != nil || trimmed[0] != '{' {
		return feed.Tick{}, false
	}
	kind, known := feed.Trade, true
	if m.Type != nil {
		kind, known = map[string]feed.Kind{"trade": feed.Trade, "cancel": feed.Cancel, "correct": feed.Correct}[*m.Type],
			*m.Type == "trade" || *m.Type == "cancel" || *m.Type == "correct"
	}
	if !known || m.Symbol == nil || m.TS == nil && kind == feed.Trade || m.Venue == nil || m.Seq == nil ||
		(m.Price == nil || m.Size == nil) && kind != feed.Cancel {
		return feed.Tick{}, false
	}
	tick := feed.Tick{Symbol: *m.Symbol, Venue: *m.Venue, Seq: *m.Seq, TS: feed.NoTime, Kind: kind}
	if m.TS != nil {
		quoted, _ := json.Marshal(*m.TS)
		var ts time.Time
		if json.Unmarshal(quoted, &ts) != nil {
			return feed.Tick{}, false
		}
		tick.TS = ts.UnixMicro()
	}
	if kind == feed.Cancel {
		return tick, true
	}
	tick.Price, tick.Size, tick.Conditions = *m.Price, *m.Size, strings.Join(m.Conditions, ",")
	if m.Side != nil {
		tick.Side = map[string]feed.Side{"buy": feed.Buy, "sell": feed.Sell}[*m.Side]
		if tick.Side == feed.Unknown {
			return feed.Tick{}, false
		}
	}
	for _, code := range m.Conditions {
		if code == "" || strings.Contains(code, ",") {
			return feed.Tick{}, false
		}
	}
	return tick, true
}

func sameTick(a, b feed.Tick) bool {
	return a == b && math.Signbit(a.Price) == math.Signbit(b.Price) && math.Signbit(a.Size) == math.Signbit(b.Size)
}

// checkDecode compares Decode with the oracle. d is shared between calls on
// purpose: its caches must not change a result.
func checkDecode(t testing.TB, d *feed.Decoder, b []byte) {
	t.Helper()
	untouched := feed.Tick{Symbol: "untouched", Seq: -7}
	got := untouched
	err := d.Decode(b, &got)
	want, ok := oracle(b)
	switch {
	case ok && err != nil:
		t.Fatalf("%q: %v, want %+v", b, err, want)
	case ok && !sameTick(got, want):
		t.Fatalf("%q: got %+v, want %+v", b, got, want)
	case !ok && err == nil:
		t.Fatalf("%q: got %+v, want an error", b, got)
	case !ok:
		if _, is := errors.AsType[*feed.FieldError](err); !is {
			t.Fatalf("%q: error %v is not a *FieldError", b, err)
		}
		if got != untouched {
			t.Fatalf("%q: the tick changed in spite of %v", b, err)
		}
	}
}

func TestDecodeForms(t *testing.T) {
	d := feed.NewDecoder()
	with := func(field, value string) string {
		var out []string
		for _, kv := range []string{`"symbol":"AAPL"`, `"ts":"2026-11-24T19:00:00.123456Z"`, `"price":189.37`, `"size":100`, `"seq":123`, `"venue":"SIM"`} {
			if strings.HasPrefix(kv, `"`+field+`"`) {
				kv = `"` + field + `":` + value
			}
			out = append(out, kv)
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	optional := func(more string) string { return strings.TrimSuffix(canonical, "}") + "," + more + "}" }
	forms := []string{
		canonical,
		optional(`"side":"buy"`), optional(`"side":"sell","type":"trade"`), optional(`"side":"x"`), optional(`"side":null`), optional(`"side":"buy`),
		optional(`"conditions":[]`), optional(`"conditions":["@","I"]`), optional(`"conditions":["@", "I"]`), optional(`"conditions":["@","I"],"side":"buy"`),
		optional(`"conditions":["]"]`), optional(`"conditions":["a,b"]`), optional(`"conditions":[""]`), optional(`"conditions":["a",]`),
		optional(`"conditions":[1]`), optional(`"conditions":"a"`), optional(`"conditions":["a""b"]`), optional(`"conditions":["a"`), optional(`"conditions":["\u0041"]`),
		optional(`"type":"trades"`), optional(`"type":"cancel"`), optional(`"type":"correct","side":"sell"`), optional(`"type":1`), optional(`"Type":"cancel"`),
		`{"type":"cancel","symbol":"A","venue":"V","seq":1}`, `{"type":"cancel","symbol":"A","venue":"V"}`, `{"type":"correct","symbol":"A","venue":"V","seq":1}`,
		`{"type":"correct","symbol":"A","venue":"V","seq":1,"price":1,"size":2}`, `{"type":"cancel","symbol":"A","venue":"V","seq":1,"ts":"x"}`,
		" \r\n\t{ \"venue\" : \"SIM\" ,\"seq\":1,\"size\":0,\"price\":1e-3,\"ts\":\"1999-12-31T23:59:59+05:30\",\"symbol\":\"A\"}\n",
		`{"venue":"SIM","size":0,"price":1,"ts":"1969-12-31T23:59:59.9999999Z","symbol":"A","seq":1}`,
		canonical + "x", canonical + canonical, canonical[:50], `{}`, ``, ` `, `null`, `[]`, `"x"`, `7`, `{"symbol":"A",}`,
		`{"Symbol":"AAPL","TS":"2026-11-24T19:00:00Z","PRICE":1,"size":1,"ſeq":5,"venue":"SIM"}`,
		`{"symbol":"A","symbol":"B",` + canonical[17:], strings.Replace(canonical, `"seq":123`, `"seq":123,"seq":null`, 1),
		strings.Replace(canonical, `"seq":123`, `"seq":123,"more":{"seq":[1,{}]}`, 1),
		strings.Replace(canonical, `"seq"`, `"\u0073eq"`, 1), strings.Replace(canonical, "AAPL", "A\xffPL", 1),
	}
	for _, v := range []string{
		`0`, `-0`, `-0.0`, `1`, `01`, `1.`, `.5`, `+1`, `1e5`, `1E+5`, `1e400`, `1e-400`, `NaN`, `Infinity`, `-Infinity`, `null`, `"1"`, `true`, `[1]`, `{}`,
		`0.30000000000000004`, `9007199254740993`, `9007199254740993.0`, `123456789012345678901234567890`, `179769313486231580000000000000000000000000000`,
		`0.1234567890123456789012345`, `0.000000000000000000000000000001`, `1.0000000000000002220446049250313`, `1 2`, `1x`, `9223372036854775807`,
		`9223372036854775808`, `999999999999999999`, `1000000000000000000`, `2.2250738585072011e-308`, `8.41`, `1.7976931348623159e308`,
	} {
		forms = append(forms, with("price", v), with("size", v), with("seq", v))
	}
	for _, v := range []string{
		`"2026-02-29T00:00:00Z"`, `"2024-02-29T00:00:00Z"`, `"2100-02-29T00:00:00Z"`, `"2026-11-24T24:00:00Z"`, `"2026-11-24T23:59:60Z"`, `"2026-11-24T23:60:00Z"`,
		`"2026-11-24T19:00:00"`, `"2026-11-24 19:00:00Z"`, `"2026-11-24t19:00:00z"`, `"2026-11-24T9:00:00Z"`, `"2026-11-24T19:00:00,5Z"`, `"2026-11-24T19:00:00.Z"`,
		`"2026-11-24T19:00:00.1Z"`, `"2026-11-24T19:00:00.123456789Z"`, `"2026-11-24T19:00:00.12345678901234567890123Z"`, `"2026-11-24T19:00:00+23:59"`,
		`"2026-11-24T19:00:00-24:00"`, `"2026-11-24T19:00:00+01:60"`, `"2026-11-24T19:00:00+0100"`, `"2026-11-24T19:00:00+01:00x"`, `"0000-01-01T00:00:00Z"`,
		`"9999-12-31T23:59:59.999999Z"`, `"2026-13-01T00:00:00Z"`, `"2026-00-01T00:00:00Z"`, `"2026-01-00T00:00:00Z"`, `"2026-04-31T00:00:00Z"`, `1795546800`, `null`,
		`"2026-11-24T19:00:00\u005a"`, `""`, `"2026-11-24T1:000:00Z"`, `"1969-12-31T23:59:59.000001Z"`, `"2026-11-24T19:00:00-00:00"`,
	} {
		forms = append(forms, with("ts", v))
	}
	for _, v := range []string{`""`, `"A\"B"`, `"Ä"`, `"\ud800"`, `"a b"`, `"` + strings.Repeat("X", 100) + `"`, "\"\x01\"", "\"\x7f\"", `"\u0041"`, `null`, `1`, `"`} {
		forms = append(forms, with("symbol", v), with("venue", v))
	}
	for _, f := range forms {
		checkDecode(t, d, []byte(f))
		for cut := range min(len(f), 120) {
			checkDecode(t, d, []byte(f[:cut]))
		}
	}
	var got feed.Tick
	if err := d.Decode([]byte(canonical), &got); err != nil || got != canonicalTick {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestDecodeErrorsNameTheField(t *testing.T) {
	edit := func(old, new string) string { return strings.Replace(canonical, old, new, 1) }
	for in, want := range map[string]string{
		edit("189.37", "NaN"):                      "price: want a finite number: invalid character 'N' looking for beginning of value",
		edit("189.37", "1e999"):                    "price: want a finite number, got number 1e999",
		edit("189.37", `"189"`):                    "price: want a finite number, got string",
		edit("100", "null"):                        "size: want a finite number, got nothing",
		edit(`,"venue":"SIM"`, ""):                 "venue: want a string, got nothing",
		edit("123,", "1.5,"):                       "seq: want a whole number of 64 bits, got number 1.5",
		edit(`"AAPL"`, "7"):                        "symbol: want a string, got number",
		edit("19:00:00", "24:00:00"):               `ts: want an RFC 3339 time as a string, got "2026-11-24T24:00:00.123456Z"`,
		edit(`"2026-11-24T19:00:00.123456Z"`, "1"): "ts: want an RFC 3339 time as a string, got number",
		canonical + "]":                            "value: want one JSON object: invalid character ']' after top-level value",
		"":                                         "value: want a JSON object, got nothing",
		"[1]":                                      `value: want a JSON object, got "[1]"`,
		edit("AAPL", "\xff"):                       "value: want UTF-8, got other bytes",
	} {
		var tick feed.Tick
		if err := feed.NewDecoder().Decode([]byte(in), &tick); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestDecodeValid(t *testing.T) {
	now := canonicalTick.Time()
	d := feed.NewDecoder()
	var got feed.Tick
	if err := d.DecodeValid([]byte(canonical), &got, now); err != nil || got != canonicalTick {
		t.Fatalf("got %+v, %v", got, err)
	}
	for old, new := range map[string]string{"AAPL": "AAPL ", "189.37": "1e-200", "\"size\":100": "\"size\":1e200", "\"seq\":123": "\"seq\":-1", "2026": "2027"} {
		got = feed.Tick{}
		if err := d.DecodeValid([]byte(strings.Replace(canonical, old, new, 1)), &got, now); err == nil || got != (feed.Tick{}) {
			t.Errorf("%s: err %v, tick %+v", new, err, got)
		}
	}
}

// Ticks drawn to lie on the paths that matter: grids, many digits, extremes.
func anyTick(t *rapid.T) feed.Tick {
	number := rapid.OneOf(
		rapid.Float64Range(0, math.MaxFloat64), rapid.Float64Range(0, 1e6),
		rapid.Map(rapid.IntRange(0, 1e9), func(v int) float64 { return float64(v) / 100 }),
		rapid.Map(rapid.IntRange(0, 1e15), func(v int) float64 { return float64(v) / 1e8 }),
		rapid.Map(rapid.Uint64Range(0, math.Float64bits(math.MaxFloat64)), math.Float64frombits),
	)
	text := rapid.OneOf(rapid.StringMatching(`[A-Z0-9._:-]{1,32}`), rapid.String())
	tick := feed.Tick{
		Symbol: text.Draw(t, "symbol"), Venue: text.Draw(t, "venue"),
		TS: rapid.OneOf(
			rapid.Int64Range(0, 4e15),
			rapid.Int64Range(-62167219200e6, 253402300799999999),
			rapid.Map(rapid.Int64Range(-1e10, 1e10), func(s int64) int64 { return s * 1e6 }),
		).Draw(t, "ts"),
		Price: number.Draw(t, "price"), Size: number.Draw(t, "size"), Seq: rapid.Int64().Draw(t, "seq"),
	}
	tick.Side = rapid.SampledFrom([]feed.Side{feed.Unknown, feed.Buy, feed.Sell}).Draw(t, "side")
	tick.Conditions = strings.Join(rapid.SliceOfN(rapid.StringMatching(`[ -+\--~]{1,4}`), 0, 3).Draw(t, "conditions"), ",")
	if rapid.IntRange(0, 9).Draw(t, "negative") == 0 {
		tick.Price = -tick.Price
	}
	return tick
}

func TestAppendJSONIsEncodingJSON(t *testing.T) {
	d := feed.NewDecoder()
	rapid.Check(t, func(rt *rapid.T) {
		tick := anyTick(rt)
		var codes []string
		if tick.Conditions != "" {
			codes = strings.Split(tick.Conditions, ",")
		}
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(struct {
			Symbol string    `json:"symbol"`
			TS     time.Time `json:"ts"`
			Price  float64   `json:"price"`
			Size   float64   `json:"size"`
			Seq    int64     `json:"seq"`
			Venue  string    `json:"venue"`

			Side       string   `json:"side,omitempty"`
			Conditions []string `json:"conditions,omitempty"`
		}{tick.Symbol, tick.Time(), tick.Price, tick.Size, tick.Seq, tick.Venue, tick.Side.String(), codes}); err != nil {
			rt.Fatal(err)
		}
		got := feed.AppendJSON([]byte("before"), &tick)
		if want := "before" + strings.TrimSuffix(buf.String(), "\n"); string(got) != want {
			rt.Fatalf("\n got %s\nwant %s", got, want)
		}
		var back feed.Tick
		if err := d.Decode(got[len("before"):], &back); err != nil || !sameTick(back, tick) {
			rt.Fatalf("%s reads back as %+v, %v", got, back, err)
		}
	})
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	d := feed.NewDecoder()
	var msgs [][]byte
	for i := range 10_000 { // the most symbols the simulator knows
		tick := canonicalTick
		tick.Symbol = fmt.Sprintf("S%d", i*7919)
		msgs = append(msgs, feed.AppendJSON(nil, &tick))
	}
	var tick feed.Tick
	all := func() {
		for _, m := range msgs {
			if err := d.Decode(m, &tick); err != nil {
				t.Fatal(err)
			}
		}
	}
	all()
	if n := testing.AllocsPerRun(3, all); n != 0 {
		t.Errorf("%v allocations for %d ticks of known symbols", n, len(msgs))
	}
}

func TestDecodeBoundsItsMemory(t *testing.T) {
	d := feed.NewDecoder()
	for i := range 200_000 {
		msg := strings.Replace(canonical, "AAPL", fmt.Sprint("X", i), 1)
		var tick feed.Tick
		if err := d.Decode([]byte(msg), &tick); err != nil || tick.Symbol != fmt.Sprint("X", i) {
			t.Fatalf("%s: %q, %v", msg, tick.Symbol, err)
		}
	}
	if n := d.Interned(); n > 1<<16 {
		t.Errorf("%d strings held", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(canonical))
	f.Add([]byte(`{"venue":"SIM","seq":1,"size":0.5,"price":1e3,"ts":"1999-12-31T23:59:59.5+05:30","symbol":"A","x":[{}]}`))
	f.Add([]byte(` {"Symbol":"\u0041","ts":"2026-11-24T19:00:00Z","price":null,"size":-0,"seq":9223372036854775808,"venue":"SIM"} x`))
	d := feed.NewDecoder()
	f.Fuzz(func(t *testing.T, b []byte) { checkDecode(t, d, b) })
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("AAPL", "SIM", int64(1795546800123456), 189.37, 100.0, int64(123))
	f.Add("a\"\\\x00é", "", int64(-1), 5e-324, 1e21, int64(math.MinInt64))
	d := feed.NewDecoder()
	f.Fuzz(func(t *testing.T, symbol, venue string, ts int64, price, size float64, seq int64) {
		in := feed.Tick{Symbol: symbol, Venue: venue, TS: ts, Price: price, Size: size, Seq: seq}
		b := feed.AppendJSON(nil, &in)
		if !json.Valid(b) {
			t.Fatalf("%+v became %s", in, b)
		}
		var out feed.Tick
		err := d.Decode(b, &out)
		year := in.Time().Year()
		if !utf8.ValidString(symbol) || !utf8.ValidString(venue) || math.IsNaN(price) || math.IsInf(price, 0) ||
			math.IsNaN(size) || math.IsInf(size, 0) || year < 0 || year > 9999 {
			return // outside the contract: valid JSON is all that is promised
		}
		if err != nil || !sameTick(in, out) {
			t.Fatalf("%+v became %s and then %+v, %v", in, b, out, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	forms := map[string]string{
		"canonical": canonical,
		"short":     `{"symbol":"A","ts":"2026-11-24T19:00:00Z","price":1.5,"size":1,"seq":1,"venue":"S"}`,
		"reordered": `{"seq": 123, "price": 189.37, "size": 100, "ts": "2026-11-24T19:00:00.123456Z", "venue": "SIM", "symbol": "AAPL"}`,
	}
	for name, form := range forms {
		msg := []byte(form)
		b.Run(name, func(b *testing.B) {
			d := feed.NewDecoder()
			var tick feed.Tick
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(msg, &tick); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"-encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var tick struct {
					Symbol, Venue string
					TS            time.Time
					Price, Size   float64
					Seq           int64
				}
				if err := json.Unmarshal(msg, &tick); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	buf := make([]byte, 0, 128)
	tick := canonicalTick
	b.ReportAllocs()
	for b.Loop() {
		buf = feed.AppendJSON(buf[:0], &tick)
	}
}
