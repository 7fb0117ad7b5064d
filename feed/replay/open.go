package replay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is an open file, decompressed as it is read.
type File struct {
	io.Reader
	name  string
	size  int64
	read  atomic.Int64 // bytes of the file itself
	close []func() error
}

// Open opens a file for New. Its first bytes, not its name, determine whether it
// is plain, gzip or zstd. The name - is standard input.
func Open(path string) (*File, error) {
	if path == "-" {
		return open(os.Stdin, "standard input", 0)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("replay: %w", err)
	}
	out, err := open(f, path, info.Size())
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	out.close = append(out.close, f.Close)
	return out, nil
}

func open(r io.Reader, name string, size int64) (*File, error) {
	f := &File{name: name, size: size}
	raw := bufio.NewReaderSize(counted{r, &f.read}, 1<<18)
	magic, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("replay %s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("replay %s: gzip: %w", name, err)
		}
		f.Reader, f.close = z, append(f.close, z.Close)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("replay %s: zstd: %w", name, err)
		}
		f.Reader, f.close = z, append(f.close, func() error { z.Close(); return nil })
	default:
		f.Reader = raw
	}
	return f, nil
}

// Name returns the name of the file for errors.
func (f *File) Name() string { return f.name }

// Progress returns how many bytes of the file, as it lies on the disk, have
// been read, and their total: 0 if it is not known.
func (f *File) Progress() (done, total int64) { return f.read.Load(), f.size }

// Close closes the file, except standard input.
func (f *File) Close() error {
	var first error
	for _, c := range f.close {
		if err := c(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
