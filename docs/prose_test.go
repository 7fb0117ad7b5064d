package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// root is the repository, seen from this package.
const root = ".."

// A passage is text that somebody wrote for a reader: a comment, a string, a
// paragraph of a document, or a name that the code declares.
type passage struct {
	text  string // one line; line breaks of the source are spaces
	marks []mark
	name  bool
}

// mark says on which line of the file the text goes on from an offset.
type mark struct{ offset, line int }

func (p *passage) add(line int, s string) {
	s = strings.TrimSpace(s)
	if p.text != "" {
		p.text += " "
	}
	p.marks = append(p.marks, mark{len(p.text), line})
	p.text += s
}

// line returns the line of the file that an offset of the text comes from.
func (p *passage) line(offset int) int {
	at := p.marks[0].line
	for _, m := range p.marks {
		if m.offset > offset {
			break
		}
		at = m.line
	}
	return at
}

func one(line int, s string) passage {
	var p passage
	p.add(line, s)
	return p
}

func lines(line int, s string) passage {
	var p passage
	for i, l := range strings.Split(s, "\n") {
		p.add(line+i, l)
	}
	return p
}

func named(line int, name string) passage {
	p := one(line, splitName(name))
	p.name = true
	return p
}

// splitName cuts a name into its words: LockFeeds and lock_feeds are "lock feeds".
func splitName(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_' || r == '.' || r == '-' || r == '/':
			b.WriteByte(' ')
			continue
		case i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// skipped are the folders that hold nothing written here.
var skipped = []string{".git", "node_modules", "dist", "bin", "testdata", "backups", ".hypertick"}

// generated are files that a tool writes from others, which are checked.
var generated = []string{"docs/openapi.yaml", "grafana/provisioning/alerting/rules.yaml", "web/package-lock.json"}

// files returns every file of the repository by its path below the root.
func files(t *testing.T, extensions ...string) []string {
	t.Helper()
	schema := exists(filepath.Join(root, "schema"))
	var found []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && slices.Contains(skipped, d.Name()),
			// Migrations are frozen, and made from schema/ where that exists.
			d.IsDir() && rel == "migrations" && schema:
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains(extensions, kind(rel)) && !slices.Contains(generated, rel):
			found = append(found, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// kind is how a file is read: its extension, or what its name stands for.
func kind(file string) string {
	switch base := path.Base(file); {
	case base == "Makefile" || base == "Dockerfile" || base == ".env.example":
		return ".sh"
	case path.Ext(base) == ".yml":
		return ".yaml"
	default:
		return path.Ext(base)
	}
}

// passages reads a file. A generated file has none.
func passages(t *testing.T, file string, src string) []passage {
	t.Helper()
	switch kind(file) {
	case ".go":
		return goPassages(t, file, src)
	case ".sql":
		return sqlPassages(src)
	case ".ts", ".mjs":
		return scriptPassages(src)
	case ".md":
		return markdownPassages(file, src)
	case ".html":
		return []passage{lines(1, src)}
	default:
		return hashPassages(src)
	}
}

func goPassages(t *testing.T, file, src string) []passage {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if ast.IsGenerated(f) {
		return nil
	}
	var out []passage
	at := func(n ast.Node) int { return set.Position(n.Pos()).Line }
	for _, group := range f.Comments {
		var p passage
		for _, c := range group.List {
			for i, l := range strings.Split(c.Text, "\n") {
				p.add(at(c)+i, strings.Trim(l, "/* \t"))
			}
		}
		out = append(out, p)
	}
	seen := map[string]bool{}
	name := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if !seen[id.Name] {
				seen[id.Name] = true
				out = append(out, named(at(id), id.Name))
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				if s, err := strconv.Unquote(n.Value); err == nil && n.Value[0] == '`' {
					out = append(out, lines(at(n), s))
				} else if err == nil {
					out = append(out, one(at(n), s))
				}
			}
		case *ast.FuncDecl:
			name(n.Name)
		case *ast.TypeSpec:
			name(n.Name)
		case *ast.ValueSpec:
			name(n.Names...)
		case *ast.Field:
			name(n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						name(id)
					}
				}
			}
		}
		return true
	})
	return out
}

var (
	sqlNames = regexp.MustCompile(`(?i)\bcreate (?:or replace )?(?:unique )?(?:table|view|materialized view|function|procedure|aggregate|type|trigger|index|sequence|role|schema) (?:if not exists )?([a-z_][a-z0-9_.]*)`)
	sqlcName = regexp.MustCompile(`^name: ([A-Za-z]+) :[a-z]+$`)
)

// sqlPassages takes the delimiters of a dollar-quoted body for nothing: what
// is between them is SQL too, with comments and strings of its own.
func sqlPassages(src string) []passage {
	var out []passage
	var code strings.Builder
	line, comment := 1, -1 // comment is the passage that a comment on the next line belongs to
	for i := 0; i < len(src); {
		rest := src[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			text := strings.TrimSpace(strings.TrimLeft(rest[:end], "-"))
			switch m := sqlcName.FindStringSubmatch(text); {
			case m != nil:
				out = append(out, named(line, m[1]))
				comment = -1
			case comment >= 0 && out[comment].marks[len(out[comment].marks)-1].line == line-1:
				out[comment].add(line, text)
			default:
				out = append(out, one(line, text))
				comment = len(out) - 1
			}
			i += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				end = len(rest) - 2
			}
			out = append(out, lines(line, rest[2:end]))
			line += strings.Count(rest[:end], "\n")
			i += end + 2
		case rest[0] == '\'':
			end := 1
			for end < len(rest) && (rest[end] != '\'' || strings.HasPrefix(rest[end:], "''")) {
				if rest[end] == '\'' {
					end++
				}
				end++
			}
			out = append(out, lines(line, rest[1:min(end, len(rest))]))
			line += strings.Count(rest[:min(end, len(rest))], "\n")
			i += min(end+1, len(rest))
		default:
			code.WriteByte(rest[0])
			if rest[0] == '\n' {
				line++
			}
			i++
		}
	}
	return append(out, codeNames(code.String(), sqlNames)...)
}

func codeNames(code string, names *regexp.Regexp) []passage {
	var out []passage
	line, last := 1, 0
	for _, m := range names.FindAllStringSubmatchIndex(code, -1) {
		line += strings.Count(code[last:m[2]], "\n")
		last = m[2]
		out = append(out, named(line, code[m[2]:m[3]]))
	}
	return out
}

var scriptNames = regexp.MustCompile(`\b(?:function|class|interface|type|enum|const|let|var) +([A-Za-z_$][\w$]*)`)

// scriptPassages reads TypeScript and JavaScript.
func scriptPassages(src string) []passage {
	var out []passage
	var code strings.Builder
	line, comment := 1, -1
	before := byte('\n') // the last character of code that is no space
	for i := 0; i < len(src); {
		rest := src[i:]
		c := rest[0]
		switch {
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			text := strings.TrimSpace(rest[2:end])
			if comment >= 0 && out[comment].marks[len(out[comment].marks)-1].line == line-1 {
				out[comment].add(line, text)
			} else {
				out = append(out, one(line, text))
				comment = len(out) - 1
			}
			i += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				end = len(rest) - 2
			}
			out = append(out, lines(line, strings.Trim(rest[2:end], "* \t")))
			line += strings.Count(rest[:end], "\n")
			i += end + 2
		case c == '\'' || c == '"' || c == '`' || c == '/' && strings.IndexByte("(,=:[!&|?{};\n", before) >= 0:
			end, class := 1, false // a regular expression ends at a slash outside of [...]
			for end < len(rest) && (rest[end] != c || class) && (rest[end] != '\n' || c == '`') {
				switch {
				case rest[end] == '\\':
					end++
				case c == '/' && rest[end] == '[':
					class = true
				case c == '/' && rest[end] == ']':
					class = false
				}
				end++
			}
			end = min(end, len(rest)-1)
			if c != '/' {
				out = append(out, lines(line, rest[1:max(end, 1)]))
			}
			line += strings.Count(rest[:end], "\n")
			i += end + 1
			before = c
		default:
			code.WriteByte(c)
			if c == '\n' {
				line++
			} else if c != ' ' && c != '\t' {
				before = c
			}
			i++
		}
	}
	return append(out, codeNames(code.String(), scriptNames)...)
}

// markdownPassages reads paragraphs; of the glossary all but the lines that
// say what a thing is not called.
func markdownPassages(file, src string) []passage {
	var out []passage
	var p passage
	end := func() {
		if p.text != "" {
			out = append(out, p)
		}
		p = passage{}
	}
	fence := false
	for i, l := range strings.Split(src, "\n") {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "```"):
			end()
			fence = !fence
		case l == "" || fence || strings.HasPrefix(l, "#") || strings.HasPrefix(l, "|") || strings.HasPrefix(l, "- "):
			end()
			p.add(i+1, l)
			if strings.HasPrefix(l, "- ") {
				continue
			}
			end()
		case file == "docs/glossary.md" && strings.HasPrefix(l, notCalled):
			end()
		default:
			p.add(i+1, l)
		}
	}
	end()
	return out
}

var hashComment = regexp.MustCompile(`(?:^|\s)#+(?:\s+|$)(.*)`)

// hashPassages reads the comments of shell, YAML and make.
func hashPassages(src string) []passage {
	var out []passage
	last := 0
	for i, l := range strings.Split(src, "\n") {
		m := hashComment.FindStringSubmatch(l)
		switch {
		case m == nil:
		case last == i && last > 0:
			out[len(out)-1].add(i+1, m[1])
			last = i + 1
		default:
			out = append(out, one(i+1, m[1]))
			last = i + 1
		}
	}
	return out
}

// TestPassages finds what is written in each kind of file, and where.
func TestPassages(t *testing.T) {
	for _, c := range []struct {
		file, src string
		want      []string
	}{
		{"a.go", "package a\n\n// One sentence over\n// two lines.\nfunc LockFeeds(x int) { y := \"a string\\n\"; _ = `raw\nline` }\n",
			[]string{"3 One sentence over two lines.", "5 lock feeds", "5 x", "5 y", "5 a string", "5 raw line"}},
		{"b.go", "// Code generated by sqlc. DO NOT EDIT.\n\npackage b\n\n// A comment.\n", nil},
		{"c.go", "package c\n\nimport \"bury/letters\"\n", nil},
		{"a.sql", "-- One comment\n-- of two lines.\nCREATE TABLE feed_gaps (x text); -- behind it\nCOMMENT ON TABLE feed_gaps IS 'It''s\ntext';\n",
			[]string{"1 One comment of two lines. behind it", "4 It''s text", "3 feed gaps"}},
		{"b.sql", "CREATE FUNCTION f() AS $$\nBEGIN\n    -- Inside.\n    RAISE EXCEPTION 'want %', x;\nEND $$;\n/* Block\ncomment */\n",
			[]string{"3 Inside.", "4 want %", "6 Block comment", "1 f"}},
		{"c.sql", "-- name: LockFeeds :many\n-- Locks.\nSELECT 1;\n", []string{"1 lock feeds", "2 Locks."}},
		{"a.ts", "// one\n// two\nconst readBars = \"text\", r = /it's \"no[/\"]' text/g, half = a / b / c\n/** doc */ f(`t ${x}\nu`)\n",
			[]string{"1 one two", "3 text", "4 doc", "4 t ${x} u", "3 read bars"}},
		{"a.md", "# Title\n\nA paragraph\nof lines.\n- item\n  goes on\n- other\n\n```sh\ncode # comment\nmore\n```\n| cell |\n",
			[]string{"1 # Title", "3 A paragraph of lines.", "5 - item goes on", "7 - other", "10 code # comment", "11 more", "13 | cell |"}},
		{"docs/glossary.md", "Text.\n" + notCalled + " word.\nMore.\n", []string{"1 Text.", "3 More."}},
		{"a.yaml", "# one\n# two\nkey: value # three\nurl: x#y\n", []string{"1 one two three"}},
		{"Makefile", "lint: dep ## Run the linters\n\tgo run\n# Alone.\n", []string{"1 Run the linters", "3 Alone."}},
	} {
		var got []string
		for _, p := range passages(t, c.file, c.src) {
			if p.text != "" {
				got = append(got, strconv.Itoa(p.line(0))+" "+p.text)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q\nwant %q", c.file, got, c.want)
		}
	}
	p := passages(t, "a.go", "package a\n\n// One sentence over\n// two lines.\n")[0]
	if got := p.line(strings.Index(p.text, "two")); got != 4 {
		t.Errorf("line of the second line: got %d, want 4", got)
	}
	if got := p.line(strings.Index(p.text, "over")); got != 3 {
		t.Errorf("line of the first line: got %d, want 3", got)
	}
	for name, want := range map[string]string{"HTTPServer": "http server", "lockFeeds": "lock feeds", "a_b.c": "a b c", "X": "x", "beatID2": "beat id2"} {
		if got := splitName(name); got != want {
			t.Errorf("words of %s: got %q, want %q", name, got, want)
		}
	}
}
