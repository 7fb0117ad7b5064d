package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sort"
	"strings"
)

// schemaFiles reads the SQL files of a directory, in their order.
func sqlFiles(dir fs.FS) (names []string, text map[string]string, err error) {
	names, err = fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, nil, err
	}
	sort.Strings(names)
	text = make(map[string]string, len(names))
	for _, name := range names {
		b, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, nil, err
		}
		text[name] = string(b)
	}
	return names, text, nil
}

const header = `-- Generated from schema/ by make baseline. DO NOT EDIT: edit schema/.
-- +goose Up
`

// guard refuses a database that another baseline made, also where the stock
// goose command runs: the baseline has a new number whenever it is laid anew.
const guard = `-- Until 0.1.0 a database is not upgraded from one baseline to the next.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = '_hypertick') THEN
        RAISE EXCEPTION 'this database was made by another baseline: make a new one, or empty it with the program that made it (hypertick migrate --down-to 0)';
    END IF;
END
$$;
-- +goose StatementEnd
`

// downFirst takes away what add_interval() made, and every job: without its
// jobs first, a drop may meet a refresh that is running.
const downFirst = `-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    PERFORM delete_job(j.job_id) FROM timescaledb_information.jobs j
    WHERE j.proc_schema = '_hypertick'
       OR j.hypertable_schema IN ('_hypertick', 'alert')
       OR j.hypertable_schema = 'public' AND (j.hypertable_name IN ('ticks', 'ingest_activity', 'api_activity')
           OR j.hypertable_name IN (SELECT 'candles_' || i."interval" FROM intervals i));
    UPDATE intervals SET kind = 'own' WHERE materialized;
    FOR name IN SELECT i."interval" FROM intervals i WHERE i.materialized ORDER BY i.width DESC LOOP
        PERFORM remove_interval(name);
    END LOOP;
END
$$;
-- +goose StatementEnd
`

// downLast ends with the roles. Another database of the server may still use
// them: then they stay.
const downLast = `REVOKE USAGE ON SCHEMA public FROM hypertick_writer, hypertick_reader, hypertick_operator;
-- +goose StatementBegin
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['hypertick_reader', 'hypertick_writer', 'hypertick_operator'] LOOP
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                RAISE NOTICE 'role % is still used by another database and stays', role;
            WHEN undefined_object THEN
                NULL;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd
`

// baseline is the migration that makes the whole schema, and its checksum.
func baseline(schema fs.FS) (text, checksum string, err error) {
	names, files, err := sqlFiles(schema)
	if err != nil {
		return "", "", err
	}
	var up strings.Builder
	var drops []string
	for _, name := range names {
		statements, err := split(files[name])
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&up, "\n-- %s %s\n\n", name, strings.Repeat("-", max(3, 76-len(name))))
		for i, s := range statements {
			// A blank line before a comment, as in the file.
			if i > 0 && s.comment != "" {
				up.WriteString("\n")
			}
			up.WriteString(s.goose())
			if drop := dropOf(s); drop != "" {
				drops = append(drops, drop)
			}
		}
	}
	sum := sha256.Sum256([]byte(up.String()))
	checksum = hex.EncodeToString(sum[:])

	var b strings.Builder
	b.WriteString(header + guard + up.String())
	fmt.Fprintf(&b, "\nINSERT INTO _hypertick.baseline (checksum) VALUES ('%s');\n", checksum)
	b.WriteString("\n-- +goose Down\n" + downFirst)
	for i := len(drops) - 1; i >= 0; i-- {
		b.WriteString(drops[i] + "\n")
	}
	b.WriteString(downLast)
	return b.String(), checksum, nil
}

// dropOf undoes a statement that makes an object. Objects are known by their
// comments, which name them in full; what has none, such as an index, goes with
// what it belongs to.
func dropOf(s statement) string {
	if m := triggerHead.FindStringSubmatch(s.text); m != nil {
		return fmt.Sprintf("DROP TRIGGER %s ON %s;", m[1], m[2])
	}
	o, ok := commented(s)
	switch {
	case !ok:
		return ""
	case o.kind == "SEQUENCE": // goes with its table
		return fmt.Sprintf("DROP SEQUENCE IF EXISTS %s;", o.name)
	default:
		return fmt.Sprintf("DROP %s;", o)
	}
}
