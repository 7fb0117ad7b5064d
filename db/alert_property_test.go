package db_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

// series of the bars' closes or volumes, the plain way: ok is false where it
// has no value yet.
type series func(bars []dbtest.Candle, i int) (value float64, ok bool)

func plainClose(bars []dbtest.Candle, i int) (float64, bool) { return bars[i].Close, true }

func plainMean(period int) series {
	return func(bars []dbtest.Candle, i int) (float64, bool) {
		if i+1 < period {
			return 0, false
		}
		var sum float64
		for _, b := range bars[i+1-period : i+1] {
			sum += b.Close
		}
		return sum / float64(period), true
	}
}

func plainRSI(period int) series {
	return func(bars []dbtest.Candle, i int) (float64, bool) {
		if i < period {
			return 0, false
		}
		var gain, loss float64
		p := float64(period)
		for k := 1; k <= i; k++ {
			up, down := max(bars[k].Close-bars[k-1].Close, 0), max(bars[k-1].Close-bars[k].Close, 0)
			if k <= period {
				gain, loss = gain+up/p, loss+down/p
			} else {
				gain, loss = (gain*(p-1)+up)/p, (loss*(p-1)+down)/p
			}
		}
		if gain+loss == 0 {
			return 0, true
		}
		return 100 * gain / (gain + loss), true
	}
}

func plainVolumeRatio(period int) series {
	return func(bars []dbtest.Candle, i int) (float64, bool) {
		if i < period {
			return 0, false
		}
		var sum float64
		for _, b := range bars[i-period : i] {
			sum += b.Volume
		}
		return bars[i].Volume * float64(period) / sum, sum > 0
	}
}

// plainRule is a rule and how to find its events without the database.
type plainRule struct {
	condition        string
	value            series
	against          series // instead of threshold
	threshold, upper float64
	bars             int
	cooldown         time.Duration
}

// events are those of bars from since on: the definition in docs/alerts.md,
// bar by bar.
func (r plainRule) events(bars []dbtest.Candle, since time.Time) []event {
	met := func(i int) (value, threshold float64, met, ok bool) {
		value, ok = r.value(bars, i)
		if !ok {
			return 0, 0, false, false
		}
		threshold = r.threshold
		if r.against != nil {
			var known bool
			if threshold, known = r.against(bars, i); !known {
				return value, 0, false, true
			}
		}
		switch r.condition {
		case "above":
			return value, threshold, value > threshold, true
		case "below":
			return value, threshold, value < threshold, true
		case "outside":
			if value > r.upper {
				return value, r.upper, true, true
			}
			return value, threshold, value < threshold, true
		case "changes", "rises", "falls":
			// From the newest bar that is at least so old and has a value.
			old := bars[i].Bucket.Add(-time.Duration(r.bars) * time.Minute)
			for k := i - 1; k >= 0; k-- {
				if bars[k].Bucket.After(old) {
					continue
				}
				from, known := r.value(bars, k)
				if !known || from == 0 {
					break
				}
				change := 100 * (value - from) / math.Abs(from)
				return change, threshold, r.condition != "falls" && change >= threshold || r.condition != "rises" && change <= -threshold, true
			}
			return 0, threshold, false, true
		}
		above := r.condition == "crosses_above"
		if i == 0 {
			return value, threshold, false, true
		}
		before, known := r.value(bars, i-1)
		line := r.threshold
		if r.against != nil && known {
			line, known = r.against(bars, i-1)
		}
		return value, threshold, known && (above && before <= line && value > threshold || !above && before >= line && value < threshold), true
	}
	var out []event
	active := false
	for i, b := range bars {
		if b.Bucket.Before(since) {
			continue
		}
		value, threshold, holds, ok := met(i)
		if !ok {
			continue
		}
		if r.condition == "above" || r.condition == "below" || r.condition == "outside" {
			for k := i - 1; k > i-r.bars && holds; k-- {
				if k < 0 {
					holds = false
					break
				}
				_, _, holds, _ = met(k)
			}
		}
		switch {
		case active && !holds:
			end := b.Bucket.Add(time.Minute)
			out[len(out)-1].Resolved, out[len(out)-1].State = &end, "resolved"
			active = false
		case !active && holds && (len(out) == 0 || !b.Bucket.Before(out[len(out)-1].Bar.Add(r.cooldown))):
			out = append(out, event{Bar: b.Bucket, Value: value, Threshold: threshold, State: "firing"})
			active = true
		}
	}
	return out
}

// TestAlertsAnyOrder: however the evaluation is cut into runs, and whatever late
// ticks, cancels and corrections change between them, the events that stand are those of the plain
// definition over the bars as they are in the end.
func TestAlertsAnyOrder(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := context.Background()
	exec(t, d, "DELETE FROM alert.rules")
	n := 0
	day := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		symbol, name := fmt.Sprintf("P%d", n), fmt.Sprintf("rule-%d", n)
		period := rapid.IntRange(2, 8).Draw(rt, "period")
		r := plainRule{bars: 1, cooldown: time.Duration(rapid.IntRange(0, 12).Draw(rt, "cooldown")) * time.Minute}
		indicator, params := "sma", map[string]any{"period": 1}
		var against any
		r.value = plainClose
		level := 100.37
		switch rapid.IntRange(0, 4).Draw(rt, "indicator") {
		case 1:
			r.value, params["period"] = plainMean(period), period
		case 2:
			indicator, r.value, params["period"], level = "rsi", plainRSI(period), period, 55.0371
		case 3:
			indicator, r.value, params["period"], level = "volume_spike", plainVolumeRatio(period), period, 1.370317
		}
		r.condition = rapid.SampledFrom([]string{"above", "below", "outside", "crosses_above", "crosses_below", "changes", "rises", "falls"}).Draw(rt, "condition")
		r.threshold = level
		var upper any
		switch r.condition {
		case "above", "below":
			r.bars = rapid.IntRange(1, 3).Draw(rt, "bars")
		case "outside":
			r.upper, upper = level*1.0137, level*1.0137
			r.bars = rapid.IntRange(1, 3).Draw(rt, "bars")
		case "changes", "rises", "falls":
			r.threshold = 1.0371
			r.bars = rapid.IntRange(1, 6).Draw(rt, "bars")
		}
		var threshold any = r.threshold
		if indicator == "sma" && slices.Contains([]string{"above", "below", "crosses_above", "crosses_below"}, r.condition) && rapid.Bool().Draw(rt, "against") {
			threshold, against, r.against = nil, "sma", plainMean(period+1)
		}
		var id int64
		if err := d.Pool.QueryRow(ctx, `INSERT INTO alert.rules (name, "interval", indicator, params, condition, threshold, upper, against_indicator, against_params, bars, cooldown)
			VALUES ($1, '1m', $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
			name, indicator, params, r.condition, threshold, upper, against, map[string]any{"period": period + 1}, r.bars, r.cooldown).Scan(&id); err != nil {
			rt.Fatal(err)
		}

		// A walk of whole prices, with minutes in which nothing trades.
		var seq int64
		var ticks []dbtest.Tick
		minutes := rapid.IntRange(20, 80).Draw(rt, "minutes")
		price := 100.0
		tick := func(minute, second int, price float64) dbtest.Tick {
			seq++
			return dbtest.Tick{TS: day.Add(time.Duration(minute)*time.Minute + time.Duration(second)*time.Second), Symbol: symbol, Price: price,
				Size: float64(rapid.IntRange(1, 9).Draw(rt, "size")), Seq: seq, Venue: "TEST"}
		}
		for m := range minutes {
			price += float64(rapid.IntRange(-2, 2).Draw(rt, "move"))
			if m == 0 || rapid.IntRange(0, 6).Draw(rt, "trades") > 0 {
				ticks = append(ticks, tick(m, 10, price))
			}
		}
		insert(t, d, "ticks", ticks)
		evaluate := func(to time.Time, revised *time.Time) {
			if _, err := d.Pool.Exec(ctx, "SELECT _hypertick.evaluate_symbol(r, $2, $3, $4, 1000) FROM alert.rules r WHERE r.id = $1", id, symbol, to, revised); err != nil {
				rt.Fatal(err)
			}
		}
		cuts := rapid.SliceOfN(rapid.IntRange(1, minutes), 0, 5).Draw(rt, "cuts")
		slices.Sort(cuts)
		cuts = append(cuts, minutes)
		var since time.Time
		for _, cut := range cuts {
			evaluate(day.Add(time.Duration(cut)*time.Minute), nil)
			if since.IsZero() {
				if err := d.Pool.QueryRow(ctx, "SELECT since FROM alert.progress WHERE rule_id = $1 AND symbol = $2", id, symbol).Scan(&since); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 2).Draw(rt, "undo") == 0 {
				first := time.Time{}
				for range rapid.IntRange(1, 6).Draw(rt, "undone ticks") {
					at := rapid.IntRange(0, len(ticks)-1).Draw(rt, "tick")
					old := ticks[at]
					if len(ticks) == 1 || !old.TS.Before(day.Add(time.Duration(cut)*time.Minute)) {
						continue
					}
					ticks = slices.Delete(ticks, at, at+1)
					var corrected []dbtest.Tick
					if rapid.Bool().Draw(rt, "corrected") {
						better := old
						better.Price += float64(rapid.IntRange(1, 5).Draw(rt, "correction"))
						corrected = append(corrected, better)
						ticks = append(ticks, better)
					}
					d.Undo(t, []dbtest.Tick{old}, corrected)
					if bucket := old.TS.Truncate(time.Minute); first.IsZero() || bucket.Before(first) {
						first = bucket
					}
				}
				if !first.IsZero() {
					evaluate(day.Add(time.Duration(cut)*time.Minute), &first)
				}
			}
			if rapid.Bool().Draw(rt, "late") {
				late := map[int]dbtest.Tick{}
				for range rapid.IntRange(1, 4).Draw(rt, "late ticks") {
					m := rapid.IntRange(0, cut-1).Draw(rt, "minute")
					late[m] = tick(m, rapid.IntRange(0, 59).Draw(rt, "second"), 100+float64(rapid.IntRange(-6, 6).Draw(rt, "price")))
				}
				insert(t, d, "ticks", slices.Collect(maps.Values(late)))
				ticks = slices.AppendSeq(ticks, maps.Values(late))
				first := day.Add(time.Duration(slices.Min(slices.Collect(maps.Keys(late)))) * time.Minute)
				evaluate(day.Add(time.Duration(cut)*time.Minute), &first)
			}
		}
		want := r.events(dbtest.BruteForce(ticks, time.Minute), since)
		var got []event
		for _, e := range events(t, d, name, symbol) {
			if e.State != "retracted" {
				e.Late, e.Revision = false, 0
				got = append(got, e)
			}
		}
		if !equalEvents(got, want) {
			rt.Fatalf("%s %v %s %v..%v against %v bars %d cooldown %v since %v\n got %+v\nwant %+v", indicator, params, r.condition, threshold, upper, against, r.bars, r.cooldown, since, got, want)
		}
		// Every revision kept what was said before.
		if n := count(t, d, fmt.Sprintf("SELECT count(*) FROM alert.events WHERE rule_id = %d AND jsonb_array_length(history) <> revision", id)); n != 0 {
			rt.Fatalf("%d events lost their history", n)
		}
	})
}
