package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// testCalendars reads calendars and sessions, over an early close, a break and
// the end of what a calendar knows.
func testCalendars(t *testing.T, c *client) {
	var calendars page[Calendar]
	if a := c.get("/v1/calendars"); a.status != 200 || json.Unmarshal(a.body, &calendars) != nil {
		t.Fatalf("calendars: %d %s", a.status, a.body)
	}
	if want := (Calendar{"XTKS", "Tokyo Stock Exchange", "Asia/Tokyo", "1997-01-01", "2035-12-31"}); !slices.Contains(calendars.Data, want) {
		t.Errorf("calendars: %v, want %v among them", calendars.Data, want)
	}
	for path, want := range map[string]string{
		"XNYS/sessions?from=2024-11-28&to=2024-11-29": `[{"day":"2024-11-29","opens":"2024-11-29T14:30:00Z","closes":"2024-11-29T18:00:00Z",` +
			`"pre_opens":"2024-11-29T09:00:00Z","post_closes":"2024-11-29T22:00:00Z","kind":"early_close"}]`,
		"XTKS/sessions?from=2024-11-05&to=2024-11-05": `[{"day":"2024-11-05","opens":"2024-11-05T00:00:00Z","closes":"2024-11-05T06:30:00Z",` +
			`"break_start":"2024-11-05T02:30:00Z","break_end":"2024-11-05T03:30:00Z","pre_opens":"2024-11-05T00:00:00Z","post_closes":"2024-11-05T06:30:00Z","kind":"regular"}]`,
		"CMES/sessions?from=2036-01-02&to=2036-01-05": `[]`,
		"24x7/sessions?from=2024-01-02&to=2024-01-05": `[]`,
	} {
		if a := c.get("/v1/calendars/" + path); a.status != 200 || !strings.Contains(string(a.body), `"data":`+want) {
			t.Errorf("%s: %d %s, want %s", path, a.status, a.body, want)
		}
	}
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"NYSE/sessions?from=2024-01-02&to=2024-01-05": {404, "path.calendar"},
		"XNYS/sessions?from=2024-01-02":               {422, "query.to"},
		"XNYS/sessions?from=x&to=2024-01-05":          {422, "want a day such as 2022-06-09"},
		"XNYS/sessions?from=2024-01-06&to=2024-01-05": {422, "want a day from 2024-01-06 on"},
		"XNYS/sessions?from=2020-01-01&to=2024-01-05": {422, "want at most two years after from"},
	} {
		if a := c.get("/v1/calendars/" + path); a.status != want.status || !strings.Contains(string(a.body), want.text) {
			t.Errorf("%s: %d %s, want %d with %q", path, a.status, a.body, want.status, want.text)
		}
	}
}
