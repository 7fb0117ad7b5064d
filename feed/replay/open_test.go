package replay_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	var gz, zst bytes.Buffer
	z := gzip.NewWriter(&gz)
	io.WriteString(z, sp500)
	z.Close()
	s, _ := zstd.NewWriter(&zst)
	io.WriteString(s, sp500)
	s.Close()
	for name, content := range map[string][]byte{"plain.gz": []byte(sp500), "gzip.csv": gz.Bytes(), "zstd": zst.Bytes()} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := replay.Open(path)
		if err != nil || len(files) != 1 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		f := files[0]
		r, err := replay.New(replay.Config{Symbol: "SPX"}, f)
		if err != nil {
			t.Fatal(err)
		}
		n, done, total := 0, int64(0), int64(0)
		err = r.Run(t.Context(), func(*feed.Tick) error { n++; return nil }, func(d, all int64) { done, total = d, all })
		if err != nil || n != 12 || done != total || total != int64(len(content)) {
			t.Errorf("%s: %d ticks, %d of %d bytes, %v", name, n, done, total, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, gz.Bytes()[:gz.Len()-20], 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := replay.Open(cut)
	if err != nil {
		t.Fatal(err)
	}
	defer files[0].Close()
	r, err := replay.New(replay.Config{Symbol: "SPX", SkipBad: true}, files[0])
	if err == nil {
		err = r.Run(t.Context(), func(*feed.Tick) error { return nil }, nil)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), cut) {
		t.Errorf("a file cut short: %v", err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), dir} {
		if _, err := replay.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestZip reads an archive of several files.
func TestZip(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, m := range []struct{ name, text string }{
		{"2.csv", "time,price\n2024-01-02,2\n"}, {"1.csv", "time,price\n2024-01-01,1\n"}, {"readme.txt", "no data"}, {"__MACOSX/1.csv", "x"}, {"sub/", ""},
	} {
		w, err := z.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.text)
	}
	z.Close()
	path := filepath.Join(t.TempDir(), "f.zip")
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := replay.Open(path)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, f := range files {
		r, err := replay.New(replay.Config{Symbol: "X"}, f)
		if err != nil {
			t.Fatal(err)
		}
		var got []feed.Tick
		err = r.Run(t.Context(), func(k *feed.Tick) error { got = append(got, *k); return nil }, nil)
		if err != nil || len(got) != 1 || got[0].Price != float64(i+1) || f.Name() != fmt.Sprintf("%s:%d.csv", path, i+1) {
			t.Errorf("%s: %+v, %v", f.Name(), got, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
