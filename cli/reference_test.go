package cli

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var updateReference = flag.Bool("update-reference", false, "write the configuration table of docs/deploy.md as the flags are now")

const (
	referenceFile  = "../docs/deploy.md"
	referenceBegin = "<!-- begin of the table made by go test ./cli -run Reference -update-reference -->\n"
	referenceEnd   = "<!-- end of the table -->\n"
)

// secrets are the variables without a flag, since flags show in process lists.
var secrets = []setting{
	{variable: brokerPasswordEnv, help: "Password of --broker-username. There is no flag, because flags show in process lists."},
	{variable: "HYPERTICK_READER_PASSWORD", commands: []string{"migrate"}, help: "Password to set for hypertick_reader. There is no flag, for the same reason."},
	{variable: "HYPERTICK_WRITER_PASSWORD", commands: []string{"migrate"}, help: "Password to set for hypertick_writer."},
	{variable: "HYPERTICK_OPERATOR_PASSWORD", commands: []string{"migrate"}, help: "Password to set for hypertick_operator."},
	{variable: webhookURLEnv, commands: []string{"demo", "notify"}, help: "Creates the channel webhook. There is no flag, because it is a secret."},
	{variable: webhookSecretEnv, commands: []string{"demo", "notify"}, help: "Secret that signs its requests: whsec_ and 24 to 64 bytes in base64."},
	{variable: slackURLEnv, commands: []string{"demo", "notify"}, help: "Creates the channel slack: the address of an incoming webhook."},
	{variable: smtpURLEnv, commands: []string{"demo", "notify"}, help: "Creates the channel email: smtp://user:password@host:port (STARTTLS), smtps://..., or smtp://host:25?tls=none."},
}

// setting is a flag or variable that several commands share.
type setting struct {
	variable, flag, fallback, help string
	commands                       []string
}

// reference lists every setting of every command as a table.
func reference(t *testing.T) string {
	t.Helper()
	parser, err := newParser(&root{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var all []setting
	add := func(s setting, command string) {
		for i := range all {
			if a := &all[i]; a.variable == s.variable && a.flag == s.flag && a.fallback == s.fallback && a.help == s.help {
				a.commands = append(a.commands, command)
				return
			}
		}
		s.commands = []string{command}
		all = append(all, s)
	}
	settings := func(n *kong.Node) (out []setting) {
		for _, f := range n.Flags {
			if f.Hidden || len(f.Envs) == 0 {
				continue
			}
			s := setting{variable: f.Envs[0], flag: "--" + f.Name, fallback: f.Default, help: f.Help}
			switch {
			case f.Required:
				s.fallback = "required"
			case f.IsBool() && s.fallback == "":
				s.fallback = "false"
			}
			if f.Negated {
				s.flag = "--[no-]" + f.Name
			}
			out = append(out, s)
		}
		return out
	}
	for _, s := range settings(parser.Model.Node) {
		add(s, "all")
	}
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		for _, child := range n.Children {
			if child.Hidden || child.Type != kong.CommandNode {
				continue
			}
			name := strings.TrimSpace(path + " " + child.Name)
			for _, s := range settings(child) {
				add(s, name)
			}
			walk(child, name)
		}
	}
	walk(parser.Model.Node, "")

	for _, s := range secrets {
		if s.commands == nil {
			for _, a := range all {
				if a.flag == "--broker-username" {
					s.commands = a.commands
				}
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b setting) int { return cmp.Compare(a.variable, b.variable) })

	var b strings.Builder
	b.WriteString("| variable | flag | default | of | meaning |\n|---|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, s := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.variable, code(s.flag), code(s.fallback),
			strings.Join(s.commands, ", "), cell.Replace(s.help))
	}
	return b.String()
}

// TestReference checks that docs/deploy.md lists the settings of all commands.
func TestReference(t *testing.T) {
	doc, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := bytes.Cut(doc, []byte(referenceBegin))
	table, after, ends := bytes.Cut(rest, []byte(referenceEnd))
	if !begins || !ends {
		t.Fatalf("%s: want the lines %q and %q", referenceFile, referenceBegin, referenceEnd)
	}
	want := reference(t)
	if string(table) == want {
		return
	}
	if !*updateReference {
		t.Fatalf("%s is not current: go test ./cli -run Reference -update-reference", referenceFile)
	}
	out := slices.Concat(before, []byte(referenceBegin), []byte(want), []byte(referenceEnd), after)
	if err := os.WriteFile(referenceFile, out, 0o644); err != nil {
		t.Fatal(err)
	}
}
