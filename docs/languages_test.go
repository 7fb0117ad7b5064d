package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

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
