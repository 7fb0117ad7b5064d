package cli

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// settings are the flags that are environment variables too: addresses, files,
// levels, limits and whatever is the same for every call on a machine.
var settings = strings.Fields(`
	allow-private-targets allow-targets api api-keys-file api-metrics-listen bars batch before brokers broker-listen broker-password-file
	broker-sasl broker-tls broker-tls-ca broker-tls-cert broker-tls-key broker-username cache-dir channels-file cors-origins data-dir
	database-listen database-url deadline decimal delivery-timeout dir duplicates email-from email-to every file group header history history-rate
	idle-timeout insecure instance json kind late late-after limit listen log-format log-level map max-age max-batch max-feeds metrics-listen new-feeds
	notify-metrics-listen operator-url partitions port-base rate rate-burst rate-limit read-timeout replicas request-timeout scale seed
	send-timeout send-tries simulate speed symbols time-format timeout timezone tolerance topic trusted-proxies workers write-timeout`)

// actions are the flags that choose what one call does, and to what. A variable left
// set by accident must not do that.
var actions = strings.Fields(`
	active-from active-to all allow-version as-of at block-width calendar candles cash channel currency down-to dry-run former from gaps help interval
	name non-positive-prices offsets param price price-step ratio reason recursive repair search seq side size size-step skip-bad source state status
	symbol test ticks to ts venue version wait watch yes`)

// commands calls f for every command, the root first.
func commands(t *testing.T, f func(path []string, n *kong.Node)) {
	t.Helper()
	parser, err := newParser(&root{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(path []string, n *kong.Node)
	walk = func(path []string, n *kong.Node) {
		f(path, n)
		for _, child := range n.Children {
			walk(append(slices.Clone(path), child.Name), child)
		}
	}
	walk(nil, parser.Model.Node)
}

// TestSwitches checks that settings are variables and actions are not.
func TestSwitches(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	commands(t, func(path []string, n *kong.Node) {
		for _, f := range n.Flags {
			seen[f.Name] = true
			where := strings.TrimSpace("hypertick "+strings.Join(path, " ")) + " --" + f.Name
			setting, action := slices.Contains(settings, f.Name), slices.Contains(actions, f.Name)
			want := "HYPERTICK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			if f.Name == "file" && n.Name == "new" {
				want = "HYPERTICK_API_KEYS_FILE"
			}
			if f.Name == "kind" && path[0] == "instrument" { // the setting is that of files
				setting, action = false, true
			}
			switch {
			case setting && action:
				t.Errorf("--%s is in both lists", f.Name)
			case !setting && !action:
				t.Errorf("%s is new: if it chooses what one call does, give it the tag env:\"-\" and put it into actions; "+
					"if it holds for every call on a machine, put it into settings", where)
			case action && len(f.Envs) > 0:
				t.Errorf("%s chooses what one call does, but %v can set it: give it the tag env:\"-\"", where, f.Envs)
			case setting && !slices.Equal(f.Envs, []string{want}):
				t.Errorf("%s is a setting: want the variable %s, got %v", where, want, f.Envs)
			}
		}
		for _, arg := range n.Positional {
			if len(arg.Tag.Envs) > 0 {
				t.Errorf("%v %s: no argument is a variable, but %v is", path, arg.Name, arg.Tag.Envs)
			}
		}
	})
	for _, name := range slices.Concat(settings, actions) {
		if !seen[name] {
			t.Errorf("no command has --%s any more: take it out of the list", name)
		}
	}
}

// TestForgottenVariables changes the environment, so it does not run in parallel.
func TestForgottenVariables(t *testing.T) {
	for variable, value := range map[string]string{
		"HYPERTICK_ALL": "true", "HYPERTICK_DOWN_TO": "0", "HYPERTICK_YES": "true", "HYPERTICK_REPAIR": "true", "HYPERTICK_TICKS": "1d",
		"HYPERTICK_REASON": "x", "HYPERTICK_JUMP": "true", "HYPERTICK_STATUS": "true", "HYPERTICK_ALLOW_VERSION": "true",
	} {
		t.Setenv(variable, value)
	}
	const url = "postgres://nobody@127.0.0.1:1/none"
	parse := func(args ...string) (r root) {
		t.Helper()
		parser, err := newParser(&r, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if args[0] != "replay" { // which knows no database
			args = append(args, "--database-url", url)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if m := parse("migrate").Migrate; m.DownTo != nil || m.Yes || m.Status || m.AllowVersion {
		t.Errorf("migrate: want no flag set, got %+v", m)
	}
	if d := parse("dlq", "discard").DLQ.Discard; d.All || d.Reason != "" {
		t.Errorf("dlq discard: want no flag set, got %+v", d)
	}
	if v := parse("verify").Verify; v.Repair {
		t.Error("verify: --repair is set")
	}
	if r := parse("retention").Retention; r.Ticks.set {
		t.Error("retention: --ticks is set")
	}
	if b := parse("backfill", "x.csv").Backfill; b.SkipBad || b.DryRun {
		t.Errorf("backfill: want no flag set, got %+v", b)
	}
	if r := parse("replay", "x.csv").Replay; r.NonPositivePrices || r.All || r.SkipBad || r.DryRun {
		t.Errorf("replay: want no flag set, got %+v", r)
	}
	var errOut bytes.Buffer
	if code := Main(context.Background(), []string{"dlq", "discard", "--database-url", url}, io.Discard, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "want offsets, --reason or --all") {
		t.Errorf("dlq discard: want exit code 2 and an error that names what is missing, got %d, %s", code, &errOut)
	}
}

// helpOf returns the output of --help, and its lines about one flag.
func helpOf(t *testing.T, path []string) (all string, flag func(name string) string) {
	t.Helper()
	var out bytes.Buffer
	if code := Main(context.Background(), append(slices.Clone(path), "--help"), &out, &out); code != exitOK {
		t.Fatalf("%v --help: want exit code 0, got %d, %s", path, code, &out)
	}
	lines := strings.Split(out.String(), "\n")
	isFlag := func(line string) bool {
		s := strings.TrimLeft(line, " ")
		return len(line)-len(s) < 8 && strings.HasPrefix(s, "-")
	}
	return out.String(), func(name string) string {
		for i, line := range lines {
			if !isFlag(line) {
				continue
			}
			head, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
			_, head, _ = strings.Cut(strings.ReplaceAll(head, "[no-]", ""), "--")
			if got, _, _ := strings.Cut(head, "="); got != name {
				continue
			}
			text := line
			for _, more := range lines[i+1:] {
				if isFlag(more) || strings.TrimSpace(more) == "" {
					break
				}
				text += " " + more
			}
			return strings.Join(strings.Fields(text), " ")
		}
		return ""
	}
}

// TestHelpOfFlags checks that --help prints the default of every flag that has
// one, the variable of every setting, and no variable of an action.
func TestHelpOfFlags(t *testing.T) {
	t.Parallel()
	defaults := 0
	commands(t, func(path []string, n *kong.Node) {
		_, help := helpOf(t, path)
		for _, level := range n.AllFlags(false) {
			for _, f := range level {
				text := help(f.Name)
				if text == "" {
					t.Errorf("%v --help does not have --%s", path, f.Name)
					continue
				}
				if f.HasDefault {
					defaults++
					if want := "(default: " + f.Default + ")"; !strings.Contains(text, want) {
						t.Errorf("%v --%s: want %s in its help, got %q", path, f.Name, want, text)
					}
				}
				for _, variable := range f.Envs {
					if !strings.Contains(text, "($"+variable+")") {
						t.Errorf("%v --%s: want $%s in its help, got %q", path, f.Name, variable, text)
					}
				}
				if len(f.Envs) == 0 && strings.Contains(text, "$HYPERTICK") {
					t.Errorf("%v --%s has no variable, but its help names one: %q", path, f.Name, text)
				}
			}
		}
	})
	if defaults < 100 {
		t.Errorf("only %d flags have a default, want more: the walk misses commands", defaults)
	}
}
