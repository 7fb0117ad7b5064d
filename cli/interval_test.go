package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

type listed struct {
	Interval, Kind, Source string
	Seconds, Months        int64
	Materialized           bool
	Until                  *time.Time `json:"materialized_until"`
}

// TestInterval adds an interval, lists it and removes it.
func TestInterval(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(t.Context(), `INSERT INTO ticks (ts, symbol, price, size, seq, venue)
		SELECT date_trunc('day', now()) - interval '3 days' + i * interval '1 minute', 'A', 100 + i % 7, 1, i, 'TEST' FROM generate_series(1, 1000) i`); err != nil {
		t.Fatal(err)
	}
	reader := d.URLAs(t, "hypertick_reader")
	must := func(want int, url string, args ...string) (string, string) {
		t.Helper()
		code, out, errOut := run(t.Context(), append([]string{"interval"}, append(args, "--database-url", url)...)...)
		if code != want {
			t.Fatalf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		if want != 0 && strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: want one line, got %q", args, errOut)
		}
		return out, errOut
	}
	list := func() map[string]listed {
		t.Helper()
		out, _ := must(0, reader, "list", "--json")
		var all []listed
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		by := map[string]listed{}
		var before time.Duration
		for _, l := range all {
			by[l.Interval] = l
			length := time.Duration(l.Seconds+l.Months*30*86400) * time.Second
			if length <= before || (l.Seconds == 0) == (l.Months == 0) {
				t.Errorf("%+v: want one of seconds and months, and more than %v", l, before)
			}
			before = length
		}
		return by
	}
	bars := func() (n int, sum float64) {
		t.Helper()
		if err := d.Pool.QueryRow(t.Context(), "SELECT count(*), sum(close * volume + extract(epoch FROM bucket)) FROM candles('A', '45m')").Scan(&n, &sum); err != nil {
			t.Fatal(err)
		}
		return n, sum
	}

	before := list()
	if got := before["1m"]; !got.Materialized || got.Source != "ticks" || got.Seconds != 60 || got.Kind != "core" || got.Until != nil {
		t.Errorf("got %+v, want 1m stored, built from ticks and not materialised yet", got)
	}
	if got := before["4h"]; got.Materialized || got.Source != "1h" || got.Kind != "listed" {
		t.Errorf("got %+v, want 4h rolled up from 1h", got)
	}
	if got := before["3mo"]; got.Source != "1d" || got.Months != 3 {
		t.Errorf("got %+v, want 3 months rolled up from 1d", got)
	}
	if got := before["5s"]; got.Source != "ticks" {
		t.Errorf("got %+v, want 5s rolled up from ticks", got)
	}
	n, sum := bars()

	out, _ := must(0, d.URL, "add", "45m", "--block-width", "9h")
	if want := "45m is stored in candles_45m, built from 15m."; !strings.HasPrefix(out, want) {
		t.Errorf("got %q, want %q", out, want)
	}
	if got := list()["45m"]; !got.Materialized || got.Source != "15m" || got.Seconds != 2700 || got.Kind != "own" || d.Embedded != nil && got.Until != nil {
		t.Errorf("got %+v, want 45m stored, built from 15m", got)
	}
	var block string
	if err := d.Pool.QueryRow(t.Context(), "SELECT block_width::text FROM intervals WHERE interval = '45m'").Scan(&block); err != nil || block != "09:00:00" {
		t.Errorf("got blocks of %s, %v, want 09:00:00", block, err)
	}
	if gotN, gotSum := bars(); d.Embedded != nil && (gotN != n || gotSum != sum || n != 23) {
		t.Errorf("before its history is materialised: got %d bars, sum %v, want %d, %v", gotN, gotSum, n, sum)
	}
	d.Settle(t)
	if got := list()["45m"]; got.Until == nil || got.Until.Before(time.Now().Add(-4*24*time.Hour)) {
		t.Errorf("got %+v, want it materialised up to the last closed bar", got)
	}
	text, _ := must(0, reader, "list")
	for _, want := range []string{"INTERVAL ", "\n45m ", "45 minutes", "stored, built from 15m", "rolled up from 1h", "3 months", "1 year", "1 day ", "1 second ", time.Now().UTC().Format("2006-")} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in the list:\n%s", want, text)
		}
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"add", "45m"}, "got 45m, which is 45m"},
		{[]string{"add", "60m"}, "got 60m, which is 1h"},
		{[]string{"add", "7x"}, "want one of 1s, 5s"},
		{[]string{"add", "4h", "--block-width", "5h"}, "block_width: want a multiple of"},
		{[]string{"add", "4h", "--block-width", "soon"}, "--block-width: want a number of s, m, h"},
		{[]string{"remove", "1h"}, "want one that was added, got 1h"},
		{[]string{"remove", "4h"}, "want one that is materialised, got '4h'"},
	} {
		if _, errOut := must(2, d.URL, c.args...); !strings.Contains(errOut, c.want) {
			t.Errorf("%q: got %q, want %q", c.args, errOut, c.want)
		}
	}
	// 90m is built from 45m, so 45m cannot be removed.
	must(0, d.URL, "add", "90m")
	if _, errOut := must(2, d.URL, "remove", "45m"); !strings.Contains(errOut, "from which 90m is built") {
		t.Errorf("got %q, want that 90m is built from it", errOut)
	}
	must(0, d.URL, "remove", "90m")
	for _, args := range [][]string{{"add", "2h"}, {"remove", "45m"}} {
		if _, errOut := must(1, reader, args...); !strings.Contains(errOut, "want the owner of the database") {
			t.Errorf("%q: got %q, want that it needs the owner", args, errOut)
		}
	}

	must(0, d.URL, "remove", "45m")
	if after := list(); len(after) != len(before) || after["45m"] != (listed{}) {
		t.Errorf("got %d intervals, 45m %+v, want the %d from before", len(after), after["45m"], len(before))
	}
	if gotN, gotSum := bars(); gotN != n || gotSum != sum {
		t.Errorf("after its removal: got %d bars, sum %v, want %d, %v", gotN, gotSum, n, sum)
	}
	// An interval that is listed under another name keeps that name.
	if out, _ := must(0, d.URL, "add", "240m"); !strings.HasPrefix(out, "4h is stored in candles_4h, built from 1h.") {
		t.Errorf("got %q, want 4h", out)
	}
}

// TestRetention says and changes how long things are kept, by interval.
func TestRetention(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	retention := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errOut := run(t.Context(), append([]string{"retention", "--database-url", d.URL}, args...)...)
		if code != want || want == 2 && strings.Count(errOut, "\n") != 1 {
			t.Fatalf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		return out, errOut
	}
	if code, out, errOut := run(t.Context(), "interval", "add", "45m", "--database-url", d.URL); code != 0 {
		t.Fatal(out, errOut)
	}
	kept := func(out string) string {
		var all []string
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			f := strings.Fields(line)
			all = append(all, f[0]+"="+f[1])
		}
		return strings.Join(all, " ")
	}
	out, _ := retention(0)
	if got, want := kept(out), "ticks=for candles_1m=for candles_5m=for candles_15m=for candles_45m=for candles_1h=for candles_1d=for"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	out, _ = retention(0, "--ticks", "90d", "--candles", "1m=1y", "--candles", "5m=2y,15m=2y", "--candles", "45m=1000d", "--candles", "1h=keep")
	if got, want := kept(out), "ticks=90d candles_1m=1y candles_5m=2y candles_15m=2y candles_45m=1000d candles_1h=for candles_1d=for"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--candles", "2m=1y"}, `--candles: want one of 1m, 5m, 15m, 45m, 1h, 1d, which are materialised, got "2m"`},
		{[]string{"--candles", "1m"}, "--candles"},
		{[]string{"--candles", "1m=1h"}, `--candles: 1m: want keep or at least 1d, got "1h"`},
		{[]string{"--candles", "1m=soon"}, "--candles: 1m: want a duration"},
		{[]string{"--candles", "45m=1y"}, "candles_15m for 730 days, candles_45m for 365 days: candles must be kept at least as long as what they are built from"},
		{[]string{"--ticks", "keep"}, "ticks for ever, candles_1m for 365 days"},
	} {
		if _, errOut := retention(2, c.args...); !strings.Contains(errOut, c.want) {
			t.Errorf("%q: got %q, want %q", c.args, errOut, c.want)
		}
	}
	if again, _ := retention(0); kept(again) != kept(out) {
		t.Errorf("got %s, want nothing changed by what was refused", kept(again))
	}
}
