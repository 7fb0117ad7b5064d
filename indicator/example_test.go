package indicator

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/hypertick/hypertick/db/dbtest"
)

// The worked example of docs/add-an-indicator.md is executed word for word:
// goose applies it, the catalog lists it, it answers, and goose rolls it back.
func TestExampleInDocs(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "add-an-indicator.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sql\n(-- \\+goose Up\n.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("no migration in docs/add-an-indicator.md")
	}
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(time.Hour).Add(-5 * time.Hour)
	insert(t, d, walk("A", start, 200, 0)...)
	d.Settle(t)

	sqlDB := stdlib.OpenDBFromPool(d.Pool)
	defer func() { _ = sqlDB.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, sqlDB, fstest.MapFS{"10001_efficiency.sql": {Data: m[1]}}, goose.WithTableName("example_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	var title string
	var parameters []struct {
		Name     string
		Min, Max float64
	}
	if err := d.Pool.QueryRow(t.Context(), "SELECT title, parameters FROM indicator.catalog WHERE name = 'efficiency'").Scan(&title, &parameters); err != nil {
		t.Fatal(err)
	}
	if title != "Efficiency ratio" || len(parameters) != 1 || parameters[0].Name != "period" || parameters[0].Min != 2 || parameters[0].Max != 500 {
		t.Errorf("catalog has %q, %+v", title, parameters)
	}
	whole := evaluate(t, d, "efficiency", "A", "1m", start, start.AddDate(0, 0, 1), nil)["efficiency"]
	part := evaluate(t, d, "efficiency", "A", "1m", start.Add(90*time.Minute), start.AddDate(0, 0, 1), nil)["efficiency"]
	if len(whole) != 190 || len(part) != 110 {
		t.Errorf("%d and %d values, want 190 and 110", len(whole), len(part))
	}
	for at, v := range part {
		if apart(v, whole[at], 1e-6) > tolerance || v < 0 || v > 1+1e-12 {
			t.Errorf("%v: %v, from the start %v", at, v, whole[at])
		}
	}
	if _, err := p.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
}
