package replay_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// TestDamagedParquet reads files of pyarrow with a wrong byte, or cut short: an
// error or other values, and no panic. The files of testdata are made by pandas 3
// and pyarrow 26, from the values that TestCases lists.
func TestDamagedParquet(t *testing.T) {
	errs := 0
	for _, name := range []string{"bars.parquet", "trades.parquet"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 4; at < len(whole); at += 29 {
			wrong := append([]byte(nil), whole...)
			wrong[at] ^= 0x55
			if at%2 == 0 {
				wrong = wrong[:at]
			}
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, wrong, 0o600); err != nil {
				t.Fatal(err)
			}
			files, err := replay.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := replay.New(replay.Config{Symbol: "X", SkipBad: true}, files[0])
			if err == nil {
				err = r.Run(t.Context(), func(*feed.Tick) error { return nil }, nil)
			}
			if err != nil {
				errs++
			}
			if err := files[0].Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if errs < 100 {
		t.Errorf("%d errors, want most of the files to be refused", errs)
	}
}
