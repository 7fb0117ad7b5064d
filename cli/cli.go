// Package cli is the hypertick command: it reads flags and environment, and
// ties together packages that do not know each other.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

type root struct {
	LogLevel  string `help:"Least level to log: ${enum}." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"How to log, on standard error: ${enum}." enum:"text,json" default:"text"`

	PrintVersion kong.VersionFlag `name:"version" help:"Print the version, the commit and the Go version." env:"-"`

	Demo       demoCmd       `cmd:"" help:"Run everything in one process, nothing to install: broker, database, simulator, ingest, api, notifier."`
	Migrate    migrateCmd    `cmd:"" help:"Bring a database up to date, or back, or say where it stands."`
	Ingest     ingestCmd     `cmd:"" help:"Move ticks from the broker into the database, each exactly once."`
	API        apiCmd        `cmd:"" name:"api" help:"Serve the REST API."`
	Notify     notifyCmd     `cmd:"" help:"Send notifications of alerts to webhooks, Slack and mailboxes."`
	Outbox     outboxCmd     `cmd:"" help:"List notifications, and send them again."`
	Key        keyCmd        `cmd:"" help:"Make keys for the REST API."`
	Simulate   simulateCmd   `cmd:"" help:"Produce the ticks of a simulated market."`
	Replay     replayCmd     `cmd:"" help:"Produce the ticks of a CSV file of trades or bars."`
	Backfill   backfillCmd   `cmd:"" help:"Load CSV files of trades or bars straight into the database."`
	DLQ        dlqCmd        `cmd:"" name:"dlq" help:"List, show, retry and discard dead letters: records that ingest could not store."`
	Retention  retentionCmd  `cmd:"" help:"Say or change how long ticks and candles are kept."`
	Interval   intervalCmd   `cmd:"" help:"List the intervals of bars, store the candles of one, and drop them again."`
	Verify     verifyCmd     `cmd:"" help:"Compare what is stored with what it was made from, and mend what differs."`
	Indicator  indicatorCmd  `cmd:"" help:"Begin, check and list indicators."`
	Topic      topicCmd      `cmd:"" help:"Create the topics of the stream as they should be, where they are missing."`
	Health     healthCmd     `cmd:"" help:"Ask a URL or the topic whether all is well: exit code 0 or 1."`
	Status     statusCmd     `cmd:"" help:"Say how every part of the pipeline is, and what to do: exit code 0 or 1."`
	Version    versionCmd    `cmd:"" help:"Print the version, the commit and the Go version."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`
}

// env is what every command gets.
type env struct {
	ctx    context.Context
	in     *os.File
	out    io.Writer
	errOut io.Writer
	log    *slog.Logger
}

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit carries an exit code out of kong, which wants to end the process itself.
type exit int

// Main runs the command and returns its exit code: 0, 1 when it failed, 2 when
// it was called wrongly. It returns once ctx has ended and all is stopped.
func Main(ctx context.Context, args []string, out, errOut io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	var r root
	parser, err := newParser(&r, out, errOut)
	if err != nil {
		fmt.Fprintf(errOut, "hypertick: %v\n", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errOut, "hypertick: %v\n", oneLine(err))
		return exitUsage
	}
	e := &env{ctx: ctx, in: os.Stdin, out: out, errOut: errOut, log: newLogger(errOut, r.LogLevel, r.LogFormat)}
	err = k.Run(e)
	var usage usageError
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "hypertick: %v\n", oneLine(err))
		return exitUsage
	default:
		fmt.Fprintf(errOut, "hypertick: %v\n", oneLine(err))
		return exitFailed
	}
}

// newParser makes the command line out of root. Settings are variables too; a
// flag that says what one call does has the tag env:"-".
func newParser(r *root, out, errOut io.Writer) (*kong.Kong, error) {
	return kong.New(r,
		kong.Name("hypertick"),
		kong.Description("Real-time market data centred on the database.\n\n"+
			"Settings are environment variables too: --data-dir is HYPERTICK_DATA_DIR. Flags that say what one call does are not."),
		kong.DefaultEnvars("HYPERTICK"),
		kong.Writers(out, errOut),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(valueHelp),
		kong.Vars{"version": "hypertick " + thisBuild().String()}, defaults(),
	)
}

// valueHelp is the help of a flag or an argument, with its default and its
// variable behind it.
func valueHelp(v *kong.Value) string {
	var notes []string
	if v.HasDefault && v.Default != "" {
		notes = append(notes, "default: "+v.Default)
	}
	for _, name := range v.Tag.Envs {
		notes = append(notes, "$"+name)
	}
	if len(notes) == 0 {
		return v.Help
	}
	text, stop := strings.CutSuffix(v.Help, ".")
	for _, note := range notes {
		text += " (" + note + ")"
	}
	if stop {
		text += "."
	}
	return strings.TrimSpace(text)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // kong has checked it
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
