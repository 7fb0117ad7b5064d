package indicator

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hypertick/hypertick/db"
)

// Entry is an indicator as its COMMENT and its signature describe it.
type Entry struct {
	Name        string      `json:"name"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Parameters  []Parameter `json:"parameters"`
	Series      []Series    `json:"series"`
}

// Parameter is one that an indicator takes besides symbol, interval, from and to.
type Parameter struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Default     *string  `json:"default,omitempty"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
	Description string   `json:"description,omitempty"`
}

// Series is one line that an indicator draws.
type Series struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// with are the parameters that given and the defaults make.
func (e Entry) with(given map[string]string) map[string]string {
	all := make(map[string]string, len(e.Parameters))
	for _, p := range e.Parameters {
		if v, ok := given[p.Name]; ok {
			all[p.Name] = v
		} else if p.Default != nil {
			all[p.Name] = *p.Default
		}
	}
	return all
}

// Catalog lists every indicator of the database, by name.
func Catalog(ctx context.Context, conn db.DBTX) ([]Entry, error) {
	rows, err := db.New(conn).CatalogEntries(ctx)
	if err != nil {
		return nil, fmt.Errorf("read catalog of indicators: %w", err)
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		e := Entry{Name: r.Name, Title: r.Title, Description: r.Description}
		if err := json.Unmarshal(r.Parameters, &e.Parameters); err != nil {
			return nil, fmt.Errorf("parameters of %s: %w", r.Name, err)
		}
		if err := json.Unmarshal(r.Series, &e.Series); err != nil {
			return nil, fmt.Errorf("series of %s: %w", r.Name, err)
		}
		entries[i] = e
	}
	return entries, nil
}
