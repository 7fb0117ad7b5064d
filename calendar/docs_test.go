package calendar_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestDocs runs the examples of docs/concepts/time.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/concepts/time.md")
	if err != nil {
		t.Fatal(err)
	}
	d := dbtest.New(t)
	examples := regexp.MustCompile("(?s)```sql\n(.+?);\n```\n\n(.+?)\n\n").FindAllStringSubmatch(string(text), -1)
	if len(examples) != 3 {
		t.Errorf("%d examples, want 3", len(examples))
	}
	for _, x := range examples {
		rows, err := d.Pool.Query(context.Background(), x[1])
		if err != nil {
			t.Fatal(err)
		}
		got := []string{"| day | opens | closes | kind |", "|---|---|---|---|"}
		for rows.Next() {
			var day, opens, closes time.Time
			var kind string
			if err := rows.Scan(&day, &opens, &closes, &kind); err != nil {
				t.Fatal(err)
			}
			got = append(got, "| "+strings.Join([]string{day.Format(time.DateOnly), opens.UTC().Format(time.RFC3339), closes.UTC().Format(time.RFC3339), kind}, " | ")+" |")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, "\n") != x[2] {
			t.Errorf("%s answers\n%s\nwant\n%s", x[1], strings.Join(got, "\n"), x[2])
		}
	}
}
