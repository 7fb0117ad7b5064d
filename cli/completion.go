package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" help:"Shell: ${enum}." enum:"bash,zsh,fish"`
}

// Help is shown below the flags.
func (completionCmd) Help() string {
	return "bash: put source <(hypertick completion bash) into ~/.bashrc. " +
		"zsh: hypertick completion zsh > a file _hypertick in a folder of $fpath. " +
		"fish: hypertick completion fish > ~/.config/fish/completions/hypertick.fish."
}

// Run prints the script. It holds all commands and flags of this version, so the
// shell runs nothing to complete them.
func (c *completionCmd) Run(e *env, k *kong.Context) error {
	script := map[string]func([]place) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell]
	_, err := fmt.Fprint(e.out, script(places(k.Model.Node, nil)))
	return err
}

// place is a position in a command line: its beginning, or after a command.
type place struct {
	path     []string
	commands []word
	flags    []flagWord
	args     []string // values of a positional argument
}

// word is a completion and its help.
type word struct{ text, help string }

// flagWord is a flag; short is empty if it has only a long name.
type flagWord struct {
	word
	short  string
	takes  bool     // a value
	values []string // empty is any
	dir    bool     // the value is a folder
}

// places lists a node and all below it.
func places(n *kong.Node, path []string) []place {
	p := place{path: path}
	for _, level := range n.AllFlags(true) {
		for _, f := range level {
			w := flagWord{
				word:  word{"--" + f.Name, f.Help},
				takes: !f.IsBool() && !f.IsCounter(), values: f.EnumSlice(), dir: f.Tag.Type == "existingdir" || strings.HasSuffix(f.Name, "-dir"),
			}
			if f.Enum == "" {
				w.values = nil
			}
			if f.Short != 0 {
				w.short = "-" + string(f.Short)
			}
			p.flags = append(p.flags, w)
			if f.Tag.Negatable != "" {
				p.flags = append(p.flags, flagWord{word: word{"--no-" + f.Name, f.Help}})
			}
		}
	}
	for _, arg := range n.Positional {
		if arg.Enum != "" {
			p.args = append(p.args, arg.EnumSlice()...)
		}
	}
	all := []place{}
	for _, child := range n.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		p.commands = append(p.commands, word{child.Name, child.Help})
		all = append(all, places(child, append(slices.Clone(path), child.Name))...)
	}
	return append([]place{p}, all...)
}

// valued lists the flags that take a value, each once.
func valued(all []place) []string {
	var out []string
	for _, p := range all {
		for _, f := range p.flags {
			if f.takes {
				out = append(out, f.text)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fishQuote makes one word of s.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `'\''`).Replace(s) + "'"
}

// bashScript completes from lists of words. Bash splits --flag=value at the equals
// sign and does not know the current command, so the script loops over the words.
func bashScript(all []place) string {
	var words, values strings.Builder
	var paths []string
	seen := map[string]string{} // flag to its values, where they are the same everywhere
	for _, p := range all {
		for _, f := range p.flags {
			if list, ok := seen[f.text]; ok && list != strings.Join(f.values, " ") {
				seen[f.text] = ""
			} else {
				seen[f.text] = strings.Join(f.values, " ")
			}
		}
	}
	value := func(pattern string, list string) {
		fmt.Fprintf(&values, "\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n", pattern, list)
	}
	for _, flag := range slices.Sorted(maps.Keys(seen)) {
		if seen[flag] != "" {
			value(`*" `+flag+`"`, seen[flag])
		}
	}
	for _, p := range all {
		path := strings.Join(p.path, " ")
		if path != "" {
			paths = append(paths, `"`+path+`"`)
		}
		var flags []string
		for _, f := range p.flags {
			flags = append(flags, f.text)
			if len(f.values) > 0 && seen[f.text] == "" {
				value(`"`+path+" "+f.text+`"`, strings.Join(f.values, " "))
			}
		}
		fmt.Fprintf(&words, "\t\"%s\") words=\"%s\" flags=\"%s\" ;;\n", path,
			strings.Join(slices.Concat(texts(p.commands), p.args), " "), strings.Join(flags, " "))
	}
	takes := strings.Join(valued(all), "|")
	return fmt.Sprintf(`# bash completion of hypertick: source <(hypertick completion bash)
_hypertick() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= words= flags= next i
	COMPREPLY=()
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		%[1]s)
			[[ ${COMP_WORDS[i+1]} == = ]] && ((i++))
			((i++)) ;;
		[!-]*)
			next="${path:+$path }${COMP_WORDS[i]}"
			case $next in %[2]s) path=$next ;; esac ;;
		esac
	done
	case "$path $prev" in
%[3]s	esac
	case $prev in %[1]s) return ;; esac
	case "$path" in
%[4]s	esac
	[[ $cur == -* ]] && words=$flags
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _hypertick hypertick
`, takes, strings.Join(paths, "|"), values.String(), words.String())
}

func texts(words []word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return out
}

// zshScript calls _arguments, with a state for each command that has subcommands.
func zshScript(all []place) string {
	var b strings.Builder
	b.WriteString("#compdef hypertick\n# zsh completion of hypertick: hypertick completion zsh > a file _hypertick in a folder of $fpath\n")
	quote := strings.NewReplacer(`\`, `\\`, "'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)
	for _, p := range all {
		fmt.Fprintf(&b, "\n_%s() {\n\tlocal context state state_descr line\n\ttypeset -A opt_args\n\t_arguments -C", strings.Join(append([]string{"hypertick"}, p.path...), "_"))
		for _, f := range p.flags {
			action := ""
			switch {
			case len(f.values) > 0:
				action = ":value:(" + strings.Join(f.values, " ") + ")"
			case f.dir:
				action = ":folder:_files -/"
			case f.takes:
				action = ":value:_files"
			}
			name := f.text
			if f.takes {
				name += "="
			}
			fmt.Fprintf(&b, " \\\n\t\t'%s[%s]%s'", name, quote.Replace(f.help), action)
			if f.short != "" {
				fmt.Fprintf(&b, " \\\n\t\t'%s[%s]%s'", f.short, quote.Replace(f.help), action)
			}
		}
		switch {
		case len(p.commands) > 0:
			b.WriteString(" \\\n\t\t'1: :->command' '*:: :->rest'\n\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(")
			for _, c := range p.commands {
				fmt.Fprintf(&b, "\n\t\t\t'%s:%s'", c.text, quote.Replace(c.help))
			}
			b.WriteString(")\n\t\t_describe command commands ;;\n\trest)\n\t\tcase $words[1] in")
			for _, c := range p.commands {
				fmt.Fprintf(&b, "\n\t\t%s) _%s ;;", c.text, strings.Join(append([]string{"hypertick"}, append(slices.Clone(p.path), c.text)...), "_"))
			}
			b.WriteString("\n\t\tesac ;;\n\tesac\n")
		case len(p.args) > 0:
			fmt.Fprintf(&b, " \\\n\t\t'1:value:(%s)'\n", strings.Join(p.args, " "))
		default:
			b.WriteString(" \\\n\t\t'*:file:_files'\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("\nif [ \"$funcstack[1]\" = _hypertick ]; then _hypertick \"$@\"; else compdef _hypertick hypertick; fi\n")
	return b.String()
}

// fishScript has a line for each word, with the command before it as condition.
func fishScript(all []place) string {
	var paths []string
	for _, p := range all[1:] {
		paths = append(paths, fishQuote(strings.Join(p.path, " ")))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# fish completion of hypertick: hypertick completion fish > ~/.config/fish/completions/hypertick.fish
function __hypertick_at
    set -l path
    set -l value no
    set -l words (commandline -opc)
    for word in $words[2..]
        if test $value = yes
            set value no
            continue
        end
        switch $word
            case %s
                set value yes
            case '-*'
            case '*'
                contains -- (string join ' ' $path $word) %s
                and set -a path $word
        end
    end
    test (string join ' ' $path | string collect -a) = "$argv"
end
complete -c hypertick -e
`, strings.Join(valued(all), " "), strings.Join(paths, " "))
	for _, p := range all {
		at := "complete -c hypertick -n " + fishQuote(strings.TrimSpace("__hypertick_at "+strings.Join(p.path, " ")))
		for _, c := range p.commands {
			fmt.Fprintf(&b, "%s -f -a %s -d %s\n", at, c.text, fishQuote(c.help))
		}
		if len(p.args) > 0 {
			fmt.Fprintf(&b, "%s -f -a %s\n", at, fishQuote(strings.Join(p.args, " ")))
		}
		for _, f := range p.flags {
			fmt.Fprintf(&b, "%s -l %s", at, strings.TrimPrefix(f.text, "--"))
			if f.short != "" {
				fmt.Fprintf(&b, " -s %s", strings.TrimPrefix(f.short, "-"))
			}
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, " -x -a %s", fishQuote(strings.Join(f.values, " ")))
			case f.takes:
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", fishQuote(f.help))
		}
	}
	return b.String()
}
