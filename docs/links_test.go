package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// notCalled begins the line of the glossary that says which words are not used.
const notCalled = "Not:"

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	linkTarget = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\))?)(?:\s+"[^"]*")?\)`)
	reference  = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	linkText   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// document is a Markdown file: its links, and the anchors of its headings.
type document struct {
	links   []link
	anchors map[string]bool
}

type link struct {
	line   int
	target string
}

func parseMarkdown(src string) document {
	d := document{anchors: map[string]bool{}}
	fence := false
	for i, l := range strings.Split(src, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			fence = !fence
			continue
		}
		if fence {
			continue
		}
		if level := len(l) - len(strings.TrimLeft(l, "#")); level > 0 && level <= 6 && strings.HasPrefix(l[level:], " ") {
			name := anchor(l[level+1:])
			for n := 1; d.anchors[name]; n++ {
				name = fmt.Sprintf("%s-%d", anchor(l[level+1:]), n)
			}
			d.anchors[name] = true
		}
		plain := inlineCode.ReplaceAllString(l, "")
		for _, m := range linkTarget.FindAllStringSubmatch(plain, -1) {
			d.links = append(d.links, link{i + 1, m[1]})
		}
		if m := reference.FindStringSubmatch(plain); m != nil {
			d.links = append(d.links, link{i + 1, m[1]})
		}
	}
	return d
}

// anchor returns the fragment that GitHub gives a heading.
func anchor(heading string) string {
	heading = linkText.ReplaceAllString(strings.TrimSpace(heading), "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func readDocument(t *testing.T, file string) document {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return parseMarkdown(string(src))
}

// brokenLinks returns what is wrong with the links of one document. has reports
// whether a file exists, anchors returns those of a document.
func brokenLinks(file string, d document, has func(string) bool, anchors func(string) map[string]bool) []string {
	var broken []string
	for _, l := range d.links {
		u, err := url.Parse(l.target)
		if err != nil {
			broken = append(broken, fmt.Sprintf("%s:%d: link %s: %v", file, l.line, l.target, err))
			continue
		}
		if u.Scheme != "" || u.Host != "" {
			continue
		}
		target := file
		if u.Path != "" {
			target = path.Join(path.Dir(file), u.Path)
		}
		switch {
		case !has(target):
			broken = append(broken, fmt.Sprintf("%s:%d: link %s: there is no file %s", file, l.line, l.target, target))
		case u.Fragment != "" && path.Ext(target) == ".md" && !anchors(target)[u.Fragment]:
			broken = append(broken, fmt.Sprintf("%s:%d: link %s: %s has no heading with the anchor #%s", file, l.line, l.target, target, u.Fragment))
		}
	}
	return broken
}

// TestLinks follows every relative link of every document.
func TestLinks(t *testing.T) {
	documents := map[string]document{}
	for _, f := range files(t, ".md") {
		documents[f] = readDocument(t, f)
	}
	for _, f := range files(t, ".md") {
		has := func(target string) bool { return exists(filepath.Join(root, target)) }
		anchors := func(target string) map[string]bool { return documents[target].anchors }
		for _, b := range brokenLinks(f, documents[f], has, anchors) {
			t.Error(b)
		}
	}
}

// TestBrokenLinks finds links that lead nowhere, and no others.
func TestBrokenLinks(t *testing.T) {
	src := strings.Join([]string{
		"# The `title`, twice!", "## Same", "## Same", "### [Linked](x.md) heading",
		"[file](b.md) [up](../README.md) ![image](images/a.png) [web](https://example.com/x) [mail](mailto:a@b.c)",
		"[anchor](#the-title-twice) [second](#same-1) [linked](#linked-heading) [other](b.md#there)",
		"```", "[code](nowhere.md)", "```", "`[code](nowhere.md)`",
		"[missing](c.md) [no anchor](#nope)", "[no anchor there](b.md#nope)", "[ref]: d.md",
	}, "\n")
	there := []string{"docs/a.md", "docs/b.md", "docs/x.md", "README.md", "docs/images/a.png"}
	d := parseMarkdown(src)
	got := brokenLinks("docs/a.md", d, func(f string) bool { return slices.Contains(there, f) }, func(f string) map[string]bool {
		if f == "docs/a.md" {
			return d.anchors
		}
		return map[string]bool{"there": true}
	})
	want := []string{"docs/a.md:11: link c.md", "docs/a.md:11: link #nope", "docs/a.md:12: link b.md#nope", "docs/a.md:13: link d.md"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]+":") {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

// TestRecords checks that the list of decision records is complete and that
// their numbers rise by one.
func TestRecords(t *testing.T) {
	list := readDocument(t, "docs/adr/README.md")
	names, err := filepath.Glob("adr/[0-9]*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("got %d decision records, %v", len(names), err)
	}
	for i, name := range names {
		base := filepath.Base(name)
		if want := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(base, want) {
			t.Errorf("%s: want a name that begins with %s", name, want)
		}
		if !slices.ContainsFunc(list.links, func(l link) bool { return l.target == base }) {
			t.Errorf("docs/adr/README.md does not list %s", base)
		}
		d := readDocument(t, "docs/"+filepath.ToSlash(name))
		for _, heading := range []string{"context", "decision", "consequences"} {
			if !d.anchors[heading] {
				t.Errorf("docs/%s has no heading %q", filepath.ToSlash(name), heading)
			}
		}
	}
}

// TestIndex finds every document in the index by the reader's intent.
func TestIndex(t *testing.T) {
	index := readDocument(t, "docs/README.md")
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != "README.md" && !slices.ContainsFunc(index.links, func(l link) bool {
			file, _, _ := strings.Cut(l.target, "#")
			return file == name
		}) {
			t.Errorf("docs/README.md does not link %s", name)
		}
	}
}

// TestGlossary holds the glossary and the word list together: terms are in
// order, and each word that a term is not called is one that the list finds.
func TestGlossary(t *testing.T) {
	src, err := os.ReadFile("glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	last, terms := "", 0
	for i, l := range strings.Split(string(src), "\n") {
		if term, ok := strings.CutPrefix(l, "### "); ok {
			terms++
			if strings.ToLower(term) < last {
				t.Errorf("docs/glossary.md:%d: %q comes after %q", i+1, term, last)
			}
			last = strings.ToLower(term)
			p := one(i+1, term)
			for _, f := range check("", &p) {
				t.Errorf("docs/glossary.md:%d: the term %q is on the word list", i+1, f.text)
			}
		}
		not, ok := strings.CutPrefix(l, notCalled)
		if !ok {
			continue
		}
		for w := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(not), "."), ";") {
			if p := one(i+1, strings.TrimSpace(w)); len(check("", &p)) == 0 {
				t.Errorf("docs/glossary.md:%d: the word list does not find %q", i+1, strings.TrimSpace(w))
			}
		}
	}
	if terms < 30 {
		t.Errorf("got %d terms, want at least 30", terms)
	}
}
