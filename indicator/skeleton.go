package indicator

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/migrations"
)

//go:embed skeleton/*.sql
var skeletons embed.FS

// ErrName is wrapped by errors of New that another name avoids.
var ErrName = errors.New("indicator name")

// SkeletonConfig says what New writes and where.
type SkeletonConfig struct {
	Name string
	// Dir is a folder of the user's own, which hypertick migrate --dir takes.
	Dir string
	// Recursive asks for an indicator that computes each value from the previous one.
	Recursive bool
}

// New writes a migration that adds a working indicator, for its author to
// change, and returns the path. It is numbered after those of the folder. New
// never overwrites a file.
func New(cfg SkeletonConfig) (string, error) {
	if err := validName(cfg.Name); err != nil {
		return "", err
	}
	if _, err := db.VersionTable(cfg.Dir); err != nil {
		return "", err
	}
	if err := unmade(migrations.FS, cfg.Name); err != nil {
		return "", err
	}
	newest, err := scan(os.DirFS(cfg.Dir), cfg.Name)
	if err != nil {
		return "", err
	}
	kind := "window"
	if cfg.Recursive {
		kind = "recursive"
	}
	text, err := skeletons.ReadFile("skeleton/" + kind + ".sql")
	if err != nil {
		return "", fmt.Errorf("read skeleton: %w", err)
	}
	title := strings.ToUpper(cfg.Name[:1]) + strings.ReplaceAll(cfg.Name[1:], "_", " ")
	filled := strings.NewReplacer("NAME", cfg.Name, "TITLE", title).Replace(string(text))
	path := filepath.Join(cfg.Dir, fmt.Sprintf("%05d_%s.sql", newest+1, cfg.Name))
	if err := writeNew(path, filled); err != nil {
		return "", fmt.Errorf("write skeleton: %w", err)
	}
	return path, nil
}

// writeNew fails where the file exists.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// validName wants what needs no quotes in SQL, in a path or in a URL. The limit
// is PostgreSQL's, which would cut a longer name silently.
func validName(name string) error {
	switch {
	case !nameForm.MatchString(name):
		return fmt.Errorf("%w: want lower-case letters, digits and _, a letter first, got %q", ErrName, name)
	case len(name) > 63:
		return fmt.Errorf("%w: want at most 63 letters, got %d", ErrName, len(name))
	case reserved[name]:
		return fmt.Errorf("%w: %s is a reserved word of SQL", ErrName, name)
	}
	return nil
}

var (
	fileForm   = regexp.MustCompile(`^([0-9]+)_(.*)\.sql$`)
	createForm = regexp.MustCompile(`(?i)\bcreate\s+(?:or\s+replace\s+)?(?:function|aggregate|procedure|view|materialized\s+view|type|table)\s+indicator\.("?)([a-z0-9_]+)`)
)

// scan returns the newest number of the folder's migrations, and an error when
// one of them has that name or makes something of it.
func scan(dir fs.FS, name string) (newest int64, err error) {
	files, err := fs.ReadDir(dir, ".")
	if err != nil {
		return 0, fmt.Errorf("read folder of migrations: %w", err)
	}
	for _, f := range files {
		m := fileForm.FindStringSubmatch(f.Name())
		if m == nil || f.IsDir() {
			continue
		}
		number, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("number of migration %s: %w", f.Name(), err)
		}
		newest = max(newest, number)
		if m[2] == name {
			return 0, fmt.Errorf("%w: %s already exists, in %s", ErrName, name, f.Name())
		}
	}
	return newest, unmade(dir, name)
}

// unmade returns an error when a migration of the folder makes something of
// that name in schema indicator.
func unmade(dir fs.FS, name string) error {
	files, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return fmt.Errorf("read folder of migrations: %w", err)
	}
	for _, f := range files {
		if !fileForm.MatchString(f) {
			continue
		}
		text, err := fs.ReadFile(dir, f)
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		for _, made := range createForm.FindAllStringSubmatch(string(text), -1) {
			if strings.EqualFold(made[2], name) {
				return fmt.Errorf("%w: %s already exists, made by %s", ErrName, name, f)
			}
		}
	}
	return nil
}

// reserved are PostgreSQL's words that cannot stand for a function without
// quotes (SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'C')).
var reserved = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`
		all analyse analyze and any array as asc asymmetric between bigint bit boolean both case cast char character
		check coalesce collate column constraint create current_catalog current_date current_role current_time
		current_timestamp current_user dec decimal default deferrable desc distinct do else end except exists
		extract false fetch float for foreign from grant greatest group grouping having in initially inout int
		integer intersect interval into json json_array json_arrayagg json_exists json_object json_objectagg
		json_query json_scalar json_serialize json_table json_value lateral leading least limit localtime
		localtimestamp merge_action national nchar none normalize not null nullif numeric offset on only or order
		out overlay placing position precision primary real references returning row select session_user setof
		smallint some substring symmetric system_user table then time timestamp to trailing treat trim true union
		unique user using values varchar variadic when where window with xmlattributes xmlconcat xmlelement
		xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`) {
		words[w] = true
	}
	return words
}()
