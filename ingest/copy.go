package ingest

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/hypertick/hypertick/feed"
)

// The binary COPY format of PostgreSQL, encoded here: the row interface of pgx
// takes several times the CPU.

const (
	copyTicks = `COPY public.ticks (ts, symbol, price, size, seq, venue, side, flags) FROM STDIN WITH (FORMAT binary)`
	copyLate  = `COPY public.late_ticks (ts, symbol, price, size, seq, venue, side, flags) FROM STDIN WITH (FORMAT binary)`

	// postgresEpoch is 2000-01-01 in Unix microseconds.
	postgresEpoch = 946_684_800_000_000
)

var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// appendRow appends t as a row of the binary format.
func appendRow(b []byte, t *feed.Tick, flags int32) []byte {
	// Number of columns, then length and value of each; the side may be NULL.
	const fixed = 2 + 4 + 8 + 4 + 4 + 8 + 4 + 8 + 4 + 8 + 4 + 4 + 2 + 4 + 4
	n := len(b)
	need := fixed + len(t.Symbol) + len(t.Venue)
	if cap(b)-n < need {
		grown := make([]byte, n, max(2*cap(b), n+need, 4096))
		copy(grown, b)
		b = grown
	}
	b = b[:n+need]
	p := b[n:]
	binary.BigEndian.PutUint16(p, 8)
	binary.BigEndian.PutUint32(p[2:], 8)
	binary.BigEndian.PutUint64(p[6:], uint64(t.TS-postgresEpoch))
	binary.BigEndian.PutUint32(p[14:], uint32(len(t.Symbol)))
	p = p[18+copy(p[18:], t.Symbol):]
	binary.BigEndian.PutUint32(p, 8)
	binary.BigEndian.PutUint64(p[4:], math.Float64bits(t.Price))
	binary.BigEndian.PutUint32(p[12:], 8)
	binary.BigEndian.PutUint64(p[16:], math.Float64bits(t.Size))
	binary.BigEndian.PutUint32(p[24:], 8)
	binary.BigEndian.PutUint64(p[28:], uint64(t.Seq))
	binary.BigEndian.PutUint32(p[36:], uint32(len(t.Venue)))
	p = p[40+copy(p[40:], t.Venue):]
	if t.Side == feed.Unknown {
		binary.BigEndian.PutUint32(p, math.MaxUint32) // NULL
		b, p = b[:len(b)-2], p[4:]
	} else {
		binary.BigEndian.PutUint32(p, 2)
		binary.BigEndian.PutUint16(p[4:], uint16(t.Side))
		p = p[6:]
	}
	binary.BigEndian.PutUint32(p, 4)
	binary.BigEndian.PutUint32(p[4:], uint32(flags))
	return b
}

// copyReader reads header, rows and trailer as one stream.
type copyReader struct {
	bufs [][]byte
}

func (r *copyReader) reset(rows ...[]byte) {
	r.bufs = append(r.bufs[:0], copyHeader)
	r.bufs = append(r.bufs, rows...)
	r.bufs = append(r.bufs, copyTrailer)
}

func (r *copyReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(r.bufs) > 0 {
		c := copy(p[n:], r.bufs[0])
		n += c
		if r.bufs[0] = r.bufs[0][c:]; len(r.bufs[0]) == 0 {
			r.bufs = r.bufs[1:]
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
