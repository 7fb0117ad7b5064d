package instrument_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/instrument"
)

// TestParseRatio checks ratios against those that people worked out.
func TestParseRatio(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]float64{
		"4": 4, "0.1": 0.1, "4:1": 4, "1:10": 0.1, "3:2": 1.5, "1e1": 10, "20:1": 20,
		"": 0, "1": 0, "5:5": 0, "0": 0, "-2": 0, "4:0": 0, "0:4": 0, "1e6": 0, "1e-7": 0, "NaN": 0, "inf": 0, "0x10": 0, "1_0": 0, "4:1:1": 0, "four": 0, ":": 0, "4:": 0,
	} {
		if got, ok := instrument.ParseRatio(in); ok != (want != 0) || ok && got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, ok, want)
		}
	}
}

// TestStore imports random files, the same and changed ones, in random order. The
// actions in force are the newest of each symbol, kind and day; what was in force
// before each import can still be asked for; an import again adds nothing.
func TestStore(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	pool, err := db.Open(t.Context(), d.URLAs(t, "hypertick_operator"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	q := db.New(pool)
	random := rand.New(rand.NewPCG(13, 4))
	type state map[string]float64
	model := state{}
	in := func(at *time.Time) state {
		t.Helper()
		rows, err := q.CorporateActions(t.Context(), db.CorporateActionsParams{AsOf: at, MaxRows: 10000})
		if err != nil {
			t.Fatal(err)
		}
		out := state{}
		for _, r := range rows {
			k := fmt.Sprint(r.Symbol, " ", r.Kind, " ", r.ExDate.Time.Format(time.DateOnly))
			if _, twice := out[k]; twice {
				t.Fatalf("%s is in force twice", k)
			}
			switch {
			case r.Ratio != nil:
				out[k] = *r.Ratio
			default:
				out[k] = *r.Cash
			}
		}
		return out
	}
	var moments []time.Time
	var states []state
	for round := range 40 {
		at, err := q.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moments, states = append(moments, at), append(states, maps.Clone(model))
		file, want := &strings.Builder{}, map[string]float64{}
		fmt.Fprintln(file, "symbol,kind,ex_date,ratio,cash")
		for range random.IntN(30) {
			symbol, day := string(rune('A'+random.IntN(4))), time.Date(2020, 1, 1+random.IntN(5), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			kind, value := []string{"split", "dividend"}[random.IntN(2)], float64(2+random.IntN(3))
			k := symbol + " " + kind + " " + day
			if old, twice := want[k]; twice {
				value = old
			}
			want[k] = value
			if kind == "split" {
				fmt.Fprintf(file, "%s,split,%s,%v:1,\n", symbol, day, value)
			} else {
				fmt.Fprintf(file, "%s,dividend,%s,,%v\n", symbol, day, value)
			}
		}
		actions, bad, err := instrument.ReadActions(strings.NewReader(file.String()))
		if err != nil || len(bad) > 0 {
			t.Fatalf("%v %v in\n%s", err, bad, file)
		}
		added, replaced := 0, 0
		for k, v := range want {
			if old, there := model[k]; !there || old != v {
				added++
				if there {
					replaced++
				}
			}
		}
		done := store(t.Context(), t, pool, actions)
		if len(done.Added) != added || len(done.IDs) != added || len(done.Replaced) != replaced || done.Known != len(actions)-added {
			t.Fatalf("round %d: added %d, replaced %d, known %d of %d; want %d and %d added and replaced", round, len(done.Added), len(done.Replaced), done.Known, len(actions), added, replaced)
		}
		maps.Copy(model, want)
		random.Shuffle(len(actions), func(i, j int) { actions[i], actions[j] = actions[j], actions[i] })
		if again := store(t.Context(), t, pool, actions); len(again.Added) != 0 || again.Known != len(actions) {
			t.Fatalf("round %d: an import again adds %v", round, again.Added)
		}
		if got := in(nil); !maps.Equal(got, model) {
			t.Fatalf("round %d: in force are %v, want %v", round, got, model)
		}
	}
	for i, at := range moments {
		if got := in(&at); !maps.Equal(got, states[i]) {
			t.Errorf("as of the start of round %d: got %v, want %v", i, got, states[i])
		}
	}
}

func store(ctx context.Context, t *testing.T, pool interface {
	Begin(context.Context) (pgx.Tx, error)
}, actions []instrument.Action) (done *instrument.Stored) {
	t.Helper()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		done, err = instrument.Store(ctx, db.New(tx), actions, "test")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestChanges imports random files of instruments: what a file says is known then,
// what it does not say stays, and an import again changes nothing.
func TestChanges(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	pool, err := db.Open(t.Context(), d.URLAs(t, "hypertick_operator"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	random := rand.New(rand.NewPCG(13, 6))
	values := map[string][]string{
		"name": {"One", "Two, \"quoted\"", "Três"}, "kind": {"equity", "etf"}, "currency": {"USD", "EUR"}, "price_step": {"0.01", "0.5"},
		"active_from": {"2001-02-03", "2002-03-04"}, "active_to": {"2020-01-01", "2021-01-01"}, "former": {"X Y until 2010-01-01", "P until 2011-01-01; Q until 2012-01-01"},
	}
	columns := slices.Sorted(maps.Keys(values))
	model := map[string]map[string]string{}
	for round := range 30 {
		lines := "symbol," + strings.Join(columns, ",") + "\n"
		for _, symbol := range []string{"A", "B", "C"} {
			if random.IntN(3) == 0 {
				continue
			}
			if model[symbol] == nil {
				model[symbol] = map[string]string{"kind": "other"}
			}
			lines += symbol
			for _, c := range columns {
				v := ""
				if random.IntN(2) == 0 {
					v = values[c][random.IntN(len(values[c]))]
					model[symbol][c] = v
				}
				lines += `,"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
			lines += "\n"
		}
		for again := range 2 {
			changes, bad, err := instrument.ReadChanges(strings.NewReader(lines))
			if err != nil || len(bad) > 0 {
				t.Fatalf("%v %v in\n%s", err, bad, lines)
			}
			for i := range changes {
				if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					did, err := instrument.Apply(t.Context(), db.New(tx), &changes[i].Change)
					if did && again > 0 {
						t.Errorf("round %d: an import again changes %s", round, changes[i].Symbol)
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := map[string]map[string]string{}
		rows, err := pool.Query(t.Context(), `SELECT i.symbol, ARRAY[i.active_from::text, i.active_to::text, i.currency,
			(SELECT string_agg(f.former || ' until ' || f.until, '; ' ORDER BY f.until) FROM former_symbols f WHERE f.symbol = i.symbol),
			i.kind, i.name, i.price_step::text] FROM instruments i`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var symbol string
			var cells []*string
			if err := rows.Scan(&symbol, &cells); err != nil {
				t.Fatal(err)
			}
			got[symbol] = map[string]string{}
			for i, c := range cells {
				if c != nil {
					got[symbol][columns[i]] = *c
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(model) {
			t.Fatalf("round %d: got %v, want %v", round, got, model)
		}
	}
}

// FuzzRead reads anything: what is accepted is valid, and nothing is left out silently.
func FuzzRead(f *testing.F) {
	f.Add("symbol,kind,ex_date,ratio,cash\nAAPL,split,2020-08-31,4:1,\n#A,dividend,2020-08-07,,0.82\n")
	f.Add("symbol,name,kind,price_step,active_from,former\nMETA,\"Meta, Inc\",equity,0.01,2012-05-18,FB until 2022-06-09; X until Y until 2001-01-01\n")
	f.Fuzz(func(t *testing.T, text string) {
		actions, bad, err := instrument.ReadActions(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			if a.Kind == instrument.Split && !instrument.ValidRatio(a.Value) || a.Kind == instrument.Dividend && !instrument.ValidCash(a.Value) || a.ExDate.Year() < 1900 {
				t.Errorf("%q is accepted: %v", text, a)
			}
		}
		if len(bad) == 0 && len(actions) == 0 && strings.Count(strings.TrimSpace(text), "\n") > 0 && !strings.ContainsAny(text, "\"\r") {
			t.Errorf("%q has lines and is accepted as none", text)
		}
		changes, _, err := instrument.ReadChanges(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for i := range changes {
			if changes[i].Line < 2 {
				t.Errorf("%q: line %d", text, changes[i].Line)
			}
		}
	})
}

// TestReadMalformed reads what is no file of actions.
func TestReadMalformed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "1: want a header",
		"symbol,kind,ex_date\n\"A":     "extraneous or missing",
		"symbol,ex_date\n":             `1: column "kind": want the column in the header`,
		"symbol,symbol,kind,ex_date\n": `1: column "symbol": want the column once`,
		"symbol,kind,ex_date\n\nA\n":   "3: want 3 fields, got 1",
	} {
		_, bad, err := instrument.ReadActions(strings.NewReader(text))
		if err != nil || len(bad) == 0 || !strings.Contains(bad[0].Error(), want) {
			t.Errorf("%q: got %v, %v; want %q", text, bad, err, want)
		}
	}
	if v := math.NaN(); instrument.ValidRatio(v) || instrument.ValidCash(v) || instrument.ValidCash(math.Inf(1)) {
		t.Error("a value that is no number is valid")
	}
}
