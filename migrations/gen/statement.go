package main

import (
	"fmt"
	"regexp"
	"strings"
)

// statement is one SQL statement with the comment before it.
type statement struct {
	comment string // lines that begin with --, without the last newline
	text    string // up to and including the semicolon
}

// split cuts SQL into statements at the semicolons outside of comments, quotes
// and dollar quotes.
func split(sql string) ([]statement, error) {
	var out []statement
	start := -1 // of the statement's text
	comment := 0
	for i := 0; i < len(sql); {
		rest := sql[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			i += end
			continue
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return nil, fmt.Errorf("unclosed comment: %.40q", rest)
			}
			if start < 0 {
				return nil, fmt.Errorf("want comments of --, got %.40q", rest)
			}
			i += end + 2
			continue
		case rest[0] == ' ' || rest[0] == '\n' || rest[0] == '\t':
			i++
			continue
		}
		if start < 0 {
			start = i
		}
		skip := 1
		switch rest[0] {
		case '\'', '"':
			end := strings.IndexByte(rest[1:], rest[0])
			if end < 0 {
				return nil, fmt.Errorf("unclosed quote: %.40q", rest)
			}
			skip = end + 2 // a doubled quote is two literals side by side
		case '$':
			if tag := dollarTag.FindString(rest); tag != "" {
				end := strings.Index(rest[len(tag):], tag)
				if end < 0 {
					return nil, fmt.Errorf("unclosed %s", tag)
				}
				skip = end + 2*len(tag)
			}
		case ';':
			s := statement{comment: strings.TrimSpace(sql[comment:start]), text: sql[start : i+1]}
			out = append(out, s)
			start, comment = -1, i+1
		}
		i += skip
	}
	if start >= 0 {
		return nil, fmt.Errorf("statement without a semicolon: %.60q", sql[start:])
	}
	if tail := strings.TrimSpace(sql[comment:]); tail != "" {
		out = append(out, statement{comment: tail})
	}
	return out, nil
}

var dollarTag = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z_0-9]*)?\$`)

var (
	routineHead = regexp.MustCompile(`(?is)^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE)\s+`)
	viewHead    = regexp.MustCompile(`(?is)^CREATE (?:OR REPLACE )?VIEW\s+`)
	commentOn   = regexp.MustCompile(`(?is)^COMMENT ON (AGGREGATE|FUNCTION|PROCEDURE|TABLE|VIEW|TYPE|SCHEMA|SEQUENCE)\s+(.+?)\s+IS\s`)
	triggerHead = regexp.MustCompile(`(?is)^CREATE TRIGGER\s+(\S+)\s.*?\sON\s+(\S+)\s`)
	spaces      = regexp.MustCompile(`\s+`)
)

// object is what a COMMENT ON names, such as "FUNCTION candles(text)".
type object struct{ kind, name string }

func (o object) String() string { return o.kind + " " + o.name }

// commented is the object that a COMMENT ON statement is about.
func commented(s statement) (object, bool) {
	m := commentOn.FindStringSubmatch(s.text)
	if m == nil {
		return object{}, false
	}
	return object{strings.ToUpper(m[1]), spaces.ReplaceAllString(m[2], " ")}, true
}

// replaceable reports whether a statement can be run again as CREATE OR REPLACE.
func replaceable(s statement) bool {
	return routineHead.MatchString(s.text) || viewHead.MatchString(s.text)
}

// orReplace is the statement as CREATE OR REPLACE.
func orReplace(text string) string {
	if strings.HasPrefix(strings.ToUpper(text), "CREATE OR REPLACE ") {
		return text
	}
	return "CREATE OR REPLACE " + text[len("CREATE "):]
}

// goose is the statement with the marks that goose needs where semicolons do
// not end it.
func (s statement) goose() string {
	var b strings.Builder
	if s.comment != "" {
		b.WriteString(s.comment + "\n")
	}
	switch {
	case s.text == "":
	case strings.Count(s.text, ";") > 1 || strings.Contains(s.text, "$$"):
		b.WriteString("-- +goose StatementBegin\n" + s.text + "\n-- +goose StatementEnd\n")
	default:
		b.WriteString(s.text + "\n")
	}
	return b.String()
}

// commentOnAny finds what any COMMENT ON is about.
var commentOnAny = regexp.MustCompile(`(?is)^COMMENT ON \S+ .+? IS\b`)
