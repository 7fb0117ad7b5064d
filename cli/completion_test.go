package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completionOf writes the script for a shell to a file, and skips the test if the
// shell is not installed.
func completionOf(t *testing.T, shell string) string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("%s is not here", shell)
	}
	code, script, errOut := run(t.Context(), "completion", shell)
	if code != 0 || script == "" {
		t.Fatalf("completion %s: want exit code 0 and a script, got %d, %s", shell, code, errOut)
	}
	path := filepath.Join(t.TempDir(), "hypertick."+shell)
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), shell, "-n", path).CombinedOutput(); err != nil {
		t.Fatalf("%s does not parse its script: %v, %s", shell, err, out)
	}
	return path
}

// completions are typed lines with the completions they must offer; with only, no
// others.
var completions = []struct {
	line string
	want []string
	only bool
}{
	{"hypertick mig", []string{"migrate"}, true},
	{"hypertick dl", []string{"dlq"}, true},
	{"hypertick dlq ", []string{"list", "show", "retry", "discard"}, true},
	{"hypertick dlq dis", []string{"discard"}, true},
	{"hypertick migrate --down", []string{"--down-to"}, true},
	{"hypertick migrate --", []string{"--database-url", "--yes", "--status", "--log-level", "--help"}, false},
	{"hypertick demo --no-", []string{"--no-simulate"}, true},
	{"hypertick --log-level debug mig", []string{"migrate"}, true},
	{"hypertick --log-level=debug dlq li", []string{"list"}, true},
	{"hypertick --log-level ", []string{"debug", "info", "warn", "error"}, true},
	{"hypertick verify --log-format j", []string{"json"}, true},
	{"hypertick dlq list --topic demo --rea", []string{"--reason"}, true},
	{"hypertick completion ", []string{"bash", "zsh", "fish"}, true},
}

func offers(t *testing.T, line string, got, want []string, only bool) {
	t.Helper()
	slices.Sort(got)
	got = slices.Compact(got)
	if only {
		if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			t.Errorf("%q: want %v, got %v", line, want, got)
		}
		return
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q: want %s among others, got %v", line, w, got)
		}
	}
}

// TestBashCompletion completes lines in a real bash.
func TestBashCompletion(t *testing.T) {
	t.Parallel()
	script := completionOf(t, "bash")
	// Bash also splits words at =; readline would do that.
	const ask = `source "$1"; line=$2
words=(${line//=/ = }); [[ $line == *' ' ]] && words+=('')
COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1))
_hypertick; printf '%s\n' "${COMPREPLY[@]}"`
	cases := append(slices.Clone(completions), struct {
		line string
		want []string
		only bool
	}{"hypertick --log-level=de", []string{"debug"}, true})
	for _, c := range cases {
		out, err := exec.CommandContext(t.Context(), "bash", "--norc", "-c", ask, "bash", script, c.line).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v, %s", c.line, err, out)
		}
		offers(t, c.line, strings.Fields(string(out)), c.want, c.only)
	}
	// The function is registered for the command.
	out, err := exec.CommandContext(t.Context(), "bash", "--norc", "-c", `source "$1"; complete -p hypertick`, "bash", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "_hypertick") {
		t.Errorf("complete -p hypertick: %v, %s", err, out)
	}
}

func TestFishCompletion(t *testing.T) {
	t.Parallel()
	script := completionOf(t, "fish")
	for _, c := range completions {
		out, err := exec.CommandContext(t.Context(), "fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, c.line).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v, %s", c.line, err, out)
		}
		var got []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, word)
		}
		offers(t, c.line, got, c.want, c.only)
	}
}

// TestZshCompletion checks that zsh reads the script and defines its functions.
func TestZshCompletion(t *testing.T) {
	t.Parallel()
	script := completionOf(t, "zsh")
	out, err := exec.CommandContext(t.Context(), "zsh", "-f", "-c", `autoload -U compinit; compinit -u -D; source "$1"; print $_comps[hypertick]; whence -w _hypertick_dlq_discard`, "zsh", script).CombinedOutput()
	if err != nil || string(out) != "_hypertick\n_hypertick_dlq_discard: function\n" {
		t.Errorf("want zsh to complete hypertick with its functions, got %v, %s", err, out)
	}
}
