// Package schema holds the SQL of the database as it is now: every role, table,
// type, function, view and job, a file per subject, in the order in which they
// are made. README.md says what is where.
package schema

import "embed"

// FS is this directory's SQL.
//
//go:embed *.sql
var FS embed.FS
