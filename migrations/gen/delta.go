package main

import (
	"fmt"
	"io/fs"
	"sort"
	"strings"
)

// state is a schema by what each statement is about. Routines, views and
// comments are known by name, so that a later statement replaces an earlier one;
// of everything else the text itself is the name.
type state struct {
	order []string
	by    map[string]statement
}

// read adds statements to a state, later ones over earlier ones.
func (st *state) read(statements []statement) {
	for i, s := range statements {
		key := s.text
		if m := commentOnAny.FindString(s.text); m != "" {
			key = spaces.ReplaceAllString(m, " ")
		}
		if replaceable(s) {
			// The comment behind it has the name in full.
			for _, next := range statements[i+1:] {
				if o, ok := commented(next); ok {
					key = "CREATE " + o.String()
					break
				}
			}
		}
		if _, known := st.by[key]; !known {
			st.order = append(st.order, key)
		}
		st.by[key] = s
	}
}

// stateOfSchema reads schema/, stateOfMigrations what migrations lead to as far
// as their statements tell.
func stateOfSchema(schema fs.FS) (*state, error) {
	names, files, err := sqlFiles(schema)
	if err != nil {
		return nil, err
	}
	st := &state{by: map[string]statement{}}
	for _, name := range names {
		statements, err := split(files[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		st.read(statements)
	}
	return st, nil
}

func stateOfMigrations(dir fs.FS) (*state, error) {
	names, files, err := sqlFiles(dir)
	if err != nil {
		return nil, err
	}
	st := &state{by: map[string]statement{}}
	for _, name := range names {
		up, _, _ := strings.Cut(files[name], "-- +goose Down")
		var lines []string
		for line := range strings.Lines(up) {
			if !strings.HasPrefix(line, "-- +goose") {
				lines = append(lines, line)
			}
		}
		statements, err := split(strings.Join(lines, ""))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		st.read(statements)
	}
	return st, nil
}

// delta is a migration from one state to another: changed routines, views and
// comments are copied whole; what else differs is for a person to write.
func delta(from, to *state) string {
	var up, down, todo []string
	for _, key := range to.order {
		s, old := to.by[key], from.by[key]
		_, known := from.by[key]
		switch {
		case known && old.text == s.text:
		case replaceable(s):
			up = append(up, statement{comment: s.comment, text: orReplace(s.text)}.goose())
			if known {
				down = append(down, statement{text: orReplace(old.text)}.goose())
			} else {
				down = append(down, "DROP "+strings.TrimPrefix(key, "CREATE ")+";\n")
			}
		case commentOnAny.MatchString(s.text):
			up = append(up, s.goose())
			if known {
				down = append(down, old.goose())
			}
		case !strings.HasPrefix(s.text, "INSERT INTO _hypertick.baseline"):
			todo = append(todo, "schema/ has, and no migration:\n"+s.text)
		}
	}
	for _, key := range from.order {
		old := from.by[key]
		if _, kept := to.by[key]; kept || strings.HasPrefix(old.text, "INSERT INTO _hypertick.baseline") || strings.HasPrefix(old.text, "DO ") {
			continue
		}
		switch {
		case replaceable(old):
			up = append(up, "DROP "+strings.TrimPrefix(key, "CREATE ")+";\n")
			down = append(down, old.goose())
		case commentOnAny.MatchString(old.text):
			down = append(down, old.goose())
		case old.text != "":
			todo = append(todo, "a migration has, and schema/ no more:\n"+old.text)
		}
	}
	if len(up) == 0 && len(todo) == 0 {
		return ""
	}
	sort.Strings(todo)
	var b strings.Builder
	b.WriteString("-- +goose Up\n")
	for _, t := range todo {
		b.WriteString("-- TODO: write the change by hand, here and below. " + strings.ReplaceAll(t, "\n", "\n--   ") + "\n")
	}
	b.WriteString(strings.Join(up, ""))
	b.WriteString("\n-- +goose Down\n")
	for i := len(down) - 1; i >= 0; i-- {
		b.WriteString(down[i])
	}
	return b.String()
}
