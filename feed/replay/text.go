package replay

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// sampleSize is how much of a file is read before the first row, to recognise it.
const sampleSize = 1 << 18

// plainText returns text as UTF-8 without a byte order mark, with lines that end in
// \n, and its first bytes.
func plainText(in io.Reader, wait bool) (*bufio.Reader, []byte, error) {
	r := bufio.NewReaderSize(in, sampleSize)
	start, err := peek(r, wait)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\ufeff")):
		if _, err := r.Discard(len("\ufeff")); err != nil {
			return nil, nil, err
		}
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		if _, err := r.Discard(2); err != nil {
			return nil, nil, err
		}
		r = bufio.NewReaderSize(&wide{in: r, big: start[0] == 0xfe}, sampleSize)
	}
	if start, err = peek(r, wait); err != nil {
		return nil, nil, err
	}
	if bytes.IndexByte(start, '\r') >= 0 && bytes.IndexByte(start, '\n') < 0 {
		r = bufio.NewReaderSize(returns{r}, sampleSize)
		start, err = peek(r, wait)
	}
	return r, start, err
}

// peek returns the first bytes. wait is false for a pipe, which may be slow:
// then some lines are enough.
func peek(r *bufio.Reader, wait bool) ([]byte, error) {
	if wait {
		start, err := r.Peek(sampleSize)
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		return start, err
	}
	for n := 1; ; n = r.Buffered() + 1 {
		_, err := r.Peek(n)
		start, _ := r.Peek(r.Buffered())
		if errors.Is(err, io.EOF) || len(start) >= 4096 || bytes.Count(start, []byte{'\n'}) > 2 {
			return start, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// returns turns \r into \n.
type returns struct{ io.Reader }

func (r returns) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	for i := range p[:n] {
		if p[i] == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// wide reads UTF-16.
type wide struct {
	in   *bufio.Reader
	big  bool
	rest []byte
}

func (w *wide) Read(p []byte) (n int, err error) {
	for n == 0 || n+utf8.UTFMax <= len(p) && w.in.Buffered() >= 4 {
		if len(w.rest) == 0 {
			r, err := w.unit()
			if err == nil && utf16.IsSurrogate(r) {
				var second rune
				second, err = w.unit()
				r = utf16.DecodeRune(r, second)
			}
			if err != nil {
				return n, err
			}
			w.rest = utf8.AppendRune(w.rest[:0], r)
		}
		c := copy(p[n:], w.rest)
		n, w.rest = n+c, w.rest[c:]
		if len(p) == n {
			break
		}
	}
	return n, nil
}

func (w *wide) unit() (rune, error) {
	a, err := w.in.ReadByte()
	if err != nil {
		return 0, err
	}
	b, err := w.in.ReadByte()
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	if w.big {
		a, b = b, a
	}
	return rune(a) | rune(b)<<8, nil
}
