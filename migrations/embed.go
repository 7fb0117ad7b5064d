// Package migrations holds the goose migrations that make the database. They
// are plain SQL: the stock goose command applies them as well. The baseline is
// generated from schema/; see README.md.
package migrations

import "embed"

// FS is this directory's SQL.
//
//go:embed *.sql
var FS embed.FS
