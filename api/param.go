package api

import (
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/instrument"
)

// RangeQuery asks for a page of a time range. Exported as SymbolPath is.
type RangeQuery struct {
	From   Time   `query:"from" doc:"Start, inclusive. With it, pages go forward in time; without it, the newest rows come first, and each next page lies before the last. RFC 3339; write the + of an offset as %2B." example:"2026-11-24T09:30:00Z"`
	To     Time   `query:"to" doc:"End, exclusive. Without it, there is none." example:"2026-11-24T16:00:00Z"`
	Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"500" doc:"Rows in a page." example:"100"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
}

// Time is a parameter that may be absent.
type Time struct {
	time.Time
	set bool
}

// UnmarshalText reads RFC 3339. What the database stores has microseconds, so
// a bound between two of them means the later one.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return errors.New("want RFC 3339 like 2026-11-24T09:30:00Z")
	}
	v = v.UTC()
	if up := v.Truncate(time.Microsecond); !up.Equal(v) {
		v = up.Add(time.Microsecond)
	}
	t.Time, t.set = v, true
	return nil
}

// Schema describes it in the OpenAPI document.
func (t Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

const wantDay = "want a day such as 2022-06-09"

// Date is a day of a query that may be absent.
type Date struct{ pgtype.Date }

// UnmarshalText reads a day.
func (d *Date) UnmarshalText(b []byte) error {
	t, ok := instrument.ParseDay(string(b))
	if !ok {
		return errors.New(wantDay)
	}
	d.Date = instrument.Day(t)
	return nil
}

// Schema describes it in the OpenAPI document.
func (Date) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

// page is the body of every list.
type page[T any] struct {
	Data []T    `json:"data" nullable:"false" doc:"The rows."`
	Next string `json:"next,omitempty" doc:"Pass it as cursor for the next page. Absent on the last one."`
}

// span is the time range of a query and the position in it to resume from.
type span struct {
	from, to *time.Time
	at       *position
}

// position is the last row that was answered; exclusive.
type position struct {
	TS    int64  `json:"t"`
	Seq   int64  `json:"q,omitempty"`
	Venue string `json:"v,omitempty"`
}

func (p *position) time() time.Time { return time.UnixMicro(p.TS).UTC() }

// forward reports whether pages go forward in time.
func (s *span) forward() bool { return s.from != nil }

// span reads the bounds and the cursor, which belongs to kind.
func (q *RangeQuery) span(kind, symbol, interval string) (span, error) {
	var s span
	if q.From.set {
		s.from = &q.From.Time
	}
	if q.To.set {
		s.to = &q.To.Time
	}
	if q.Cursor != "" {
		c, err := parseCursor(q.Cursor)
		if err != nil {
			return s, invalid("query.cursor", err.Error(), q.Cursor)
		}
		if err := c.fits(kind, symbol, interval); err != nil {
			return s, invalid("query.cursor", err.Error(), q.Cursor)
		}
		if !sameBound(s.from, c.From) {
			return s, invalid("query.cursor", "belongs to a query with another from", q.Cursor)
		}
		if !sameBound(s.to, c.To) {
			return s, invalid("query.cursor", "belongs to a query with another to", q.Cursor)
		}
		s.from, s.to, s.at = fromMicros(c.From), fromMicros(c.To), c.At
	}
	if s.from != nil && s.to != nil && !s.from.Before(*s.to) {
		return s, invalid("query.from", "want a time before to", s.from.Format(time.RFC3339Nano))
	}
	return s, nil
}

// next is c, after the row at.
func (s *span) next(c cursor, at position) string {
	c.At = &at
	if s.from != nil {
		c.From = ptr(s.from.UnixMicro())
	}
	if s.to != nil {
		c.To = ptr(s.to.UnixMicro())
	}
	return c.String()
}

// sameBound reports whether a bound equals the cursor's, or is not given.
func sameBound(given *time.Time, cursor *int64) bool {
	return given == nil || cursor != nil && given.UnixMicro() == *cursor
}

func fromMicros(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := time.UnixMicro(*us).UTC()
	return &t
}
