package feed

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// ProgressBar returns a function that draws a bar on standard error, for the
// progress of a simulation (ticks) or a replay (bytes). Where standard error is
// not a terminal it returns nil, and nothing is drawn.
func ProgressBar(label string, bytes bool) func(done, total int64) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	unit := progressbar.OptionSetItsString("ticks")
	if bytes {
		unit = progressbar.OptionShowBytes(true)
	}
	bar := progressbar.NewOptions64(-1, unit,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription(label),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionOnCompletion(func() { _, _ = os.Stderr.WriteString("\n") }),
	)
	size := int64(-1)
	return func(done, total int64) {
		if total > 0 && total != size {
			size = total
			bar.ChangeMax64(total)
		}
		// An error of the terminal does not stop the work.
		_ = bar.Set64(done)
	}
}
