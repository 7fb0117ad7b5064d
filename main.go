// Command hypertick is real-time market data centred on the database: see
// README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hypertick/hypertick/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
