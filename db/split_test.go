package db_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestSuspectedSplits has symbols of two calendars split, with and without anybody
// entering it, crash within a day and overnight, and trade at a wrong scale, on random
// prices. Only a split that nobody has entered is suspected.
func TestSuspectedSplits(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	exec(t, d, `INSERT INTO calendars (calendar, name, zone, first_day, last_day) VALUES ('TEST', 'Test', 'UTC', '2024-01-01', '2024-12-31')`)
	exec(t, d, `INSERT INTO calendar_rules (calendar, from_day, to_day, weekdays, opens, closes, pre_opens, post_closes)
		VALUES ('TEST', '2024-01-01', '2024-12-31', '{1,2,3,4,5,6,7}', '13:30', '20:00', '08:00', '25:00')`)
	random := rand.New(rand.NewPCG(13, 5))
	start := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	const days, eventful = 26, 24
	ratios := []float64{1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20}
	kinds := []string{"plain", "split", "entered", "otherday", "withdrawn", "crash", "dearcrash", "overnight", "scale", "young", "odd", "back"}
	var ticks []dbtest.Tick
	var want []string
	seq := int64(0)
	exDate := start.AddDate(0, 0, eventful).Format(time.DateOnly)
	for n := range 96 {
		kind, session := kinds[n%len(kinds)], n%24 >= 12
		symbol := fmt.Sprintf("%s%02d", kind, n)
		calendar := "24x7"
		if session {
			calendar = "TEST"
		}
		exec(t, d, "INSERT INTO instruments (symbol, calendar) VALUES ($1, $2)", symbol, calendar)
		ratio := ratios[random.IntN(len(ratios))]
		if random.IntN(2) == 0 {
			ratio = 1 / ratio
		}
		enter := func(day string) int64 {
			var id int64
			if err := d.Pool.QueryRow(t.Context(), "INSERT INTO corporate_actions (symbol, kind, ex_date, ratio) VALUES ($1, 'split', $2, $3) RETURNING id", symbol, day, ratio).Scan(&id); err != nil {
				t.Fatal(err)
			}
			return id
		}
		switch kind {
		case "split", "otherday", "withdrawn":
			want = append(want, " "+symbol+" +")
		}
		switch kind {
		case "entered":
			enter(exDate)
		case "otherday":
			enter(start.AddDate(0, 0, eventful-3).Format(time.DateOnly))
		case "withdrawn":
			exec(t, d, "UPDATE corporate_actions SET undone_at = clock_timestamp() WHERE id = $1", enter(exDate))
		}
		price, shares := 50+random.Float64()*200, 1000.0
		first := 0
		if kind == "young" {
			first = eventful - 3
		}
		trade := func(at time.Time, volume float64) {
			seq++
			price *= 1 + (random.Float64()-0.5)/200
			ticks = append(ticks, dbtest.Tick{TS: at.Add(time.Duration(random.IntN(60_000)) * time.Millisecond), Symbol: symbol, Price: price, Size: volume, Seq: seq, Venue: "V"})
		}
		for day := first; day < days; day++ {
			midnight := start.AddDate(0, 0, day)
			if session && day > first { // the evening before, at the old price
				trade(midnight.Add(30*time.Minute), shares/20)
			}
			busy := 0.7 + random.Float64()*0.6
			if day == eventful {
				switch kind {
				case "split", "entered", "otherday", "withdrawn", "young":
					price, shares = price/ratio, shares*ratio
				case "overnight":
					price, busy = price/2, busy*16
				case "scale":
					price *= 10 // and as many shares
				case "odd":
					price, shares = price/1.3, shares*1.3
				case "back":
					price /= 2 // opens at a wrong price
				}
			}
			if session {
				trade(midnight.Add(9*time.Hour), shares/20) // before the open, at the new price
			}
			from, span := midnight, 24*time.Hour
			if session {
				from, span = midnight.Add(13*time.Hour+30*time.Minute), 6*time.Hour+30*time.Minute
			}
			for i := range 8 {
				if day == eventful && i == 1 && kind == "back" {
					price *= 2
				}
				if day == eventful && i == 4 {
					switch kind {
					case "crash":
						price /= 2
					case "dearcrash":
						price, busy = price/2, busy*12
					}
				}
				trade(from.Add(span*time.Duration(i)/8), shares*busy)
			}
			if session {
				trade(midnight.Add(21*time.Hour), shares/20)
			}
		}
	}
	exec(t, d, `INSERT INTO sessions (calendar, day, opens, closes, pre_opens, post_closes, kind)
		SELECT 'TEST', g::date, g + INTERVAL '13:30', g + INTERVAL '20:00', g + INTERVAL '8:00', g + INTERVAL '25:00', 'regular'
		FROM generate_series('2024-03-01Z'::timestamptz, '2024-03-31Z', INTERVAL '24 hours') g ON CONFLICT DO NOTHING`)
	insert(t, d, "ticks", ticks)
	d.SettleCandles(t)
	slices.SortFunc(want, func(a, b string) int { return compareBytes(a[1:], b[1:]) })
	for i := range want {
		want[i] = "split " + want[i]
	}
	unchecked(t, d)
	expect := func(when string, want []string) {
		t.Helper()
		if got := findings(t, d, "split"); !slices.Equal(got, want) {
			t.Errorf("%s: got %d findings\n%v\nwant %d\n%v", when, len(got), got, len(want), want)
		}
	}
	// Minute after minute would find the same: each day is judged when it has ended.
	begin := start.AddDate(0, 0, 6)
	for at := begin; !at.After(start.AddDate(0, 0, eventful).Add(19 * time.Hour)); at = at.Add(23 * time.Hour) {
		checkQuality(t, d, at, "{}")
	}
	expect("before the day has ended", nil)
	after := start.AddDate(0, 0, eventful+1).Add(15 * time.Minute)
	checkQuality(t, d, after, "{}")
	expect("after the day", want)
	checkQuality(t, d, after.Add(time.Hour), "{}")
	expect("an hour later", want)

	// Each says by how much, and what a person would enter.
	var near int
	if err := d.Pool.QueryRow(t.Context(), `SELECT count(*) FROM quality_findings f WHERE f.kind = 'split' AND abs(ln(f.value / f.bound)) < ln(1.03)
		AND f.detail LIKE '%as a split of % for % does, and none is known'`).Scan(&near); err != nil || near != len(want) {
		t.Errorf("%d of %d findings say a ratio near what was seen: %v", near, len(want), err)
	}
	// One is entered: it is over. The rest lasts for a week.
	entered := want[0][len("split  ") : len(want[0])-len(" +")]
	exec(t, d, "INSERT INTO corporate_actions (symbol, kind, ex_date, ratio) VALUES ($1, 'split', $2, 2)", entered, exDate)
	checkQuality(t, d, after.Add(2*time.Hour), "{}")
	rest := slices.Clone(want)
	rest[0] = rest[0][:len(rest[0])-len(" +")]
	expect("after one is entered", rest)
	checkQuality(t, d, after.AddDate(0, 0, 8), "{}")
	for i := range rest {
		rest[i] = want[i][:len(want[i])-len(" +")]
	}
	expect("after a week", rest)
}

func compareBytes(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
