package db

import "time"

const (
	// oldHistory is the age from which widen_history() makes chunks.
	oldHistory = 35 * 24 * time.Hour
	// thinSpan is how far a batch must reach to prove that its history is thin, unless
	// it has few ticks and others came before it.
	thinSpan = 30 * 24 * time.Hour
	fewTicks = 1000
)

// MayBeThin reports whether WidenHistory could have something to do: a batch that is
// recent or dense does without the question.
func MayBeThin(arg WidenHistoryParams, now time.Time) bool {
	return arg.Oldest.Before(now.Add(-oldHistory)) && (arg.Ticks < fewTicks || arg.Newest.Sub(arg.Oldest) >= thinSpan)
}
