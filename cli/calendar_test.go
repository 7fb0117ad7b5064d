package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestCalendar lists and shows calendars, and closes a day.
func TestCalendar(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	reader, operator := d.URLAs(t, "hypertick_reader"), d.URLAs(t, "hypertick_operator")
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "closed.csv")
		if err := os.WriteFile(path, []byte("calendar,day,closed,opens,closes,note\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		url  string
		code int
		args []string
		want string
	}{
		{reader, 0, []string{"list"}, "XNYS      New York Stock Exchange                 America/New_York  1990-01-01  2035-12-31  no"},
		{reader, 0, []string{"show", "XNYS", "--from", "2024-11-28", "--to", "2024-11-29"},
			"2024-11-29  2024-11-29 09:00  2024-11-29 14:30         2024-11-29 18:00  2024-11-29 22:00  early_close"},
		{reader, 2, []string{"show", "NYSE"}, "calendar: want one of 24x7, CMES"},
		{reader, 2, []string{"show", "XNYS", "--from", "x"}, "--from: want a day such as 2026-11-24, got x"},
		{operator, 0, []string{"add", file("XNYS,2027-03-02,true,,,storm\nXNYS,2027-03-03,,11:00,,\n")}, "XNYS: 2027-03-02 changed\nXNYS: 2027-03-03 changed\n"},
		{operator, 0, []string{"add", file("XNYS,2027-03-02,true,,,storm\n")}, "XNYS: no session changed"},
		{reader, 0, []string{"list"}, "2035-12-31  yes"},
		{reader, 0, []string{"show", "XNYS", "--from", "2027-03-02", "--to", "2027-03-03"},
			"2027-03-03  2027-03-03 09:00  2027-03-03 16:00         2027-03-03 21:00  2027-03-04 01:00  late_open"},
		{operator, 2, []string{"add", file("NYSE,2027-03-02,true,,,\n")}, "calendar: want one of 24x7, CMES"},
		{operator, 2, []string{"add", file("XNYS,2027-03-02,no,,,\n")}, `:2: closed: want true or false, got "no"`},
		{operator, 2, []string{"add", file("XNYS,2027-03-02,,,,\n")}, `:2: closed: want true, or a time in opens or closes`},
		{operator, 2, []string{"add", file("XNYS,2027-03-06,,12:00,10:00,\n")}, "calendar XNYS on 2027-03-06: want opens before closes"},
		{operator, 2, []string{"add", "nofile.csv"}, "nofile.csv"},
	} {
		code, out, errOut := run(t.Context(), append(append([]string{"calendar"}, c.args...), "--database-url", c.url)...)
		if code != c.code || !strings.Contains(out+errOut, c.want) || c.code != 0 && strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: exit code %d, want %d with %q: %s%s", c.args, code, c.code, c.want, out, errOut)
		}
	}
}
