package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db"
)

// examples are the curl lines of a document, and what runs one in a shell.
func examples(t *testing.T, c *client, name string) (doc []byte, lines []string, dir string, run func(string) []byte) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	run = func(line string) []byte {
		t.Helper()
		line = strings.Replace(line, "curl ", "curl -sS --fail-with-body ", 1)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line, "localhost:8080", strings.TrimPrefix(c.base, "http://")))
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v: %s %s", line, err, stderr.Bytes(), out)
		}
		return out
	}
	return doc, regexp.MustCompile(`(?m)^curl [^&\n]*(?:&\w[^&\n]*)*$`).FindAllString(string(doc), -1), dir, run
}

// TestCurlInAlertDocs runs each curl of docs/alerts.md, in order.
func TestCurlInAlertDocs(t *testing.T) {
	m := newEventMarket(t, 30)
	c := serve(t, Config{Pool: reader(t, m.db), Operator: operator(t, m.db)})
	_, lines, _, run := examples(t, c, "alerts.md")
	written := 0
	for _, line := range lines {
		switch {
		case strings.Contains(line, "curl -N "): // goes on until it is stopped
			line = strings.Replace(line, "curl ", "curl --max-time 1 ", 1) + "|| [ $? = 28 ]"
			if out := run(line); !strings.HasPrefix(string(out), "retry: ") {
				t.Errorf("%s: %s", line, out)
			}
			continue
		case strings.Contains(line, "DELETE"):
			if out := run(line); len(out) != 0 {
				t.Errorf("%s: %s", line, out)
			}
			continue
		}
		out := run(line)
		switch {
		case strings.Contains(line, typeCSV):
			if !strings.HasPrefix(string(out), "id,rule_id,rule,") || bytes.Count(out, []byte("\n")) < 3 {
				t.Errorf("%s: %s", line, out)
			}
		case strings.Contains(line, "/test"):
			var r AlertTestResult
			if err := json.Unmarshal(out, &r); err != nil || r.Data == nil {
				t.Errorf("%s: %v %s", line, err, out)
			}
		case strings.Contains(line, " -d "):
			var r AlertRule
			if err := json.Unmarshal(out, &r); err != nil || r.ID == 0 || strings.Contains(line, "PATCH") != (r.Version > 1) {
				t.Errorf("%s: %v %s", line, err, out)
			}
			written++
		default:
			var p page[map[string]any]
			if err := json.Unmarshal(out, &p); err != nil || len(p.Data) == 0 {
				t.Errorf("%s: %v %s", line, err, out)
			}
		}
	}
	if written != 7 || len(lines) != 13 {
		t.Errorf("%d lines, %d of them writes", len(lines), written)
	}
	var missing []string
	if err := m.db.Pool.QueryRow(t.Context(), `SELECT coalesce(array_agg(n), '{}') FROM unnest('{rsi-above-80,dip,macd-up,wild,ingest-down}'::text[]) n
		WHERE n NOT IN (SELECT name FROM alert.rules)`).Scan(&missing); err != nil || len(missing) > 0 {
		t.Errorf("not written: %v, %v", missing, err)
	}
}

// testCurlInDocs runs each curl of docs/api.md.
func testCurlInDocs(t *testing.T, c *client) {
	doc, lines, dir, run := examples(t, c, "api.md")
	if len(lines) != 14 {
		t.Errorf("%d examples, want 14", len(lines))
	}
	for _, line := range lines {
		out := run(line)
		switch {
		case strings.Contains(line, " -o "):
			b, err := os.ReadFile(filepath.Join(dir, "candles.arrows"))
			if err != nil {
				t.Fatal(err)
			}
			if rows := arrowRows(t, b, "bucket,open,high,low,close,volume,buy_volume,vwap,trades"); len(rows) != 24 {
				t.Errorf("%s: %d rows", line, len(rows))
			}
		case strings.Contains(line, typeCSV):
			if rows := csvRows(t, out, "bucket,open,high,low,close,volume,buy_volume,vwap,trades"); len(rows) != 24 {
				t.Errorf("%s: %d rows", line, len(rows))
			}
		case strings.Contains(line, "/instruments/AAPL"):
			var i FoundInstrument
			if err := json.Unmarshal(out, &i); err != nil || i.Name == nil || *i.Name != "Apple" {
				t.Errorf("%s: %v %s", line, err, out)
			}
		case strings.Contains(line, "/actions"):
			var p page[Action]
			if err := json.Unmarshal(out, &p); err != nil || p.Data == nil {
				t.Errorf("%s: %v %s", line, err, out)
			}
		case strings.Contains(line, "snapshot"):
			var s Snapshot
			if err := json.Unmarshal(out, &s); err != nil || s.Tick == nil {
				t.Errorf("%s: %v %s", line, err, out)
			}
		default:
			var p page[map[string]any]
			if err := json.Unmarshal(out, &p); err != nil || len(p.Data) == 0 {
				t.Errorf("%s: %v %s", line, err, out)
			}
		}
	}
	// The line for DuckDB, up to DuckDB.
	file := regexp.MustCompile(`(?m)^(curl .*?) && duckdb`).FindSubmatch(doc)
	if file == nil {
		t.Fatal("no line for DuckDB")
	}
	run(string(file[1]))
	b, err := os.ReadFile(filepath.Join(dir, "aapl.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if rows := csvRows(t, b, "bucket,open,high,low,close,volume,buy_volume,vwap,trades"); len(rows) < 24 {
		t.Errorf("%d rows for DuckDB", len(rows))
	}
}

// Every operation says what it takes, within which range, and how it can fail.
func TestOperations(t *testing.T) {
	pool, err := db.NewPool("postgres://nobody@127.0.0.1:1/none", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := New(Config{Pool: pool, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	table := []string{"/v1/symbols/{symbol}/candles", "/v1/symbols/{symbol}/ticks", "/v1/symbols/{symbol}/indicators/{name}", "/v1/screener", "/v1/alerts/events"}
	for _, op := range operations(s) {
		path := op.Method + " " + op.Path
		if !strings.HasPrefix(op.Path, "/v1/") || op.OperationID == "stream" || op.OperationID == "get-pipeline" {
			continue
		}
		errors := []string{"500", "503", "504"}
		if len(op.Parameters) > 0 || op.RequestBody != nil {
			errors = append(errors, "422")
		}
		if strings.Contains(op.Path, "{") {
			errors = append(errors, "404")
		}
		if op.RequestBody != nil {
			errors = append(errors, "415")
		}
		success, formats := strconv.Itoa(max(op.DefaultStatus, http.StatusOK)), []string{typeJSON}
		switch {
		case slices.Contains(table, op.Path):
			errors = append(errors, "406")
			formats = []string{typeJSON, typeCSV, typeArrow}
		case op.Method == http.MethodDelete:
			formats = nil
		}
		if op.Method != http.MethodGet && op.OperationID != "test-alert-rule" {
			errors = append(errors, "403")
		}
		for _, status := range errors {
			r := op.Responses[status]
			if r == nil || r.Content[problemType] == nil || r.Content[problemType].Schema == nil {
				t.Errorf("%s: does not say how it answers %s", path, status)
			}
		}
		for _, format := range formats {
			if m := op.Responses[success].Content[format]; m == nil || m.Schema == nil {
				t.Errorf("%s: does not describe %s", path, format)
			}
		}
		for _, p := range op.Parameters {
			if p.Description == "" || p.Example == nil && (p.Schema == nil || len(p.Schema.Examples) == 0) {
				t.Errorf("%s: %s has no description or no example", path, p.Name)
			}
			if p.Schema.Type == "integer" && (p.Schema.Minimum == nil || p.Schema.Maximum == nil || p.Schema.Default == nil && !p.Required) {
				t.Errorf("%s: %s has no range or no default", path, p.Name)
			}
		}
	}
}
