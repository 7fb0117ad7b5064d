package replay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is an open file, decompressed as it is read.
type File struct {
	io.Reader
	parquet seekable // of a Parquet file, which is not read from start to end
	name    string
	size    int64
	read    atomic.Int64 // bytes of the file itself
	close   []func() error
}

type seekable interface {
	io.ReaderAt
	io.Seeker
}

// Open opens a file for New. Its first bytes, not its name, determine whether it
// is text or Parquet, plain, gzip, zstd or zip. A zip archive is as many files as
// it has members. The name - is standard input.
func Open(path string) ([]*File, error) {
	if path == "-" {
		return open(os.Stdin, nil, "standard input", 0)
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
	var at seekable
	if info.Mode().IsRegular() {
		at = f
	}
	out, err := open(f, at, path, info.Size())
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	last := out[len(out)-1]
	last.close = append(last.close, f.Close)
	return out, nil
}

// open opens what r reads; at is the same, if it is a file on a disk.
func open(r io.Reader, at seekable, name string, size int64) ([]*File, error) {
	f := &File{name: name, size: size}
	raw := bufio.NewReaderSize(counted{r, &f.read}, 1<<18)
	magic, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("replay %s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")), bytes.HasPrefix(magic, []byte("PK\x05\x06")):
		if at == nil {
			if at, size, err = whole(raw); err != nil {
				return nil, fmt.Errorf("replay %s: %w", name, err)
			}
		}
		return members(at, name, size)
	case bytes.Equal(magic, []byte("PAR1")):
		if at == nil {
			if at, f.size, err = whole(raw); err != nil {
				return nil, fmt.Errorf("replay %s: %w", name, err)
			}
		}
		f.parquet = at
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
	return []*File{f}, nil
}

func whole(r io.Reader) (seekable, int64, error) {
	b, err := io.ReadAll(r)
	return bytes.NewReader(b), int64(len(b)), err
}

// members opens the files of a zip archive.
func members(at io.ReaderAt, name string, size int64) ([]*File, error) {
	z, err := zip.NewReader(at, size)
	if err != nil {
		return nil, fmt.Errorf("replay %s: zip: %w", name, err)
	}
	list := slices.DeleteFunc(z.File, func(m *zip.File) bool {
		return m.FileInfo().IsDir() || strings.HasPrefix(m.Name, "__MACOSX/") || strings.HasPrefix(path.Base(m.Name), ".")
	})
	if slices.ContainsFunc(list, func(m *zip.File) bool { return m.Name == "[Content_Types].xml" }) {
		return nil, fmt.Errorf("replay %s: want text or Parquet, got a workbook; save it as CSV", name)
	}
	// Readme files and reports lie beside the data.
	data := func(m *zip.File) bool {
		return slices.Contains([]string{".csv", ".tsv", ".parquet"}, strings.ToLower(path.Ext(m.Name)))
	}
	if slices.ContainsFunc(list, data) {
		list = slices.DeleteFunc(list, func(m *zip.File) bool { return !data(m) })
	}
	slices.SortFunc(list, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	var out []*File
	for _, m := range list {
		in, err := m.Open()
		if err != nil {
			return nil, fmt.Errorf("replay %s: zip: %w", name, err)
		}
		files, err := open(in, nil, name+":"+m.Name, int64(m.UncompressedSize64))
		if err != nil {
			_ = in.Close()
			return nil, err
		}
		last := files[len(files)-1]
		last.close = append(last.close, in.Close)
		out = append(out, files...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("replay %s: %w", name, errors.New("the archive holds no file"))
	}
	return out, nil
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
