package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestDeadLetters retries an invalid dead letter, one whose tick is missing, a copy
// of that one, and one whose tick is already stored.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	p := newPipeline(ctx, t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(p.brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	start := time.Now().UTC().Truncate(time.Minute).Add(-time.Hour)
	value := func(seq int64) []byte {
		return feed.AppendJSON(nil, &feed.Tick{Symbol: "AAA", Venue: "V", TS: start.Add(time.Duration(seq) * time.Second).UnixMicro(), Price: 10 + float64(seq), Size: 1, Seq: seq})
	}
	for seq := int64(1); seq <= 10; seq++ {
		v := value(seq)
		if seq == 5 {
			v = []byte(`{"symbol":"AAA","seq":"five"}`)
		}
		headers := []kgo.RecordHeader{{Key: "\x1b]0;title\a", Value: []byte("\x1b[31m")}}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: p.topic, Key: []byte("AAA"), Value: v, Headers: headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p.caughtUp(ctx, t)
	flags := []string{"--database-url", p.URLAs(t, "hypertick_writer"), "--brokers", p.brokers, "--topic", p.topic}
	dlq := func(wantCode int, args ...string) (out string) {
		t.Helper()
		code, out, errOut := run(ctx, append(append([]string{"dlq"}, args...), flags...)...)
		if code != wantCode {
			t.Fatalf("dlq %v: exit code %d, want %d\n%s%s", args, code, wantCode, out, errOut)
		}
		return out + errOut
	}
	if out := dlq(0, "list"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "0/0 ") || !strings.Contains(out, "AAA") {
		t.Errorf("list: %s", out)
	}
	if out := dlq(0, "show", "0"); strings.ContainsAny(out, "\x1b\a") || !strings.Contains(out, `header     \x1b]0;title\a: 0x1b5b33316d`) {
		t.Errorf("show lets a header at the terminal: %q", out)
	}
	if out := dlq(0, "show", "0"); !strings.Contains(out, `{"symbol":"AAA","seq":"five"}`) || !strings.Contains(out, "of "+p.topic+"\n") {
		t.Errorf("show: %s", out)
	}

	// As an older ingest would have published them.
	for _, seq := range []int64{5, 5, 6} {
		r := &kgo.Record{Topic: feed.DeadLetterTopic(p.topic), Key: []byte("AAA"), Value: value(seq), Headers: []kgo.RecordHeader{
			{Key: deadletter.HeaderError, Value: []byte("price: not understood then")}, {Key: deadletter.HeaderSourceTopic, Value: []byte(p.topic)},
			{Key: deadletter.HeaderSourcePartition, Value: []byte("0")}, {Key: deadletter.HeaderSourceOffset, Value: []byte("99")},
		}}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	out := dlq(0, "list", "--reason", "not understood", "--json")
	if first, _, _ := strings.Cut(out, "\n"); strings.Count(out, "\n") != 3 || !json.Valid([]byte(first)) || !strings.Contains(out, `"source_offset":99`) {
		t.Errorf("list: %s", out)
	}
	if out := dlq(0, "retry"); !strings.Contains(out, "0/0 stays: ") || !strings.Contains(out, "1 stored, 2 already stored, 1 stay") {
		t.Errorf("retry: %s", out)
	}
	if out := dlq(0, "retry"); !strings.Contains(out, "0 stored, 0 already stored, 1 stay") {
		t.Errorf("a second retry: %s", out)
	}
	p.SettleCandles(t)
	var want []dbtest.Tick
	for seq := int64(1); seq <= 10; seq++ {
		want = append(want, dbtest.Tick{TS: start.Add(time.Duration(seq) * time.Second), Symbol: "AAA", Venue: "V", Price: 10 + float64(seq), Size: 1, Seq: seq})
	}
	dbtest.EqualCandles(t, "1m", p.Candles(t, "1m"), dbtest.BruteForce(want, time.Minute))

	for _, args := range [][]string{{"show", "x"}, {"show", "0/77"}, {"retry", "0/"}, {"discard"}, {"list", "--limit=-1"}, {"list", "--timeout", "0s"}} {
		if out := dlq(2, args...); strings.Count(out, "\n") != 1 {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := dlq(0, "discard", "0/0"); !strings.Contains(out, "1 discarded") {
		t.Errorf("discard: %s", out)
	}
	if out := dlq(0, "list"); !strings.Contains(out, "has no dead letters to handle") {
		t.Errorf("list at the end: %s", out)
	}
	if out := dlq(0, "list", "--all"); strings.Count(out, "\n") != 5 || !strings.Contains(out, "discarded ") || strings.Count(out, "known ") != 2 {
		t.Errorf("list of all: %s", out)
	}
}

// TestBackfillCommand loads a file twice, and checks the errors of others.
func TestBackfillCommand(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	var b strings.Builder
	b.WriteString("time,price,qty,trade_id\n")
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	var want []dbtest.Tick
	for i := range 2500 {
		ts := start.Add(time.Duration(i) * 37 * time.Second)
		fmt.Fprintf(&b, "%s,%d.5,%d,%d\n", ts.Format(time.RFC3339), 100+i%13, 1+i%4, i+1)
		want = append(want, dbtest.Tick{TS: ts, Symbol: "X-Y", Venue: "CSV", Price: 100.5 + float64(i%13), Size: float64(1 + i%4), Seq: int64(i + 1)})
	}
	file := filepath.Join(t.TempDir(), "trades.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"backfill", file, "--symbol", "X-Y", "--venue", "CSV", "--batch", "700", "--database-url", d.URLAs(t, "hypertick_writer")}
	if code, out, errOut := run(ctx, args...); code != 0 || !strings.Contains(out, "2500 ticks from "+start.Format(time.RFC3339)) || !strings.Contains(out, " 2500 stored, 0 already stored") {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	if code, out, errOut := run(ctx, args...); code != 0 || !strings.Contains(out, " 0 stored, 2500 already stored") {
		t.Fatalf("a second time: exit code %d: %s%s", code, out, errOut)
	}
	d.SettleCandles(t)
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(want, i.Span))
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"/does/not/exist.csv"}, "/does/not/exist.csv"},
		{[]string{file, "--batch", "0"}, "--batch"},
		{[]string{file, "--timezone", "Mars"}, "--timezone"},
		{[]string{file, "--map", "price=nope"}, "nope"},
	} {
		code, out, errOut := run(ctx, append([]string{"backfill", "--database-url", d.URL}, c.args...)...)
		if code != 2 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: exit code %d: %s%s", c.args, code, out, errOut)
		}
	}
}
