// Package cli is the hypertick command: it reads flags and environment, and
// connects packages that do not know each other.
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
	LogLevel  string `help:"Minimum level to log: ${enum}." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"Format of the log, which goes to standard error: ${enum}." enum:"text,json" default:"text"`

	PrintVersion kong.VersionFlag `name:"version" help:"Print the version, the commit and the Go version." env:"-"`

	Demo       demoCmd       `cmd:"" help:"Run broker, database, simulator, ingest, API and notifier in one process, with nothing to install."`
	Migrate    migrateCmd    `cmd:"" help:"Apply, list or roll back migrations."`
	Ingest     ingestCmd     `cmd:"" help:"Store the ticks of the topic in the database, each exactly once."`
	API        apiCmd        `cmd:"" name:"api" help:"Serve the REST API."`
	Notify     notifyCmd     `cmd:"" help:"Send notifications to webhooks, Slack and mailboxes."`
	Outbox     outboxCmd     `cmd:"" help:"List notifications, and retry them."`
	Key        keyCmd        `cmd:"" help:"Create keys for the REST API."`
	Simulate   simulateCmd   `cmd:"" help:"Produce the ticks of a simulated market."`
	Replay     replayCmd     `cmd:"" help:"Produce the ticks of a CSV file of trades or bars."`
	Backfill   backfillCmd   `cmd:"" help:"Load CSV files of trades or bars into the database, without the broker."`
	DLQ        dlqCmd        `cmd:"" name:"dlq" help:"List, show, retry and discard dead letters: records that ingest cannot store."`
	Feed       feedCmd       `cmd:"" help:"List feeds, their gaps and conflicts, and reset their numbers."`
	Tick       tickCmd       `cmd:"" help:"Show, cancel and correct ticks."`
	Instrument instrumentCmd `cmd:"" help:"List instruments, and change what is known of them."`
	Action     actionCmd     `cmd:"" help:"List, add and undo corporate actions: splits and dividends."`
	Retention  retentionCmd  `cmd:"" help:"Show or change how long ticks and candles are kept."`
	Interval   intervalCmd   `cmd:"" help:"List, add and remove intervals."`
	Calendar   calendarCmd   `cmd:"" help:"List trading calendars, show their sessions, and add closures."`
	Verify     verifyCmd     `cmd:"" help:"Compare stored candles and indicator states with the ticks, and repair drift."`
	Indicator  indicatorCmd  `cmd:"" help:"Create, check and list indicators."`
	Topic      topicCmd      `cmd:"" help:"Create the topics of the stream if they do not exist."`
	Health     healthCmd     `cmd:"" help:"Check the health of a URL or of the topic: exit code 0 or 1."`
	Status     statusCmd     `cmd:"" help:"Show the state of each part of the pipeline, and what to do: exit code 0 or 1."`
	Version    versionCmd    `cmd:"" help:"Print the version, the commit and the Go version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
}

// env is what every command gets.
type env struct {
	ctx    context.Context
	in     *os.File
	out    io.Writer
	errOut io.Writer
	log    *slog.Logger
}

// usageError is an error in the arguments of the command; the exit code is 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit carries an exit code out of kong, which would end the process itself.
type exit int

// Main runs the command and returns its exit code: 0, 1 when it failed, 2 on a
// usage error. When ctx ends it stops the command, waits for it, and returns.
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

// newParser builds the command line from root. A setting is a flag and an
// environment variable; an action of one call is a flag only, with the tag env:"-".
func newParser(r *root, out, errOut io.Writer) (*kong.Kong, error) {
	return kong.New(r,
		kong.Name("hypertick"),
		kong.Description("Real-time market data, computed in the database.\n\n"+
			"Settings are environment variables too: --data-dir is HYPERTICK_DATA_DIR. Flags for the action of one call are not."),
		kong.DefaultEnvars("HYPERTICK"),
		kong.Writers(out, errOut),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(valueHelp),
		kong.Vars{"version": "hypertick " + thisBuild().String()}, defaults(),
	)
}

// valueHelp returns the help of a flag or an argument, with its default and its
// environment variable.
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

func oneLine(err error) string { return visible(strings.ReplaceAll(err.Error(), "\n", "; ")) }

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // kong has checked it
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
