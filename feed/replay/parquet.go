package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// openParquet reads a Parquet file as rows of text, by the same rules.
func (r *Replay) openParquet() (err error) {
	defer recovered(&err)
	source, err := file.NewParquetReader(r.file.parquet)
	if err != nil {
		return err
	}
	in, err := pqarrow.NewFileReader(source, pqarrow.ArrowReadProperties{BatchSize: 4096}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := in.Schema()
	if err != nil {
		return err
	}
	var names []string
	for _, f := range schema.Fields() {
		name := f.Name
		if name == "__index_level_0__" { // the index of pandas
			name = "timestamp"
		}
		names = append(names, name)
	}
	c, err := find(names, r.cfg.Kind, r.cfg.Columns)
	if err != nil {
		return err
	}
	open := func() (*parquetRows, error) {
		rr, err := in.GetRecordReader(context.Background(), nil, nil)
		return &parquetRows{in: rr, row: make([]string, len(names))}, err
	}
	first, err := open()
	if err != nil {
		return err
	}
	r.layout = &layout{sets: []*columns{c}, width: len(names), separator: ','}
	for len(r.layout.sample) < 4096 {
		row, err := first.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		r.layout.sample = append(r.layout.sample, append([]string(nil), row...))
	}
	first.in.Release()
	r.rows, err = open()
	return err
}

// recovered turns a panic over a damaged file into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet: %v", p)
	}
}

// parquetRows reads records as rows of text.
type parquetRows struct {
	in   pqarrow.RecordReader
	now  arrow.RecordBatch
	at   int
	n    int
	row  []string
	over bool
}

func (p *parquetRows) Line() int { return p.n }

func (p *parquetRows) Read() (row []string, err error) {
	defer recovered(&err)
	for p.now == nil || p.at >= int(p.now.NumRows()) {
		if p.over || !p.in.Next() {
			p.over = true
			if err := p.in.Err(); err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, io.EOF
		}
		p.now, p.at = p.in.RecordBatch(), 0
	}
	for i := range p.row {
		p.row[i] = cell(p.now.Column(i), p.at)
	}
	p.at++
	p.n++
	return p.row, nil
}

// cell returns a value as text.
func cell(column arrow.Array, at int) string {
	if column.IsNull(at) {
		return ""
	}
	switch c := column.(type) {
	case *array.Timestamp:
		unit := c.DataType().(*arrow.TimestampType)
		return instantText(int64(c.Value(at)), int64(unit.Unit.Multiplier()), unit.TimeZone != "")
	case *array.Date32:
		return time.Unix(int64(c.Value(at))*86_400, 0).UTC().Format(time.DateOnly)
	case *array.Date64:
		return time.UnixMilli(int64(c.Value(at))).UTC().Format(time.DateOnly)
	case *array.Float64:
		return float(c.Value(at), 64)
	case *array.Float32:
		return float(float64(c.Value(at)), 32)
	case *array.Int64:
		return strconv.FormatInt(c.Value(at), 10)
	case *array.String:
		return c.Value(at)
	}
	return column.ValueStr(at)
}

func float(v float64, bits int) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, bits) // a time must keep its digits
}

// instantText writes a time of so many units of unit nanoseconds.
func instantText(v, unit int64, utc bool) string {
	per := int64(time.Second) / unit
	seconds, rest := v/per, v%per
	if rest < 0 {
		seconds, rest = seconds-1, rest+per
	}
	layout := "2006-01-02T15:04:05.999999999"
	if utc {
		layout += "Z"
	}
	return time.Unix(seconds, rest*unit).UTC().Format(layout)
}
