package api

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// kind is what the bytes of a column are.
type kind uint8

const (
	kindText kind = iota
	kindFloat
	kindInt
	kindTime
	kindBool
	kindNumber // a number as text: numeric
)

type column struct {
	name string
	kind kind
}

// table is rows as the database sent them, in its binary format. JSON, CSV and
// Arrow are made of it directly: no Go value per cell, no reflection.
type table struct {
	columns []column
	// nested is the name of the JSON object that holds all columns but the
	// first; none when empty.
	nested string
	cells  []cell // row by row
	data   []byte
}

// cell is a range of data; its length is -1 for null.
type cell struct{ at, n int32 }

func newTable(columns []column, rows int) *table {
	return &table{
		columns: columns, cells: make([]cell, 0, rows*len(columns)), data: make([]byte, 0, rows*len(columns)*8),
	}
}

func (t *table) rows() int {
	if len(t.columns) == 0 {
		return 0
	}
	return len(t.cells) / len(t.columns)
}

// row is the cells of row i.
func (t *table) row(i int) []cell {
	w := len(t.columns)
	return t.cells[i*w : (i+1)*w]
}

func (t *table) bytes(c cell) []byte { return t.data[c.at : c.at+c.n] }

// read takes all rows. More values than columns are left out.
func (t *table) read(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		for i, v := range rows.RawValues() {
			if i < len(t.columns) {
				t.put(v)
			}
		}
	}
	return rows.Err()
}

// put adds the next cell; nil is null.
func (t *table) put(v []byte) {
	c := cell{int32(len(t.data)), -1}
	if v != nil {
		t.data, c.n = append(t.data, v...), int32(len(v))
	}
	t.cells = append(t.cells, c)
}

// keep leaves only the rows from i to before j.
func (t *table) keep(i, j int) {
	w := len(t.columns)
	t.cells = t.cells[i*w : j*w]
}

// reverse turns the order of the rows round.
func (t *table) reverse() {
	slices.Reverse(t.cells)
	for i := range t.rows() {
		slices.Reverse(t.row(i))
	}
}

// widen adds a column that is null in every row so far.
func (t *table) widen(c column) {
	n, w := t.rows(), len(t.columns)
	cells := make([]cell, 0, cap(t.cells)+n)
	for i := range n {
		cells = append(append(cells, t.cells[i*w:(i+1)*w]...), cell{n: -1})
	}
	t.columns, t.cells = append(slices.Clone(t.columns), c), cells
}

// float reads a float cell; a null is not a number.
func (t *table) float(c cell) float64 {
	switch b := t.data; c.n {
	case 8:
		return math.Float64frombits(binary.BigEndian.Uint64(b[c.at:]))
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[c.at:])))
	}
	return math.NaN()
}

func (t *table) int(c cell) int64 {
	switch b := t.data; c.n {
	case 8:
		return int64(binary.BigEndian.Uint64(b[c.at:]))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b[c.at:])))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b[c.at:])))
	}
	return 0
}

// epoch is where the database counts its microseconds from, 2000-01-01.
const epoch = 946_684_800_000_000

// micros reads a time cell. The ends of time are those of the contract.
func (t *table) micros(c cell) int64 {
	us := t.int(c)
	if us > maxMicros-epoch {
		return maxMicros
	}
	return max(us+epoch, minMicros)
}

func (t *table) bool(c cell) bool { return c.n == 1 && t.data[c.at] != 0 }

// columnsOf describes the columns of a result.
func columnsOf(fields []pgconn.FieldDescription) []column {
	out := make([]column, len(fields))
	for i, f := range fields {
		out[i] = column{f.Name, kindOf(f.DataTypeOID)}
	}
	return out
}

func kindOf(oid uint32) kind {
	switch oid {
	case pgtype.Float8OID, pgtype.Float4OID:
		return kindFloat
	case pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID:
		return kindInt
	case pgtype.TimestamptzOID:
		return kindTime
	case pgtype.BoolOID:
		return kindBool
	case pgtype.NumericOID:
		return kindNumber
	}
	return kindText
}

func (k kind) String() string {
	switch k {
	case kindFloat, kindInt, kindNumber:
		return "number"
	case kindTime:
		return "time"
	case kindBool:
		return "boolean"
	case kindText:
		return "text"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
