package ingest

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/internal/wait"
)

// What the client's compressors write is read as the client's decompressor reads
// it, and counted in memory until it is garbage.
func TestUnpack(t *testing.T) {
	u := newUnpacker(new(memory))
	text := bytes.Repeat([]byte("\x10twelve bytes"), 100_000)
	for codec, level := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		for _, size := range []int{1, 100, len(piece{}), len(piece{}) + 1, len(text)} {
			c, err := kgo.DefaultCompressor(level)
			if err != nil {
				t.Fatal(err)
			}
			small, kind := c.Compress(new(bytes.Buffer), text[:size])
			small = bytes.Clone(small)
			if kind == kgo.CodecNone {
				continue
			}
			want, err := kgo.DefaultDecompressor().Decompress(small, kind)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.Decompress(small, kind)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: %v, %d bytes", codec, size, err, len(got))
			}
			if size == len(text) {
				// A cut stream is an error, not a shorter text.
				if got, err := u.Decompress(small[:len(small)/2], kind); err == nil {
					t.Errorf("%s, cut: %d bytes and no error", codec, len(got))
				}
			}
		}
	}
	wait.Equal(t, "bytes that count while all is garbage", 0, func() int64 {
		runtime.GC()
		return u.memory.used.Load()
	})
	big, _ := kgo.DefaultCompressor(kgo.ZstdCompression())
	small, kind := big.Compress(new(bytes.Buffer), make([]byte, maxUnpacked+1))
	if _, err := u.Decompress(small, kind); !errors.Is(err, kgo.ErrMaxDecompress) {
		t.Errorf("a byte too many: %v", err)
	}
}

// One batch always fits; the next waits until it is garbage.
func TestMemory(t *testing.T) {
	m := new(memory)
	if !m.take(maxMemory + 1) {
		t.Error("a batch does not fit into empty memory")
	}
	if m.take(1) {
		t.Error("full memory takes more")
	}
	m.used.Add(-maxMemory - 1)
	if !m.take(1) || !m.take(maxMemory-1) {
		t.Error("memory that is free takes no more")
	}
}
