package api

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// utcMicros is the type of every time: the precision of the database.
var utcMicros = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

func (k kind) arrow() arrow.DataType {
	switch k {
	case kindFloat, kindNumber:
		return arrow.PrimitiveTypes.Float64
	case kindInt:
		return arrow.PrimitiveTypes.Int64
	case kindTime:
		return utcMicros
	case kindBool:
		return arrow.FixedWidthTypes.Boolean
	case kindText:
	}
	return arrow.BinaryTypes.String
}

// arrowStream makes an Arrow IPC stream of one batch; of none when there is no
// row, and then the schema still tells the columns.
func (t *table) arrowStream() ([]byte, error) {
	fields := make([]arrow.Field, len(t.columns))
	for i, c := range t.columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.kind.arrow(), Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(schema))
	if n := t.rows(); n > 0 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		b.Reserve(n)
		for i, c := range t.columns {
			t.build(b.Field(i), c.kind, i)
		}
		batch := b.NewRecordBatch()
		defer batch.Release()
		if err := w.Write(batch); err != nil {
			return nil, fmt.Errorf("write arrow batch: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end arrow stream: %w", err)
	}
	return buf.Bytes(), nil
}

// build fills the builder with column i.
func (t *table) build(b array.Builder, k kind, i int) {
	w := len(t.columns)
	for at := i; at < len(t.cells); at += w {
		c := t.cells[at]
		if c.n < 0 {
			b.AppendNull()
			continue
		}
		switch k {
		case kindFloat:
			b.(*array.Float64Builder).Append(t.float(c))
		case kindNumber:
			f, err := strconv.ParseFloat(string(t.bytes(c)), 64)
			if err != nil {
				f = math.NaN()
			}
			b.(*array.Float64Builder).Append(f)
		case kindInt:
			b.(*array.Int64Builder).Append(t.int(c))
		case kindTime:
			b.(*array.TimestampBuilder).Append(arrow.Timestamp(t.micros(c)))
		case kindBool:
			b.(*array.BooleanBuilder).Append(t.bool(c))
		case kindText:
			b.(*array.StringBuilder).Append(string(t.bytes(c)))
		}
	}
}
