package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxUnpacked bounds the bytes to which a batch may be decompressed.
	maxUnpacked = 32 << 20
	// maxBatchMemory bounds what a batch takes in memory, with recordMemory for
	// each of its records: a batch of empty records is small until it is decoded.
	maxBatchMemory = 48 << 20
	recordMemory   = 192
	// maxMemory bounds what all batches take together. A fetch may bring hundreds
	// that are each small enough.
	maxMemory = 48 << 20
)

// errNoMemory: the batch is fetched again when others are written.
var errNoMemory = errors.New("the batches in memory leave no room")

// memory is what the decompressed batches of a process take.
type memory struct {
	used      atomic.Int64
	mu        sync.Mutex // one garbage collection at a time
	collected time.Time
}

// take reserves n bytes.
func (m *memory) take(n int64) bool {
	if m.fits(n) {
		return true
	}
	m.collect() // batches that are written are garbage, but still count
	return m.fits(n)
}

func (m *memory) collect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.collected) > 20*time.Millisecond {
		runtime.GC()
		m.collected = time.Now()
	}
}

func (m *memory) fits(n int64) bool {
	for {
		used := m.used.Load()
		if used > 0 && used+n > maxMemory {
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// unpacker decompresses batches within bounds. The decompressor of the client
// bounds single batches and no more.
type unpacker struct {
	memory *memory
	zstd   sync.Pool
	pieces sync.Pool
}

// piece is what is decompressed at once: a buffer that grows would take three
// times the memory.
type piece [512 << 10]byte

func newUnpacker(m *memory) *unpacker {
	return &unpacker{
		memory: m,
		pieces: sync.Pool{New: func() any { return new(piece) }},
		zstd: sync.Pool{New: func() any {
			z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
			if err != nil {
				return err // of the options
			}
			return z
		}},
	}
}

// Decompress is called by the client. The result belongs to its records.
func (u *unpacker) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case kgo.CodecGzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(src)); err == nil {
			out, err = u.read(r)
		}
	case kgo.CodecLz4:
		out, err = u.read(lz4.NewReader(bytes.NewReader(src)))
	case kgo.CodecZstd:
		out, err = u.unzstd(src)
	case kgo.CodecSnappy:
		out, err = unsnap(nil, src)
	default:
		err = fmt.Errorf("unknown codec %d", codec)
	}
	if err != nil || len(out) == 0 {
		return out, err
	}
	cost := int64(len(out)) + recordMemory*int64(countRecords(out))
	if cost > maxBatchMemory {
		return nil, fmt.Errorf("%w: its records would take %d MiB", kgo.ErrMaxDecompress, cost>>20)
	}
	if !u.memory.take(cost) {
		return nil, errNoMemory
	}
	runtime.AddCleanup(&out[0], func(n int64) { u.memory.used.Add(-n) }, cost)
	return out, nil
}

func (u *unpacker) unzstd(src []byte) ([]byte, error) {
	pooled := u.zstd.Get()
	z, ok := pooled.(*zstd.Decoder)
	if !ok {
		return nil, fmt.Errorf("create zstd decoder: %w", pooled.(error))
	}
	defer u.zstd.Put(z)
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	out, err := u.read(z)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	return out, err
}

// read reads r in pieces, and puts them together.
func (u *unpacker) read(r io.Reader) ([]byte, error) {
	var pieces []*piece
	defer func() {
		for i, p := range pieces {
			if i < 4 { // more are rare, and would stay
				u.pieces.Put(p)
			}
		}
		if len(pieces) >= 16 { // so much garbage in a row would be as much again
			pieces = nil
			u.memory.collect()
		}
	}()
	total := 0
	for {
		p := u.pieces.Get().(*piece)
		pieces = append(pieces, p)
		n, err := fill(r, p[:])
		total += n
		switch {
		case total > maxUnpacked:
			return nil, kgo.ErrMaxDecompress
		case errors.Is(err, io.EOF):
			out := make([]byte, total)
			for i, p := range pieces {
				copy(out[i*len(p):], p[:])
			}
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

// fill reads until b is full. Unlike io.ReadFull, it tells the end of r from an
// end that r did not expect.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if n == len(b) {
		return n, nil
	}
	return n, err
}

// xerial precedes the blocks of the Java client: magic, version, compatible
// version.
var xerial = []byte("\x82SNAPPY\x00")

func unsnap(dst, src []byte) ([]byte, error) {
	if len(src) <= 16 || !bytes.HasPrefix(src, xerial) {
		return unsnapBlock(dst, src)
	}
	for src = src[16:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if dst, err = unsnapBlock(dst, src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return dst, nil
}

// unsnapBlock appends a block to dst.
func unsnapBlock(dst, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src) // of the header: nothing is allocated yet
	if err != nil {
		return nil, err
	}
	// Three bytes make 64 at most, so a larger claim is a lie.
	if n > maxUnpacked-len(dst) || n > 64*len(src) {
		return nil, kgo.ErrMaxDecompress
	}
	dst = slices.Grow(dst, n)
	if _, err := s2.Decode(dst[len(dst):len(dst)+n], src); err != nil {
		return nil, err
	}
	return dst[:len(dst)+n], nil
}

// countRecords counts the records of a batch by their lengths.
func countRecords(b []byte) (n int) {
	for len(b) > 0 {
		size, w := binary.Varint(b)
		if w <= 0 || size < 0 || size > int64(len(b)-w) {
			return n + 1
		}
		b = b[int64(w)+size:]
		n++
	}
	return n
}

// softMemory is where the collector begins to work harder: below what ingest may
// take (256 MiB), by what is not on the heap. Bombs are garbage as soon as they are
// read, and on a busy machine they are made faster than it is collected.
const softMemory = 200 << 20

// BoundMemory gives this process a soft limit of memory, unless GOMEMLIMIT does. It is
// for a process that does nothing but ingest.
func BoundMemory() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(softMemory)
	}
}
