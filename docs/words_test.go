// Package docs holds no code: its tests check the documents, and the words of
// the whole repository.
package docs

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// done lists the files and folders that follow the word list: a finding there
// fails the test. "." is the whole repository.
var done = []string{"."}

// list prints the findings of some folders: go test ./docs -run TestWords -v -args -words ingest,stream
var list = flag.String("words", "", "print the findings of these files and folders, separated by commas")

// A word is a word or phrase that only this repository uses, or that says less
// than the field's own word. Patterns match text in lower case.
type word struct {
	key     string // substrings of every match, separated by |: fast to look for
	find    string // regular expression
	instead string
	bad     string // an example
	except  string // regular expression: a match inside one of its matches is fine
	names   bool   // names that the code declares must not hold it either
}

var words = []word{
	// Dead letters.
	{key: "bury|buri", find: `\bbur(y|ies|ied|ying)\b`, instead: "publish (a dead letter); fail permanently (a notification)", bad: "bury a letter", names: true},
	{key: "letter", find: `\bletters?\b`, instead: "dead letter; message (mail)", bad: "the letter stays", names: true,
		except: `\bdead[- ]letters?\b|\b(lower|upper|capital)[- ]?(case )?letters?\b|\bletters?,? (and )?(digits?|numbers)\b|\bletters? (of|for) (a|the|its) (type|panel|message)\b|\btype letter\b|\b(one|two|three|four|five|first) letters?\b|\bletters? first\b|\bat most \d+ letters\b|\bby their letter\b|\bletters the queries\b`},
	{key: " with", find: `\b(dealt|deals?|dealing|done) with\b`, instead: "handle; process", bad: "those that were dealt with"},
	{key: "to the dead letters", find: `\bto the dead letters\b`, instead: "to the dead-letter topic", bad: "it goes to the dead letters"},

	// Health of processes.
	{key: "of life", find: `\bsigns? of life\b`, instead: "heartbeat", bad: "gave its last sign of life"},
	{key: "beat", find: `\bbeats?\b`, instead: "heartbeat (of a process); update (of the stream)", bad: "tells of each beat", names: true},
	{key: "well", find: `\b(is|are|be|is it|was) well\b`, instead: "healthy; ok; Health (a heading)", bad: "All is well.", except: `\bwell[- ]known\b|\b(is|are|be|was) well[- ]known\b`},
	{key: "how e|how eve", find: `\bhow (every|each) part\b`, instead: "the state of each part", bad: "say how every part is"},
	{key: "in order", find: `\b(stops?|stopped|ends?|ended|closes?|closed) in order\b`, instead: "shut down cleanly", bad: "one that is stopped in order"},
	{key: "away", find: `\b(is|are|was|were|be) away\b`, instead: "be unavailable; be down", bad: "a database that is away"},
	{key: " gone", find: `\b(broker|brokers|database|server|process|connection|notifier|ingest) (that )?(is|are|was|were) gone\b`, instead: "be unavailable; have exited", bad: "a broker that is gone"},
	{key: "kindly", find: `\bkindly\b`, instead: "gracefully", bad: "stops it kindly"},
	{key: "own word|word of it|a word|no word", find: `\b(own word|word of it|without a word|worth (a|no) word)\b`, instead: "report; claim; silently", bad: "the client's own word"},

	// Verify and repair.
	{key: "audit", find: `\baudit(s|ed|ing|or|ors)?\b`, instead: "verify; verification", bad: "a sample of the audit", names: true},
	{key: "mend", find: `\bmend(s|ed|ing)?\b`, instead: "repair; correct", bad: "mends what differs", names: true},
	{key: "sound", find: `\b(is|are|was|were|all|bucket|it) sound\b`, instead: "correct", bad: "100 buckets, all sound"},
	{key: "hole", find: `\bholes? in the (offsets|history|topic|sequence)\b`, instead: "gap in the offsets", bad: "a hole in the offsets"},
	{key: "odd", find: `\bodd (about|ticks?)\b`, instead: "data quality finding; suspicious", bad: "what is odd about the ticks"},

	// Feeds, venues and ingest.
	{key: "loose", find: `\bloose\b`, instead: "not contiguous (a venue); small (a compressed batch)", bad: "a loose venue", names: true},
	{key: "head", find: `\b(feed|stream|alert|raise)s? heads?\b|\bheads? of (the )?(alerts|feeds|stream)\b|\bread head\b`, instead: "newest trade time; last change id", bad: "read head of alerts", names: true},
	{key: "stand", find: `\bwhere (it|they|each|a|the|ingest|each feed|the feed|a feed|the database|a database)( really)? stands?\b|\bfeeds? stands? at\b|\bdatabase (really )?stands\b`, instead: "position; version", bad: "where the database really stands"},
	{key: "beyond", find: `\bbeyond (its|their|the|a) feeds?\b`, instead: "ahead of the feed position", bad: "a letter beyond its feed"},
	{key: "repeat", find: `\b(as|for) (a )?repeats?\b`, instead: "duplicate", bad: "would count as repeats"},
	{key: "to bring|yet bring", find: `\byet to bring\b`, instead: "not yet ingested", bad: "what ingest has yet to bring"},
	{key: "feed", find: `\bfeeds? (has |have |that |last )*(brings?|brought)\b`, instead: "the feed delivers", bad: "when the feed last brought a tick"},
	{key: " past", find: `\b(come|comes|came) past\b`, instead: "has ingested; has passed", bad: "until ingest has come past it"},
	{key: "there", find: `\bthere already\b|\balready there\b|\bfor there\b`, instead: "already stored; already exists", bad: "ticks that are there already"},
	{key: "out", find: `\bkeeps? (the |its |their |some |ticks |those )[\w' ]{0,40}\bout\b`, instead: "cause ... to be dropped as duplicates", bad: "would keep the feed's ticks out", except: `\bkeeps? [\w' ]+ out of\b`},
	{key: "doubl", find: `\b(lost|loses?|losing|store[ds]?) (or|nor|and) doubl(e|es|ed)\b|\bdoubl(e|es|ed) (nothing|ticks|a tick)\b|\bnothing is doubled\b`, instead: "store twice; duplicate", bad: "no tick is lost or doubled"},
	{key: "in hand", find: `\bin hand\b`, instead: "in flight", bad: "what it has in hand"},
	{key: "given up|gives|give up", find: `\bpartitions? (\w+ ){0,4}given up\b|\bgives? (up )?(its )?partitions?\b`, instead: "revoked", bad: "partitions are given up"},
	{key: "poison", find: `\bpoison(s|ed|ing)?\b`, instead: "fenced; reset", bad: "the member is poisoned", except: `\bpoison (pill|message|record)s?\b`, names: true},
	{key: "tell", find: `\btells? (the )?(broker|group|database)\b`, instead: "commit offsets (to the group); write a heartbeat", bad: "tells the database every second", names: true},
	{key: "pack", find: `\bpack(s|ed|ing)?\b`, instead: "compress; convert to the columnstore", bad: "packs what is old", names: true},
	{key: "carr", find: `\bcarr(y|ies|ied|ying) (it|them|late ticks|ticks|these|a late tick)\b`, instead: "move", bad: "carries late ticks into ticks"},

	// Transactions, migrations and rows.
	{key: "sake", find: `\bsakes?\b`, instead: "transaction aborted (deadlock or serialization failure), retrying", bad: "a transaction was ended for another's sake"},
	{key: " back", find: `\b(takes?|took|taken|taking)( \w+){0,3} back\b`, instead: "roll back; undo", bad: "take back every migration"},
	{key: "away", find: `\b(takes?|took|taken|taking)( \w+){0,4} away\b`, instead: "delete (rows); drop (chunks)", bad: "takes its row away", except: `\btaken over [\w ]*away\b`},
	{key: "forg", find: `\bforgets? (old|drift|channels|some|them)\b|\bby forgetting\b|\bis forgotten\b`, instead: "delete; evict", bad: "forgets old notifications", names: true},
	{key: "horizon", find: `\b(behind|beyond) the horizon\b`, instead: "older than the retention horizon", bad: "a tick behind the horizon"},
	{key: "account", find: `\baccounts? of (requests|its|the|those|everything)\b|\bown account\b`, instead: "activity; request statistics", bad: "the account of requests", except: `\bon (its|their) own account\b`},
	{key: "begin with", find: `\b(rules|alerts) to begin with\b`, instead: "default rules", bad: "nine rules to begin with"},

	// Retries and limits.
	{key: "again", find: `\btr(y|ies|ied|ying)( \w+)? again\b`, instead: "retry; retried; retrying", bad: "cannot fetch, trying again"},
	{key: "tries|try", find: `\b(all|many|few|more|of the|\d+) tries\b|\b(every|each|next|last|first|second|one) try\b`, instead: "attempt", bad: "the same key on every try"},
	{key: "later and later", find: `\blater and later\b`, instead: "with exponential backoff", bad: "tried later and later"},
	{key: "patien", find: `\bpatien(ce|t|tly)\b`, instead: "retry; timeout", bad: "patience with the broker", names: true},
	{key: "so long", find: `\b(after|for) so long\b`, instead: "timeout; after this long", bad: "Give up after so long."},
	{key: "so many", find: `\bat most so many\b|\bevery so many\b`, instead: "maximum number of", bad: "At most so many; 0 is all."},
	{key: "most", find: `\bmost (time for|ticks in|to list|connections the)\b`, instead: "maximum", bad: "Most time for one request."},
	{key: "least", find: `\bleast (level|value)\b`, instead: "minimum", bad: "Least level to log."},

	// Style.
	{key: "what of|what is", find: `\bwhat of the\b|\bis what of\b`, instead: "the ... of the", bad: "texts is what of the parameters is text"},
	{key: "none", find: `\bthere is none (named|of that name)\b|\bnone is (named|called)\b`, instead: "does not exist", bad: "there is none named x"},
	{key: "whether", find: `\bsa(y|ys|id) whether\b|\bis whether\b`, instead: "report whether", bad: "says whether it is open"},
	{key: "see", find: `\bsees? that\b|\bsees? to (its|the|what)\b`, instead: "check that", bad: "sees that nothing is lost"},
	{key: " it", find: `\bas \w+( \w+){0,2} (has|have) it\b`, instead: "as ... defines it", bad: "as the database has it", except: `\bas (long|soon|far) as [\w ]*(has|have) it\b`},
	{key: "anew", find: `\banew\b`, instead: "again; recreated", bad: "a topic made anew"},
	{key: "shall", find: `\bshall\b`, instead: "must; should; does", bad: "it shall not stop"},
	{key: "else", find: `(^|[.;:,(] )else (it|that|they|what|the|a|an|each|one|all|this|there|those|is|are)\b|\bwhich else\b`, instead: "otherwise", bad: "stays; else it is lost"},
	{key: "on ", find: `\b(go|goes|went|gone|going) on (where|from|behind|at|as it|by itself)\b|\bothers? goe?s? on\b`, instead: "resume; continue", bad: "goes on where it stopped"},
	{key: "behind", find: `\bbehind (its|the|their) (name|last row)\b|\bdlq behind\b|\bbase64 behind\b`, instead: "after", bad: "the topic with .dlq behind it"},
	{key: "look", find: `\b(one|two|between|each|last|next|second|another) looks?\b`, instead: "poll; evaluation; query", bad: "the time between two looks"},
	{key: "wrongly|mistake|caller's", find: `\bcalled wrongly\b|\bmistakes? of the call\b|\bcaller's to\b`, instead: "usage error", bad: "it was called wrongly"},
	{key: "dear", find: `\b(is|are|was|too|so) dear\b`, instead: "expensive", bad: "waking it is dear"},
	{key: "for good", find: `\bfor good\b`, instead: "permanently", bad: "refused for good"},
	{key: "hang", find: `\bhangs? on\b`, instead: "depend on", bad: "a value hangs on its bar"},
	{key: "feed", find: `\bfeeds? on the\b`, instead: "depend on the previous value; be recursive", bad: "feeds on the one before"},
	{key: "stretch", find: `\bstretch(es)? of (time|history|data)\b`, instead: "range", bad: "a stretch of history"},
}

// foreign matches what others have named.
var foreign = regexp.MustCompile(`https?://[^\s)>"']+|--no-audit|\baudit=false|"audit"`)

type finding struct {
	file string
	line int
	text string
	word *word
}

// matcher is a word with its expressions compiled.
type matcher struct {
	*word
	keys         []string
	find, except *regexp.Regexp
}

var matchers = sync.OnceValue(func() []matcher {
	out := make([]matcher, len(words))
	for i := range words {
		w := &words[i]
		out[i] = matcher{w, strings.Split(w.key, "|"), regexp.MustCompile(w.find), nil}
		if w.except != "" {
			out[i].except = regexp.MustCompile(w.except)
		}
	}
	return out
})

func (m *matcher) mayBeIn(text string) bool {
	return slices.ContainsFunc(m.keys, func(k string) bool { return strings.Contains(text, k) })
}

// check returns the words of a passage that are to be replaced.
func check(file string, p *passage) []finding {
	text := strings.ToLower(p.text)
	text = foreign.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
	var out []finding
	for _, m := range matchers() {
		if p.name && !m.names || !m.mayBeIn(text) {
			continue
		}
		var fine [][]int
		if m.except != nil {
			fine = m.except.FindAllStringIndex(text, -1)
		}
		for _, at := range m.find.FindAllStringIndex(text, -1) {
			if !slices.ContainsFunc(fine, func(f []int) bool { return f[0] <= at[0] && at[1] <= f[1] }) {
				out = append(out, finding{file, p.line(at[0]), strings.TrimSpace(text[at[0]:at[1]]), m.word})
			}
		}
	}
	return out
}

// within reports whether a file is one of some files, or in one of some folders.
func within(file string, of []string) bool {
	return slices.ContainsFunc(of, func(d string) bool {
		d = path.Clean(d)
		return d == "." || file == d || strings.HasPrefix(file, d+"/")
	})
}

// TestWords fails on private words where the list has been followed before,
// and counts them elsewhere.
func TestWords(t *testing.T) {
	all := files(t, ".go", ".sql", ".ts", ".mjs", ".md", ".html", ".sh", ".yaml")
	all = slices.DeleteFunc(all, func(f string) bool { return path.Dir(f) == "docs" && path.Ext(f) == ".go" })
	found := make([][]finding, len(all))
	var group sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				src, err := os.ReadFile(filepath.Join(root, all[i]))
				if err != nil {
					t.Error(err)
					continue
				}
				name := named(1, strings.TrimSuffix(all[i], path.Ext(all[i])))
				found[i] = check(all[i], &name)
				for _, p := range passages(t, all[i], string(src)) {
					found[i] = append(found[i], check(all[i], &p)...)
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	group.Wait()

	folders := map[string]int{}
	total := 0
	for _, f := range slices.Concat(found...) {
		total++
		folders[path.Dir(f.file)]++
		line := fmt.Sprintf("%s:%d: %q: write %s", f.file, f.line, f.text, f.word.instead)
		switch {
		case within(f.file, done):
			t.Error(line)
		case *list != "" && within(f.file, strings.Split(*list, ",")):
			fmt.Println(line)
		}
	}
	t.Logf("%d findings", total)
	for _, folder := range slices.SortedFunc(maps.Keys(folders), func(a, b string) int {
		return cmp.Or(cmp.Compare(folders[b], folders[a]), strings.Compare(a, b))
	}) {
		t.Logf("%5d %s", folders[folder], folder)
	}
}

// TestWordList checks the list against itself: each word finds its example, and
// no word is advised that another one forbids.
func TestWordList(t *testing.T) {
	for i := range words {
		w := &words[i]
		p := one(1, w.bad)
		if !slices.ContainsFunc(check("", &p), func(f finding) bool { return f.word == w }) {
			t.Errorf("%s: does not find its example %q", w.find, w.bad)
		}
		p = one(1, w.instead)
		for _, f := range check("", &p) {
			t.Errorf("%s: advises %q, which %s forbids", w.find, f.text, f.word.find)
		}
	}
	for _, text := range []string{
		"a dead letter", "two dead letters", "lower-case letters", "letters and digits", "rolled back", "as well", "heartbeat",
		"HEAD request", "a poison pill", "npm ci --no-audit", "https://example.com/audit/letters", "ordered by time", "try it",
	} {
		p := one(1, text)
		for _, f := range check("", &p) {
			t.Errorf("%q: found %q, want nothing", text, f.text)
		}
	}
	for name, want := range map[string]int{"BuryUnserved": 1, "deadLetters": 0, "audit_levels": 1, "heartbeat": 0, "LooseVenues": 1} {
		p := named(1, name)
		if got := len(check("", &p)); got != want {
			t.Errorf("name %s: got %d findings, want %d", name, got, want)
		}
	}
}
