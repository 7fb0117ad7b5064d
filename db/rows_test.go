package db

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// recorder is a database that answers no query and remembers the last.
type recorder struct {
	DBTX
	sql  string
	args []any
}

var errRecorded = errors.New("recorded")

func (r *recorder) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.sql, r.args = sql, args
	return nil, errRecorded
}

// sameQuery calls a generated method and its raw twin with one argument whose
// fields all differ.
func sameQuery[A, R any](t *testing.T, name string, generated func(*Queries, context.Context, A) ([]R, error), raw func(*Queries, context.Context, A) (pgx.Rows, error)) {
	t.Helper()
	var arg A
	for i := range reflect.TypeFor[A]().NumField() {
		setOf(t, reflect.ValueOf(&arg).Elem().Field(i), i+1)
	}
	want, got := &recorder{}, &recorder{}
	if _, err := generated(New(want), t.Context(), arg); !errors.Is(err, errRecorded) {
		t.Fatalf("%s: %v", name, err)
	}
	if _, err := raw(New(got), t.Context(), arg); !errors.Is(err, errRecorded) { //nolint:sqlclosecheck // there are no rows
		t.Fatalf("%s: %v", name, err)
	}
	if len(got.args) == 0 || !reflect.DeepEqual(got.args[0], rawFormats) {
		t.Fatalf("%s: got arguments %v, want the formats first", name, got.args)
	}
	if got.sql != want.sql || !reflect.DeepEqual(got.args[1:], want.args) {
		t.Errorf("%s: got %v of %s\nwant %v of %s", name, got.args[1:], got.sql, want.args, want.sql)
	}
}

// set gives a field a value that goes with n.
func setOf(t *testing.T, v reflect.Value, n int) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(n), 0)))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setOf(t, v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	case v.Kind() == reflect.String:
		v.SetString(strconv.Itoa(n))
	case v.CanInt():
		v.SetInt(int64(n))
	default:
		t.Fatalf("no value for %v", v.Type())
	}
}

func TestRows(t *testing.T) {
	sameQuery(t, "candles", (*Queries).Candles, (*Queries).CandleRows)
	sameQuery(t, "indicator values", (*Queries).IndicatorValues, (*Queries).IndicatorRows)
	sameQuery(t, "ticks after", (*Queries).TicksAfter, (*Queries).TickRowsAfter)
	sameQuery(t, "ticks before", (*Queries).TicksBefore, (*Queries).TickRowsBefore)
	sameQuery(t, "alert events", (*Queries).AlertEvents, (*Queries).AlertEventRows)
	sameQuery(t, "verify candles", (*Queries).VerifyCandles, (*Queries).VerifyCandleRows)
	sameQuery(t, "verify blocks", (*Queries).VerifyBlocks, (*Queries).VerifyBlockRows)
	sameQuery(t, "verify seqs", (*Queries).VerifySeqs, (*Queries).VerifySeqRows)
}
